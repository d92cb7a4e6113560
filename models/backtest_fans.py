"""What the champion said about a few order params over the last days of the test part, to be drawn over what came.

The origins are H steps apart, so that the horizons follow each other without gap or overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S
from models.traffic_class import BURSTY, CLASSES, INTERMITTENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.backtest_course import Course
    from models.candidate import Candidate

BUSIEST = 3
SPAN_S = {"short": 3 * DAY_S, "medium": 14 * DAY_S}
ORIGINS_MAX = 96


@dataclass(frozen=True, eq=False)
class Fan:
    """One order param.

    Attributes:
        traffic_class: its class, a word of `models.traffic_class.CLASSES`.
        at_s: (M,) starts of the steps.
        actual: (M,) what came.
        values: (M, Q) what was said.
    """

    order_param: str
    traffic_class: str
    at_s: NDArray[np.int64]
    actual: NDArray[np.floating]
    values: NDArray[np.floating]


def fans_of(course: Course, candidate: Candidate) -> tuple[Fan, ...]:
    """Return the fans of the three busiest order params, a bursty and an intermittent one (the busiest of their kind)."""
    steps, grid = course.horizon.steps, course.grid
    origins = _origins(course)
    values = candidate.quantiles(grid, origins)  # (N, K, H, Q)
    actual = course.after(origins)
    at_s = grid.start_s + grid.step_s * (origins[:, None] + np.arange(steps)).ravel().astype(np.int64)
    return tuple(
        Fan(
            order_param=grid.order_params[row],
            traffic_class=CLASSES[course.of_class[row]],
            at_s=at_s,
            actual=actual[:, row].ravel(),
            values=values[:, row].reshape(len(at_s), -1),
        )
        for row in _shown(course)
    )


def _origins(course: Course) -> NDArray[np.intp]:
    """Return the last origins whose horizons follow each other, ascending."""
    steps = course.horizon.steps
    last = course.steps - steps
    span = SPAN_S[course.horizon.name] // (steps * course.grid.step_s)
    count = min(max(1, span), ORIGINS_MAX, (last - course.train_steps) // steps + 1)
    return np.arange(last - (count - 1) * steps, last + 1, steps)


def _shown(course: Course) -> list[int]:
    busiest = [int(row) for row in np.argsort(-course.training_means, kind="stable")]
    shown = busiest[:BUSIEST]
    for kind in (BURSTY, INTERMITTENT):
        shown += [row for row in busiest if course.of_class[row] == kind and row not in shown][:1]
    return shown
