"""Quantiles that keep their word: adaptive conformal calibration, online, per class of traffic and horizon step.

The mathematics
    A candidate's raw quantile function of one order param and horizon step is read, for the nominal level tau, at an
    adjusted level a(tau), one per class, step and level; at the start a = tau. When a step has been observed, for each
    horizon step h the forecast made h steps before it is looked at: with hit = share of the class's order params whose
    rate lies at or below what was said for tau,

        logit a(tau) <- logit a(tau) + gamma / (1 + h) (tau - hit) / (tau (1 - tau))

    so that an interval that misses too often grows until it does not: as the logit stays within +-REACH, over n steps that
    meet no atom the mean of these hits differs from tau by at most 2 REACH (1 + h) tau (1 - tau) / (gamma n), with no
    assumption on the data. The hits are those of the levels as they are when the step is observed, not as they were when
    the forecast was made: at the first step that is the same, far ahead it is not, and no bound holds for what was said.
    (Steps of the level itself, as in the paper, jump over the narrow range of levels beyond 0.99.) Far steps adapt more
    slowly: what was said for them is known to be wrong only h steps later, and h forecasts in a row err alike, so that with
    the same gain the levels would swing instead of settling. Between the levels the raw quantiles are joined linearly;
    above the highest one an exponential tail goes on, below the lowest a line towards 0.

    Idle order params are atoms: a rate of 0 where all levels up to p are 0 is a hit of tau in the proportion tau / p', p'
    halfway to the next level (the randomised probability integral transform), else nothing could ever be calibrated where
    most steps are idle.

The forecasts to look back at are made anew from the history (they are a function of it), for the busiest order params of
each class. So the state is no more than the adjusted levels and the time up to which they have learnt, and a process that
was restarted catches up by itself. What the candidate was trained on is never looked at.

Rates below half a message a step are said to be 0.

References:
    Gibbs, Candes (2021), "Adaptive conformal inference under distribution shift"; Czado, Gneiting, Held (2009),
    "Predictive model assessment for count data".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.base import LEVELS, WEEK_S, tail_steps, truncated
from models.traffic_class import CLASSES, busiest_of_each, classify
from plb_ray.errors import BadInputError, NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from models.candidate import Member
    from plb_ray.domain.rates import Horizon, RateHistory

FORMAT = 1
MANIFEST = "calibration.json"
TAUS = np.asarray(LEVELS)
MIDDLES = np.array([0.0, *(TAUS[1:] + TAUS[:-1]) / 2, 1.0])
"""Where an atom may begin and end: halfway between the levels, as the truth is somewhere between them."""

LOGITS = np.log(TAUS / (1.0 - TAUS))
REACH = 14.0
"""How far the logit of a level may go: a chance of one in a million."""

HALF_A_MESSAGE = 0.5
FIRST_SHARE = 0.67
"""Of the progress of `fit`: what learning without the tail takes."""


@dataclass(frozen=True)
class CalibrationParams:
    """How quickly and on what the levels adapt.

    Attributes:
        gamma: (0, 1], step of the adjusted levels of the first step; larger follows a change sooner and is noisier.
        leak: [0, 1], share of the way back to the nominal level that a step takes where all order params meet an atom:
            keeps levels that nothing depends on, since all quantiles are 0, from drifting off.
        rows_max: 1.., order params of a class that are looked at, the busiest ones; more change little and cost time.
        steps_max: 1.., observed steps that are caught up with at once, the latest ones; a day of ten minutes.
    """

    gamma: float = 0.05
    leak: float = 0.05
    rows_max: int = 64
    steps_max: int = 144

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        ranges = {"gamma": (0, 1), "leak": (0, 1), "rows_max": (1, 1e6), "steps_max": (1, 1e6)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise BadInputError(f"calibration parameter {name} = {getattr(self, name)!r} must be in {low}..{high}")


@dataclass(frozen=True, eq=False)
class _State:
    """What was learnt: logits of the adjusted levels (C, H, Q), and the end of the last step that was looked at."""

    logits: NDArray[np.float64]
    until_s: int


class Calibrated:
    """Wraps a member. Implements `models.candidate.Member`.

    Args:
        member: whose quantiles are calibrated.
        params: see `CalibrationParams`.
    """

    def __init__(self, member: Member, params: CalibrationParams | None = None) -> None:
        self.name = member.name
        self.made_for = member.made_for
        self._member = member
        self._params = params or CalibrationParams()
        self._horizon: Horizon | None = None
        self._fitted: _State | None = None
        self._state: _State | None = None

    @property
    def lookback_s(self) -> int:
        """See `Candidate`."""
        return self._member.lookback_s

    @property
    def training_s(self) -> int:
        """See `Candidate`."""
        return self._member.training_s

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:
        """See `Candidate`. The levels adapt over the tail while the member has not learnt it; then it does."""
        self._member.fit(grid, horizon, lambda done: on_progress(FIRST_SHARE * done))
        steps = grid.messages_per_s.shape[1]
        tail_s = tail_steps(steps, grid.step_s, horizon) * grid.step_s
        logits = np.broadcast_to(LOGITS, (len(CLASSES), horizon.steps, len(TAUS)))
        self._horizon = horizon
        self._state = _State(logits, grid.end_s - tail_s)
        self._catch_up(grid, steps)
        self._fitted = self._state
        self._member.learn_on(grid, lambda done: on_progress(FIRST_SHARE + (1 - FIRST_SHARE) * done))

    def learn_on(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`. The levels stay: on what the member learns from it is better than on what comes."""
        self._member.learn_on(grid, on_progress)

    def specialise(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`. The levels stay, for the same reason."""
        self._member.specialise(grid, on_progress)

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Candidate`. At each origin the levels have learnt from every step before it, and from none behind."""
        raw = self._member.quantiles(grid, origins)
        said = np.empty_like(raw)
        for i in np.argsort(origins, kind="stable"):
            of_class = classify(truncated(grid, int(origins[i])))
            state = self._catch_up(grid, int(origins[i]))
            said[i] = _read_at(raw[i], _levels(state.logits[of_class]))
        said[said * grid.step_s < HALF_A_MESSAGE] = 0.0
        return said

    def save(self, folder: Path) -> None:
        """See `Member`."""
        if self._fitted is None:
            raise NoForecastError("the forecaster was not trained yet")
        self._member.save(folder / "raw")
        self._state = self._fitted  # from here on this process answers as one that loads the artifact
        content = {"format": FORMAT, "until_s": self._fitted.until_s, "logits": self._fitted.logits.tolist()}
        (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")

    def load(self, folder: Path, horizon: Horizon) -> None:
        """See `Member`."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            logits, until_s = np.array(content["logits"], dtype=np.float64), int(content["until_s"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
        if content.get("format") != FORMAT or logits.shape != (len(CLASSES), horizon.steps, len(LEVELS)):
            raise NoForecastError(f"the artifact in {folder} was made for other settings; train again")
        self._member.load(folder / "raw", horizon)
        self._horizon = horizon
        self._fitted = self._state = _State(logits, until_s)

    def _catch_up(self, grid: RateHistory, origin: int) -> _State:
        """Learn from the steps before an origin that were not looked at yet, and return the state."""
        if self._state is None:
            raise NoForecastError("the forecaster was not trained yet")
        origin_s = grid.start_s + origin * grid.step_s
        if origin_s < self._state.until_s and self._fitted is not None:
            self._state = self._fitted  # asked for an earlier time: what was learnt since must not be used
        first = max((self._state.until_s - grid.start_s) // grid.step_s, origin - self._params.steps_max, 1)
        if first < origin:
            logits = self._learnt(grid, first, origin, self._state.logits.copy())
            self._state = _State(logits, origin_s)
        return self._state

    def _learnt(self, grid: RateHistory, first: int, end: int, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logits (C, H, Q) after the steps [first, end) of the grid have been observed."""
        assert self._horizon is not None
        of_class = classify(truncated(grid, first))
        recent = grid.messages_per_s[:, max(0, first - WEEK_S // grid.step_s) : first]
        rows = busiest_of_each(of_class, recent, self._params.rows_max)
        part, of_class = grid.rows(tuple(grid.order_params[row] for row in rows)), of_class[rows]
        oldest = max(1, first - self._horizon.steps + 1)
        raw = self._member.quantiles(truncated(part, end), np.arange(oldest, end))  # (N, K, H, Q)
        members = [np.flatnonzero(of_class == number) for number in range(len(CLASSES))]
        ahead = np.arange(self._horizon.steps)
        gain = self._params.gamma / (1.0 + ahead)[:, None] / (TAUS * (1.0 - TAUS))  # (H, Q)
        for step in range(first, end):
            known = ahead[step - ahead >= oldest]  # the forecasts of this step that there are
            made = np.stack([raw[step - h - oldest, :, h] for h in known], axis=1)  # (K, h, Q)
            said = _read_at(made, _levels(logits[of_class][:, known]))
            said[said * grid.step_s < HALF_A_MESSAGE] = 0.0
            truth = part.messages_per_s[:, step, None, None]
            hits, tied = _hits(truth, said), truth == said  # (K, h, Q)
            for number, mine in enumerate(members):
                if len(mine):
                    back = self._params.leak * tied[mine].mean(axis=0) * (LOGITS - logits[number, known])
                    logits[number, known] += gain[known] * (TAUS - hits[mine].mean(axis=0)) + back
            logits = np.sort(np.clip(logits, -REACH, REACH), axis=2)
        return logits


def _levels(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def _read_at(raw: NDArray[np.float32], levels: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return quantile functions `raw` (K, H, Q) at levels (K, H, Q) instead of LEVELS."""
    upper = np.clip(np.searchsorted(TAUS, levels), 1, len(TAUS) - 1)  # (K, H, Q)
    low, high = TAUS[upper - 1], TAUS[upper]
    below, above = np.take_along_axis(raw, upper - 1, axis=2), np.take_along_axis(raw, upper, axis=2)
    inside = below + (above - below) * ((levels - low) / (high - low))
    beyond = np.log((1.0 - TAUS[-1]) / (1.0 - np.maximum(levels, TAUS[-1])))
    scale = (raw[..., -1:] - raw[..., -2:-1]) / np.log((1.0 - TAUS[-2]) / (1.0 - TAUS[-1]))
    said = np.where(levels > TAUS[-1], raw[..., -1:] + scale * beyond, inside)
    said = np.where(levels < TAUS[0], raw[..., :1] * levels / TAUS[0], said)
    return np.asarray(np.maximum(said, 0.0), dtype=np.float32)


def _hits(truth: NDArray[np.floating], said: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (K, H, Q) what share of a hit of each level a rate (K, 1, 1) is: 0 or 1, or between them at an atom."""
    hits = (truth <= said).astype(np.float64)
    below = (said < truth).sum(axis=2, keepdims=True)
    upto = (said <= truth).sum(axis=2, keepdims=True)
    tied = upto > below
    bottom, top = MIDDLES[below], MIDDLES[upto]  # the levels that the observed rate stands for
    share = np.clip((TAUS - bottom) / np.where(tied, top - bottom, 1.0), 0.0, 1.0)
    return np.where(tied, share, hits)
