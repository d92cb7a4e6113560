"""The course that every candidate of a backtest is put to: which steps are learnt from, and where forecasts are asked for.

    |<----------- training: three quarters ----------->|<------------- test ------------->|
    0                                             train_steps    origins, evenly spread   T
                                                       o    o    o    o    o    o ====
                                                                                H steps

Candidates are fitted once on the training part. At each origin they are handed what lies before it; all H steps behind it
have happened, so each forecast is judged whole. Nothing is forecast here.

Axes: N origins, K order params, T steps of the grid, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from models.base import on_grid, truncated
from models.scores import seasonal_scale
from models.traffic_class import classify
from plb_ray.domain.events import EventCalendar, covariate_rows
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import Horizon, RateHistory

TRAIN_SHARE = 0.75
ORIGINS = {"short": 96, "medium": 48}
"""How many origins are asked for, by the horizon's name, unless said otherwise."""

ORIGINS_MIN = 8
"""Fewer origins than these say nothing about the next one."""


@dataclass(frozen=True, eq=False)
class Course:
    """One trace, one horizon, the cut and the origins.

    Attributes:
        grid: (K, T) clean rates in the horizon's steps, with the calendar.
        horizon: H steps of the grid's length.
        train_steps: learnt from; the first origin is not before it.
        origins: (N,) index of the first step to foresee, ascending, each with a full horizon.
    """

    grid: RateHistory
    horizon: Horizon
    train_steps: int
    origins: NDArray[np.intp]

    @property
    def steps(self) -> int:
        """T."""
        return int(self.grid.messages_per_s.shape[1])

    @property
    def training(self) -> RateHistory:
        """(K, train_steps): what candidates are fitted on."""
        return truncated(self.grid, self.train_steps)

    @cached_property
    def actual(self) -> NDArray[np.floating]:
        """(N, K, H): what came."""
        return self.after(self.origins)

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """(K,): the seasonal naive's error in training, the unit of MASE."""
        return seasonal_scale(self.grid, self.train_steps)

    @cached_property
    def of_class(self) -> NDArray[np.intp]:
        """(K,): class of traffic by the training part, an index into `models.traffic_class.CLASSES`."""
        return classify(self.training)

    @cached_property
    def training_means(self) -> NDArray[np.float64]:
        """(K,): mean rates of the training part."""
        return np.asarray(self.training.messages_per_s.mean(axis=1, dtype=np.float64))

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """(N, K): whether an event that concerns the order param falls into the horizon of the origin."""
        grid = self.grid
        kinds = grid.calendar.kinds
        rows, row_of = covariate_rows(grid.calendar, kinds, grid.order_params, grid.start_s, grid.step_s, self.steps)
        busy = np.asarray(rows.max(axis=2, initial=0.0) > 0)  # (U, T)
        ahead = self.origins[:, None] + np.arange(self.horizon.steps)  # (N, H)
        return np.asarray(busy[:, ahead].any(axis=2)).T[:, row_of]

    @property
    def overlap(self) -> int:
        """How many of the following origins' horizons share steps with one's own: losses are correlated up to this lag."""
        gap = int(np.diff(self.origins).min())
        return -(-self.horizon.steps // gap) - 1

    def after(self, origins: NDArray[np.intp]) -> NDArray[np.floating]:
        """Return (N, K, H) the rates of the horizon steps of some origins."""
        ahead = origins[:, None] + np.arange(self.horizon.steps)
        return self.grid.messages_per_s[:, ahead].swapaxes(0, 1)

    def all_origins(self, most: int) -> NDArray[np.intp]:
        """Return every origin of the test part, or every second, third, ... if there are more than `most`."""
        end = self.steps - self.horizon.steps + 1
        return np.arange(self.train_steps, end, -(-(end - self.train_steps) // most))

    def without_events(self) -> Course:
        """Return the same course run by people who know of no event."""
        return replace(self, grid=replace(self.grid, calendar=EventCalendar()))


def course_of(history: RateHistory, horizon: Horizon, origins: int | None = None) -> Course:
    """Return the course of a history.

    Args:
        history: its step divides the horizon's.
        horizon: to be judged.
        origins: N at most; None = as many as the horizon usually gets.

    Raises:
        BadInputError: the history is too short, nothing came in its last quarter, or the step does not divide the horizon's.
    """
    grid = on_grid(history, horizon)
    steps = int(grid.messages_per_s.shape[1])
    train, last = _cut(steps), steps - horizon.steps
    if last - train + 1 < ORIGINS_MIN:
        needed = next(each for each in count() if each - horizon.steps - _cut(each) + 1 >= ORIGINS_MIN)
        raise BadInputError(
            f"a backtest of the {horizon.name} horizon needs at least {needed} steps of {horizon.step_s} s, and the trace "
            f"covers {steps}; give a longer trace{', or a shorter --step' if horizon.name == 'short' else ''}"
        )
    wanted = min(origins or ORIGINS[horizon.name], last - train + 1)
    course = Course(grid, horizon, train, np.unique(np.linspace(train, last, wanted).astype(np.intp)))
    if not course.actual.any():
        raise BadInputError("no message comes in the last quarter of the trace; there is nothing to foresee")
    return course


def _cut(steps: int) -> int:
    return int(TRAIN_SHARE * steps)
