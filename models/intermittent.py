"""Intermittent demand as a distribution: how likely a step has messages at all, and how many it has then.

For order param k, an origin t (the first step to foresee), x the rates, d = 1 where x > 0 and the last week before t:

    p(t)        = p(t-1) + ALPHA (d(t-1) - p(t-1)),           p at the first step = d there
    usual(t)    = mean of d
    p(t, h)     = usual(t) + persistence(h) (p(t) - usual(t))
    quantile(q) = 0                                           if q <= 1 - p(t, h)
                  the sizes' quantile at (q - (1 - p)) / p    else, the sizes being the last SIZES rates > 0

This is the method of Teunter, Syntetos and Babai, whose point forecast is p times the smoothed size, with the distribution
of the latest sizes kept in place of their mean. Unlike Croston's it lets p fall while nothing comes, so that an order param
that is gone fades away. What is on now says much about the next step and little about tomorrow: `persistence` (H,) is how
much of it is left after h steps, the slope of a regression through the origin of d(t + h) - usual(t) on p(t) - usual(t)
over past origins of all order params. Where there is nothing to learn it from it is 1, the plain method.

The quantiles of the sizes are sizes that occurred (the inverse of the empirical distribution), because counts repeat. Few
and recent sizes foresee better than a week of them: a tenant that comes back is like it was lately.

References:
    Teunter, Syntetos, Babai (2011), "Intermittent demand: Linking forecasting to inventory obsolescence", EJOR 214(3).
    Willemain, Smart, Schwarz (2004), "A new approach to forecasting intermittent demand": sizes resampled from the past.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, LEVELS, WEEK_S
from models.traffic_class import CLASSES, INTERMITTENT
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from plb_ray.domain.rates import Horizon, RateHistory

FORMAT = 1
MANIFEST = "tsb.json"
ALPHA = 0.3
SIZES = 12
ORIGINS = 64
"""Past origins that the persistence is learnt from."""

ROUNDING = 1e-3
"""Of a rank among the sizes, so that an error of float32 does not take the next one."""

ROWS = 2048
"""Order params that are worked on at a time: bounds the memory to some 50 MB and stays near the cache."""


class IntermittentForecaster:
    """Implements `models.candidate.Member`.

    Attributes:
        persistence: (H,) in [0, 1], learnt by `fit`.
    """

    name = "tsb"
    made_for = CLASSES[INTERMITTENT]
    lookback_s = WEEK_S
    training_s = WEEK_S + 14 * DAY_S

    def __init__(self) -> None:
        self._horizon: Horizon | None = None
        self.persistence: NDArray[np.float64] = np.empty(0)

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:
        """See `Candidate`. Any history will do."""
        grid = grid.last(max(1, self.training_s // grid.step_s))
        every = max(1, len(grid.order_params) // ROWS)  # of many order params a spread of them is enough
        busy = np.asarray(grid.messages_per_s)[::every] > 0
        self.persistence = _persistence(busy, self._window(grid), horizon.steps)
        self._horizon = horizon
        on_progress(1.0)

    def learn_on(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: the same as `fit`."""
        self.fit(grid, self._trained(), on_progress)

    def specialise(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: each order param is on its own anyway."""
        self.learn_on(grid, on_progress)

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Candidate`."""
        horizon = self._trained()
        rates, window = np.asarray(grid.messages_per_s), self._window(grid)
        values = np.empty((len(origins), len(rates), horizon.steps, len(LEVELS)), dtype=np.float32)
        for i, origin in enumerate(origins):
            for begin in range(0, len(rates), ROWS):
                past = rates[begin : begin + ROWS, max(0, origin - window) : origin]
                values[i, begin : begin + ROWS] = _quantiles(past, self.persistence)
        return values

    def save(self, folder: Path) -> None:
        """See `Member`."""
        content = _made_for(self._trained()) | {"persistence": self.persistence.tolist()}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")

    def load(self, folder: Path, horizon: Horizon) -> None:
        """See `Member`."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            persistence = np.array(content.pop("persistence"), dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
        if content != _made_for(horizon) or persistence.shape != (horizon.steps,):
            raise NoForecastError(f"the artifact in {folder} was made for other settings; train again")
        self._horizon, self.persistence = horizon, persistence

    def _window(self, grid: RateHistory) -> int:
        return max(1, self.lookback_s // grid.step_s)

    def _trained(self) -> Horizon:
        if self._horizon is None:
            raise NoForecastError("the intermittent-demand forecaster was not trained yet")
        return self._horizon


def chances(busy: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return p and usual, (K,) each, of the step after `busy` (K, T).

    The recursion unrolled: the step i before the last one weighs ALPHA (1 - ALPHA)^i, the first step what is left.
    """
    steps = busy.shape[1]
    smoothing = ALPHA * (1.0 - ALPHA) ** np.arange(steps - 1, -1, -1.0)
    smoothing[0] = (1.0 - ALPHA) ** (steps - 1)
    weights = np.stack([smoothing, np.full(steps, 1.0 / steps)], axis=1)  # (T, 2)
    likely = np.clip(busy.astype(np.float32) @ weights.astype(np.float32), 0.0, 1.0)
    return likely[:, 0], likely[:, 1]


def _persistence(busy: NDArray[np.bool_], window: int, steps: int) -> NDArray[np.float64]:
    """Return (H,) from the past of all order params, `busy` (K, T)."""
    last = busy.shape[1] - steps
    if last < 1:
        return np.ones(steps)
    origins = np.unique(np.linspace(min(last, window // 7), last, ORIGINS).astype(np.intp))
    origins = origins[origins >= 1]
    product, square = np.zeros(steps), 0.0
    for origin in origins:
        now, usual = chances(busy[:, max(0, origin - window) : origin])
        excess = (now - usual).astype(np.float64)  # (K,)
        product += excess @ (busy[:, origin : origin + steps] - usual[:, None])
        square += float(excess @ excess)
    return np.clip(product / square, 0.0, 1.0) if square > 0 else np.ones(steps)


def _quantiles(past: NDArray[np.floating], persistence: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the quantiles (K, H, Q) of the steps after `past` (K, T)."""
    busy = past > 0
    sizes, count = _latest_sizes(past, busy)  # (K, SIZES), (K,)
    now, usual = chances(busy)
    likely = usual[:, None] + persistence * (now - usual)[:, None]  # (K, H)
    among_sizes = 1.0 - (1.0 - np.asarray(LEVELS)) / np.maximum(likely, 1e-9)[..., None]  # (K, H, Q); <= 0 = idle
    rank = np.ceil(among_sizes * count[:, None, None] - ROUNDING)  # from 1
    place = np.clip(SIZES - count[:, None, None] + rank - 1, 0, SIZES - 1).astype(np.intp)
    said = sizes[np.arange(len(sizes))[:, None, None], place]
    return np.where(among_sizes > 0, said, np.float32(0.0))


def _latest_sizes(past: NDArray[np.floating], busy: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the last SIZES rates > 0 of each row, ascending, zeros before them where there are fewer, and how many."""
    back = np.cumsum(busy[:, ::-1], axis=1, dtype=np.int32)[:, ::-1]  # (K, T) 1 = the latest busy step
    rows, steps = np.nonzero(busy & (back <= SIZES))
    sizes = np.zeros((len(past), SIZES), dtype=np.float32)
    sizes[rows, SIZES - back[rows, steps]] = past[rows, steps]
    return np.sort(sizes, axis=1), np.minimum(back[:, 0], SIZES).astype(np.intp)


def _made_for(horizon: Horizon) -> dict[str, object]:
    return {"format": FORMAT, "horizon": asdict(horizon)}
