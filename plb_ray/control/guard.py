"""Whether the forecast may be planned on: held, tick by tick, against what the last step alone would have foretold.

The mathematics
    Of each tick the expected load of the next step and of the last short step ahead are kept, and beside them what was
    measured at that tick. When such a step has come, both are summed up per shard as the order params lie now, and

        F <- d F + sum_s (foreseen_s - came_s)^2        P <- d P + sum_s (measured then_s - came_s)^2

    in shares of each shard's CPU, with d halving in HALF_LIFE_TICKS. The forecast is given up while F > DISTRUST (P + FLOOR)
    and taken up again when F < TRUST (P + FLOOR). FLOOR is what does not matter anywhere: NOISE of a shard's capacity.

So a forecast ten times too high or too low, or of yesterday's traffic, never gets a say, and one that goes wrong loses it
with the first step that comes; what is left is the reactive floor. Squares, since it is large errors that overload shards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.situation import Situation
    from plb_ray.domain.load import LoadEstimate

HALF_LIFE_TICKS = 36.0
DISTRUST, TRUST = 1.5, 1.1
GRUDGE = 16.0
"""F counts as so many times P + FLOOR at most, so that one wild step is forgiven after four half-lives of sound ones."""

NOISE = 0.03
SHORT_STEPS = 15
"""At most so many steps ahead are scored: the short horizon."""

STALE_STEPS = 2
CPU = 0


@dataclass(frozen=True, eq=False)
class Foreseen:
    """What one tick said of one step: (K,) CPU expected, and (K,) CPU measured when it was said."""

    start_s: int
    order_params: tuple[str, ...]
    expected: NDArray[np.float64]
    measured: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Guard:
    """The sums F and P, whether the forecast is trusted, and what has not come yet.

    At the beginning it is not: it has to hold for one step first.
    """

    foreseen_loss: float = 0.0
    measured_loss: float = 0.0
    trusted: bool = False
    pending: tuple[Foreseen, ...] = ()

    def scored(self, situation: Situation) -> Guard:
        """Return the guard after the step that ends now has come."""
        start_s = situation.at_s - situation.step_s
        half = situation.step_s / 2
        due = [each for each in self.pending if abs(each.start_s - start_s) < half]
        later = tuple(each for each in self.pending if each.start_s - start_s >= half)
        decay = 0.5 ** (1.0 / HALF_LIFE_TICKS)
        foreseen, measured = self.foreseen_loss * decay, self.measured_loss * decay
        for each in due:
            errors = _errors(each, situation)
            foreseen, measured = foreseen + errors[0], measured + errors[1]
        floor = len(situation.shards) * NOISE**2
        foreseen = min(foreseen, GRUDGE * (measured + floor))
        limit = (TRUST if not self.trusted else DISTRUST) * (measured + floor)
        seen = self.trusted or bool(due)
        return Guard(foreseen, measured, seen and foreseen <= limit, later)

    def noted(self, situation: Situation) -> Guard:
        """Return the guard that remembers what is foreseen now."""
        estimate = situation.estimate
        if estimate is None or not usable(situation):
            return self
        lengths = np.diff(estimate.starts_s) == situation.step_s  # what follows a longer step is of the medium horizon
        last = max(0, min(int(np.append(lengths, False).argmin()), SHORT_STEPS) - 1)
        return replace(self, pending=self.pending + tuple(_foreseen(situation, estimate, step) for step in {0, last}))


def usable(situation: Situation) -> bool:
    """Return whether there is an estimate, for now, of sound numbers."""
    estimate = situation.estimate
    if estimate is None or estimate.target.size == 0 or estimate.order_params != situation.order_params:
        return False
    fresh = situation.at_s - float(estimate.starts_s[0]) <= STALE_STEPS * situation.step_s
    sums = estimate.target.sum(axis=0), estimate.expected.sum(axis=0)
    return bool(fresh and all(np.isfinite(each).all() for each in sums) and estimate.target.min() >= 0)


def _foreseen(situation: Situation, estimate: LoadEstimate, step: int) -> Foreseen:
    return Foreseen(
        int(estimate.starts_s[step]),
        situation.order_params,
        estimate.expected[:, step, CPU].copy(),
        situation.measured[:, CPU].copy(),
    )


def _errors(said: Foreseen, situation: Situation) -> tuple[float, float]:
    """Return the squared errors of the forecast and of persistence, per shard as order params lie now."""
    capacity = situation.capacity[:, CPU]
    values = np.column_stack([_aligned(said, situation), situation.measured[:, CPU]])  # (K, 3)
    foreseen, before, came = (per_shard(values, situation.owner, len(capacity)) / capacity[:, None]).T
    return float(((foreseen - came) ** 2).sum()), float(((before - came) ** 2).sum())


def _aligned(said: Foreseen, situation: Situation) -> NDArray[np.float64]:
    """Return (K, 2) expected and measured then, in the order of now; what was unknown then counts as it is now."""
    if said.order_params == situation.order_params:
        return np.column_stack([said.expected, said.measured])
    row_of = {name: row for row, name in enumerate(said.order_params)}
    rows = np.array([row_of.get(name, -1) for name in situation.order_params], dtype=np.int64)
    known = (rows >= 0)[:, None]
    then = np.column_stack([said.expected, said.measured])[rows] if said.order_params else np.zeros((len(rows), 2))
    return np.where(known, then, situation.measured[:, CPU][:, None])
