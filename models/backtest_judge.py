"""How one entrant of a backtest does: fitted, asked at every origin, marked. Who is best is said in `models.backtest`.

Nothing here reads the clock: seconds come from a callable. Axes: N origins, K order params, H horizon steps, Q quantile
levels.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.backtest_coverage import coverage_of, joined, reliability
from models.base import DECILES, pinball, truncated, weighted_quantile_loss
from models.regret import regret_of
from models.scores import by_class, score
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.backtest_course import Course
    from models.backtest_coverage import Coverage
    from models.candidate import Candidate
    from models.regret import Regret
    from models.scores import Scores
    from plb_ray.domain.rates import RateHistory

Tell = Callable[[str, str, float], None]
"""Is told an entrant's name, what it does (see PHASES), and the fraction of that which is done."""

LEARNS, FORESEES, EVERYWHERE = "learns", "foresees", "is tried everywhere"
PHASES = (LEARNS, FORESEES, EVERYWHERE)
AT_ONCE = 8
"""Origins per call: bounds the memory and moves the progress bar."""

TIMED = 5
"""Predictions at the last origins, one step apart, whose median is the prediction time."""

EVERYWHERE_MAX = 4096
"""Most origins of the coverage of the whole test part; four weeks of ten minutes. A longer one is looked at with gaps."""


@dataclass(frozen=True)
class Entrant:
    """A candidate in the race.

    Attributes:
        name: in the tables, unique.
        candidate: not fitted yet.
        is_rival: a statistical standard, to be beaten.
        everywhere: quick enough to be asked at every origin of the test part.
        twin_of: name of the entrant that is the same but for the events, which this one is not told; "" = it knows them.
    """

    name: str
    candidate: Candidate
    is_rival: bool = False
    everywhere: bool = False
    twin_of: str = ""


@dataclass(frozen=True, eq=False)
class Judgement:
    """How an entrant did.

    Attributes:
        scores: over all origins.
        of_class: the same by class of traffic, for the classes that occur.
        wql_by_step: (H,) weighted quantile loss of each horizon step.
        losses: (N,) its parts by origin; their mean is `scores.wql`.
        reliability: (Q,) share of the actual rates at or below each quantile (atoms shared out); ideally LEVELS.
        regret: cost of deciding on it.
        wql_at_events: over the order params and origins whose horizon an event touches; None if there are none.
        coverage: at every origin of the test part; None if it was not asked there.
        fit_s, predict_ms: seconds of fitting, milliseconds of foreseeing all order params at one origin.
    """

    entrant: Entrant
    scores: Scores
    of_class: dict[str, Scores]
    wql_by_step: NDArray[np.float64]
    losses: NDArray[np.float64]
    reliability: NDArray[np.float64]
    regret: Regret
    wql_at_events: float | None
    coverage: Coverage | None
    fit_s: float
    predict_ms: float

    @property
    def name(self) -> str:
        """Of the entrant."""
        return self.entrant.name


def course_for(course: Course, entrant: Entrant) -> Course:
    """Return the course as the entrant sees it."""
    return course.without_events() if entrant.twin_of else course


@dataclass(frozen=True)
class Judge:
    """Judges one entrant.

    Args:
        course: see there.
        entrant: not fitted yet.
        elapsed_from: a clock whose differences are seconds.
        tell: hears of the progress.
    """

    course: Course
    entrant: Entrant
    elapsed_from: Callable[[], float]
    tell: Tell

    @property
    def grid(self) -> RateHistory:
        return course_for(self.course, self.entrant).grid

    def judge(self) -> tuple[Judgement, NDArray[np.float32]]:
        """Return the marks, and the quantiles (N, K, H, Q) at the origins of the course.

        Raises:
            NoForecastError: the history is too short for it, or it says what is no number.
        """
        course, actual = self.course, self.course.actual
        fit_s = self._fit()
        values = self._foresee()
        judgement = Judgement(
            entrant=self.entrant,
            scores=score(actual, values, course.scale),
            of_class=by_class(actual, values, course.scale, course.of_class),
            wql_by_step=np.array([weighted_quantile_loss(actual[..., h], values[:, :, h]) for h in range(actual.shape[2])]),
            losses=losses_of(actual, values),
            reliability=reliability(actual, values),
            regret=regret_of(course, values),
            wql_at_events=_wql_at_events(course, values),
            predict_ms=1000.0 * self._predict_s(),
            coverage=self._everywhere() if self.entrant.everywhere else None,
            fit_s=fit_s,
        )
        return judgement, values

    def _fit(self) -> float:
        """Fit on the training part and return the seconds it took."""
        began = self.elapsed_from()
        training = truncated(self.grid, self.course.train_steps)
        self.entrant.candidate.fit(training, self.course.horizon, lambda done: self._tell(LEARNS, done))
        return self.elapsed_from() - began

    def _foresee(self) -> NDArray[np.float32]:
        """Return (N, K, H, Q).

        Raises:
            NoForecastError: some of it is not finite.
        """
        parts = []
        for origins in _some_at_once(self.course.origins):
            parts.append(self.entrant.candidate.quantiles(self.grid, origins))
            self._tell(FORESEES, sum(map(len, parts)) / len(self.course.origins))
        values = np.concatenate(parts)
        spoiled = int((~np.isfinite(values).all(axis=(2, 3))).sum())
        if spoiled:
            raise NoForecastError(f"{spoiled} of its {values.shape[0] * values.shape[1]} forecasts are not finite numbers")
        return values

    def _predict_s(self) -> float:
        """Return the median seconds of foreseeing all order params at one origin, from nothing but what lies before it.

        The origins are the last ones, a step apart: so it is in service, where each one learns from one new step.
        """
        taken = []
        last = int(self.course.origins[-1])
        for origin in range(max(1, last - TIMED + 1), last + 1):
            known = truncated(self.grid, origin)
            began = self.elapsed_from()
            self.entrant.candidate.quantiles(known, np.array([origin]))
            taken.append(self.elapsed_from() - began)
        return statistics.median(taken)

    def _everywhere(self) -> Coverage:
        """Return the coverage over the whole test part; the quantiles themselves are not kept."""
        every = self.course.all_origins(EVERYWHERE_MAX)
        parts: list[Coverage] = []
        for origins in _some_at_once(every):
            said = self.entrant.candidate.quantiles(self.grid, origins)
            parts.append(coverage_of(self.course, origins, said))
            self._tell(EVERYWHERE, min(1.0, len(parts) * AT_ONCE / len(every)))
        return joined(parts)

    def _tell(self, phase: str, done: float) -> None:
        self.tell(self.entrant.name, phase, done)


def _some_at_once(origins: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [origins[begin : begin + AT_ONCE] for begin in range(0, len(origins), AT_ONCE)]


def losses_of(actual: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (N,) the weighted quantile loss by origin, relative to the mean traffic of all: their mean is the WQL."""
    total = max(float(np.abs(actual).sum(dtype=np.float64)), float(np.finfo(np.float32).tiny))
    of_origin = np.array([pinball(*one)[..., DECILES].mean(axis=-1).sum() for one in zip(actual, values, strict=True)])
    return np.asarray(2.0 * of_origin * len(actual) / total, dtype=np.float64)


def _wql_at_events(course: Course, values: NDArray[np.floating]) -> float | None:
    touched = course.touched
    return weighted_quantile_loss(course.actual[touched], values[touched]) if touched.any() else None
