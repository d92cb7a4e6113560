"""Gathers how forecast errors came together: the levels at which what came lay in what was foreseen, one column per step.

Of each kind of step (horizon, how far ahead) the last SCENARIOS_MAX are kept, at least SPACING_S apart, of the medium one
an hour: errors of neighbouring minutes are nearly the same, so closer ones would tell the same again. Where an observation
meets a stretch of equal quantiles (an idle order param) its level is drawn evenly from the stretch, else the idle ones would
seem to move together. One whose error is not known in a step gets an even draw there, which means: independent.

M order params x N columns of 4 bytes per kind of step: some 2 MB for each of the 5,000 that are followed at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.rates import MEDIUM_STEP_S
from plb_ray.estimate.scenarios import SCENARIOS_MAX, ScenarioGroup, Scenarios

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.history.outcomes import Outcomes

SPACING_S = 900


@dataclass(eq=False)
class _Kind:
    """Columns of one kind of step: `levels` (M, N), oldest first, NaN where not known."""

    index: dict[str, int] = field(default_factory=dict)
    levels: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    end_s: int | None = None

    def add(self, outcomes: Outcomes, levels: NDArray[np.float64]) -> None:
        for name in outcomes.order_params:
            self.index.setdefault(name, len(self.index))
        rows = [self.index[name] for name in outcomes.order_params]
        kept = self.levels[:, -(SCENARIOS_MAX - 1) :]
        grown = np.full((len(self.index), kept.shape[1] + 1), np.nan, dtype=np.float32)
        grown[: len(kept), :-1] = kept
        grown[rows, -1] = levels
        self.levels, self.end_s = grown, outcomes.end_s
        self._forget_who_left()

    def _forget_who_left(self) -> None:
        """Drop order params of which no column tells any more."""
        told = np.asarray(np.isfinite(self.levels).any(axis=1))
        if not told.all():
            self.levels = self.levels[told]
            names = [name for name, row in self.index.items() if told[row]]
            self.index = {name: row for row, name in enumerate(names)}


class JointErrors:
    """Keeps them, in memory alone: after a restart they are gathered anew. Use from one thread.

    Args:
        rng: of the even draws.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._kinds: dict[tuple[str, int], _Kind] = {}
        self._made: dict[tuple[str, int], ScenarioGroup] = {}

    def add(self, outcomes: Outcomes) -> None:
        """Keep what came of one step; one that follows too closely on the last that was kept is left out."""
        key = (outcomes.horizon, outcomes.ahead_s)
        kind = self._kinds.setdefault(key, _Kind())
        spacing_s = MEDIUM_STEP_S if outcomes.horizon == "medium" else SPACING_S
        if kind.end_s is not None and outcomes.end_s - kind.end_s < spacing_s:
            return
        low, high = outcomes.pairs.pit[:, 0], outcomes.pairs.pit[:, 1]
        kind.add(outcomes, low + (high - low) * self._rng.random(len(low)))
        self._made[key] = self._group(key, kind)

    def scenarios(self) -> Scenarios:
        """Return all there is; groups that have not changed are the same objects, with what was worked out on them."""
        return Scenarios(tuple(self._made.values()))

    def _group(self, key: tuple[str, int], kind: _Kind) -> ScenarioGroup:
        known = np.isfinite(kind.levels)
        levels = np.where(known, kind.levels, self._rng.random(kind.levels.shape, dtype=np.float32))
        return ScenarioGroup(key[0], key[1], dict(kind.index), levels, known.sum(axis=1))
