"""Several members weighed together, per class of traffic: what they foresaw of a held-out tail decides how much each counts.

The mathematics of the weights
    Member m says the quantiles q_m (N, K, H, Q) for origins of the tail. For each class of order params (hot, bursty,
    intermittent, steady; `models.traffic_class`) the ensemble says

        q = sum_m w_m q_m,      w_m >= 0,  sum w_m = 1

    quantile by quantile (Vincent's averaging: sharper than mixing the distributions), with the w that minimise

        mean pinball loss(w) / mean pinball loss(prior)  +  KL(w | prior) / n

    over the tail, found as a softmax of free variables. n is how many spans of a horizon, but of CORRELATED_S at least, the
    tail holds, times the order params of the class, INDEPENDENT at most: two days of a single tenant may not turn over what
    is known beforehand. The prior is what is given (equal weights, for example), but hardly any for a method that is made
    for one class in the others.

Members that have nothing to learn from so short a history are left out. A row that a member spoils (not finite) is what
the last member says: the baseline, which never fails.

References:
    Vincent (1912); Lichtendahl, Grushka-Cockayne, Winkler (2013), "Is it better to average probabilities or quantiles?".
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from models.base import LEVELS, tail_steps, truncated
from models.progress import Share
from models.traffic_class import CLASSES, busiest_of_each, classify
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.candidate import Member
    from plb_ray.domain.rates import Horizon, RateHistory

LOG = logging.getLogger(__name__)
FORMAT = 1
MANIFEST = "ensemble.json"
ORIGINS = 48
"""Origins of the held-out tail that the members are weighed on."""

ROWS_MAX = 400
"""Order params of a class that are looked at: more do not change the weights."""

INDEPENDENT = 4
"""Order params of a class that count as independent evidence: customers and clocks are common to many."""

CORRELATED_S = 6 * 3600
"""Errors of one order param within this time are one piece of evidence: who is good in the morning may not be at night."""

FOREIGN = 0.02
"""Weight, relative to the others, that a member with a class of its own has beforehand in other classes."""

NEGLIGIBLE = 0.02
"""A weight below it is none, so that the member need not be asked."""

LEARNING_SHARE = 0.97
"""Of the progress of `fit`: what the members take; weighing them is quick."""


class Ensemble:
    """Implements `models.candidate.Member`.

    Args:
        members: the last one must never fail: it stands in for what the others spoil.
        beforehand: weight of each member in the prior, relative to the others; None: all the same.
        name: of the ensemble.
    """

    def __init__(self, members: Sequence[Member], beforehand: Sequence[float] | None = None, name: str = "ensemble") -> None:
        assert beforehand is None or len(beforehand) == len(members)
        self.name = name
        self._beforehand = dict(zip((one.name for one in members), beforehand or [1.0] * len(members), strict=True))
        self.made_for = ""
        self._members = tuple(members)
        self._horizon: Horizon | None = None
        self._active: tuple[Member, ...] = ()
        self.weights: NDArray[np.float64] = np.empty((0, 0))
        """(classes, active members)."""

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the members that had enough to learn from."""
        return tuple(member.name for member in self._active)

    @property
    def lookback_s(self) -> int:
        """See `Candidate`."""
        return max(member.lookback_s for member in self._members)

    @property
    def training_s(self) -> int:
        """See `Candidate`."""
        return max(member.training_s for member in self._members)

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:
        """See `Candidate`. The members learn from all but the tail and are weighed on the tail."""
        steps = grid.messages_per_s.shape[1]
        cut = steps - tail_steps(steps, grid.step_s, horizon)
        learning = Share(on_progress, 0.0, LEARNING_SHARE)
        active = _fitted(self._members, truncated(grid, cut), horizon, learning)
        if not active:
            raise NoForecastError(f"{steps} steps of {grid.step_s} s are too short a history for any of the members")
        self._active, self._horizon = active, horizon
        self.weights = _weigh(active, self._beforehand, grid, cut, horizon)
        on_progress(1.0)

    def learn_on(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: the members that count go on; the weights stay."""
        for member, share in self._counting(on_progress):
            member.learn_on(grid, share)
        on_progress(1.0)

    def specialise(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: the members that count do; the weights stay."""
        for member, share in self._counting(on_progress):
            member.specialise(grid, share)
        on_progress(1.0)

    def _counting(self, on_progress: Callable[[float], None]) -> list[tuple[Member, Share]]:
        """Return the members that have a weight, each with what it tells its progress to."""
        if self._horizon is None:
            raise NoForecastError("the ensemble was not trained yet")
        counting = [member for member, weight in zip(self._active, self.weights.max(axis=0), strict=True) if weight > 0]
        count = len(counting)
        return [(each, Share(on_progress, at / count, (at + 1) / count)) for at, each in enumerate(counting)]

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Candidate`. Classes are those of the grid as it is before the first origin."""
        if self._horizon is None:
            raise NoForecastError("the ensemble was not trained yet")
        of_class = classify(truncated(grid, int(np.min(origins))))  # (K,)
        used = [i for i in range(len(self._active)) if self.weights[np.unique(of_class), i].max() > 0]
        stand_in = None
        total = np.zeros((len(origins), len(of_class), self._horizon.steps, len(LEVELS)), dtype=np.float32)
        for i in used:
            said = self._active[i].quantiles(grid, origins)
            spoiled = ~np.isfinite(said).all(axis=(2, 3))  # (N, K)
            if spoiled.any():
                stand_in = self._active[-1].quantiles(grid, origins) if stand_in is None else stand_in
                said = np.where(spoiled[..., None, None], stand_in, said)
            total += self.weights[of_class, i].astype(np.float32)[None, :, None, None] * said
        return total

    def save(self, folder: Path) -> None:
        """See `Member`: one folder for each active member."""
        if self._horizon is None:
            raise NoForecastError("the ensemble was not trained yet")
        folder.mkdir(parents=True, exist_ok=True)
        for member in self._active:
            member.save(folder / member.name)
        content = {"format": FORMAT, "active": self.active, "classes": CLASSES, "weights": self.weights.tolist()}
        (folder / MANIFEST).write_text(json.dumps(content, indent=2), encoding="utf-8")

    def load(self, folder: Path, horizon: Horizon) -> None:
        """See `Member`."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            by_name = {member.name: member for member in self._members}
            active = tuple(by_name[name] for name in content["active"])
            weights = np.array(content["weights"], dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
        if content.get("format") != FORMAT or weights.shape != (len(CLASSES), len(active)):
            raise NoForecastError(f"the artifact in {folder} was made for other settings; train again")
        for member in active:
            member.load(folder / member.name, horizon)
        self._active, self._horizon, self.weights = active, horizon, weights


def _fitted(
    members: Sequence[Member], grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]
) -> tuple[Member, ...]:
    """Return those members that could learn, trained."""
    active = []
    for number, member in enumerate(members):
        try:
            member.fit(grid, horizon, Share(on_progress, number / len(members), (number + 1) / len(members)))
        except NoForecastError as error:
            LOG.info("%s is left out of the ensemble: %s", member.name, error)
        else:
            active.append(member)
    return tuple(active)


def _weigh(
    active: Sequence[Member], beforehand: Mapping[str, float], grid: RateHistory, cut: int, horizon: Horizon
) -> NDArray[np.float64]:
    """Return the weights (classes, members) that foresee the tail best."""
    weights = np.zeros((len(CLASSES), len(active)))
    last = grid.messages_per_s.shape[1] - horizon.steps
    origins = np.unique(np.linspace(max(1, min(cut, last)), max(1, last), ORIGINS).astype(np.intp))
    if last < 1 or len(active) == 1:
        weights[:, -1] = 1.0
        return weights
    of_class = classify(truncated(grid, int(origins[0])))
    rows = busiest_of_each(of_class, grid.messages_per_s, ROWS_MAX)
    part, of_class = grid.rows(tuple(grid.order_params[row] for row in rows)), of_class[rows]
    said = np.stack([member.quantiles(part, origins) for member in active])  # (M, N, K, H, Q)
    actual = part.messages_per_s[:, origins[:, None] + np.arange(horizon.steps)].swapaxes(0, 1)  # (N, K, H)
    sound = np.isfinite(said).all(axis=(1, 2, 3, 4))
    tail_s = (grid.messages_per_s.shape[1] - cut) * grid.step_s
    spans = max(1.0, tail_s / max(horizon.steps * horizon.step_s, CORRELATED_S))
    for number, name in enumerate(CLASSES):
        prior = np.array([beforehand[one.name] * (1.0 if one.made_for in {"", name} else FOREIGN) for one in active])[sound]
        mine = of_class == number
        evidence = spans * min(int(mine.sum()), INDEPENDENT)
        weights[number, sound] = _best_weights(said[sound][:, :, mine], actual[:, mine], prior / prior.sum(), evidence)
    return weights


def _best_weights(
    said: NDArray[np.float32], actual: NDArray[np.floating], prior: NDArray[np.float64], evidence: float
) -> NDArray[np.float64]:
    """Return (M,) weights of members' quantiles (M, N, K, H, Q) for what came, (N, K, H); the prior without evidence."""
    if not evidence or not actual.any():
        return prior
    flat = said.reshape(len(said), -1, len(LEVELS)).astype(np.float64)
    truth = actual.reshape(-1, 1).astype(np.float64)
    levels = np.asarray(LEVELS)

    def pinball_of(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        error = truth - np.tensordot(weights, flat, axes=1)  # (windows, Q)
        slope = np.where(error > 0, -levels, 1.0 - levels) / error.size  # of the loss in the quantile
        return float(np.maximum(levels * error, (levels - 1.0) * error).mean()), np.tensordot(flat, slope, axes=2)

    at_prior = max(pinball_of(prior)[0], float(np.finfo(np.float32).tiny))

    def objective(free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = _softmax(free)
        loss, slope = pinball_of(weights)
        surprise = np.log(np.maximum(weights, 1e-12) / prior)
        slope = slope / at_prior + (surprise + 1.0) / evidence
        value = loss / at_prior + float(weights @ surprise) / evidence
        return value, weights * (slope - weights @ slope)

    bounds = [(-12.0, 12.0)] * len(said)
    weights = _softmax(minimize(objective, np.log(prior), jac=True, method="L-BFGS-B", bounds=bounds).x)
    weights[weights < NEGLIGIBLE] = 0.0
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _softmax(free: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(free - free.max())
    return np.asarray(weights / weights.sum())
