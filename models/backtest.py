"""Rolling-origin backtest: every candidate forecasts the same past, and what came says who was best.

Each entrant is fitted once on the training part of a course (`models.backtest_course`), asked at its origins and marked
(`models.backtest_judge`). The champion is the one with the least weighted quantile loss (WQL). Whether it is really better
than the best rival, a statistical standard, is tested on the losses of the single origins
(`models.trials.significantly_better`).

With a calendar, an entrant may run twice, with and without the events: the difference is what they bring, overall and
where an event falls into the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.backtest_fans import fans_of
from models.backtest_judge import Judge, course_for
from models.sums import sums_of
from models.trials import significantly_better
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from models.backtest_course import Course
    from models.backtest_fans import Fan
    from models.backtest_judge import Entrant, Judgement, Tell
    from models.sums import Sums


@dataclass(frozen=True)
class EventGain:
    """What knowing the events brings to one entrant: its weighted quantile loss with and without them.

    Attributes:
        at_with, at_without: over the order params and origins whose horizon an event touches; None if there are none.
        p: p-value of "with is no better than without", over all origins.
    """

    name: str
    with_events: float
    without: float
    at_with: float | None
    at_without: float | None
    p: float


@dataclass(frozen=True, eq=False)
class Backtest:
    """The whole outcome.

    Attributes:
        judged: in the order of the entrants.
        left_out: those that could not take part, with the reason.
        p: p-value of "the champion is no better than the best rival"; None without a rival, or if the champion is one.
        sums, fans: of the champion.
    """

    course: Course
    judged: tuple[Judgement, ...]
    left_out: dict[str, str]
    p: float | None
    sums: Sums
    fans: tuple[Fan, ...]
    events: tuple[EventGain, ...]

    @property
    def champion(self) -> Judgement:
        """The one with the least weighted quantile loss; of equals the first."""
        return best(self.judged)

    @property
    def best_rival(self) -> Judgement | None:
        """The best statistical standard."""
        rivals = [each for each in self.judged if each.entrant.is_rival]
        return best(rivals) if rivals else None


def best(judged: Sequence[Judgement]) -> Judgement:
    """Return the one with the least weighted quantile loss."""
    return min(judged, key=lambda each: each.scores.wql)


def run_backtest(
    course: Course, entrants: Sequence[Entrant], seed: int, elapsed_from: Callable[[], float], tell: Tell
) -> Backtest:
    """Judge all entrants, one after the other, and compare them.

    Args:
        course: see there.
        entrants: not fitted yet; they are when this returns.
        seed: of the random sets of `models.sums`.
        elapsed_from: a clock whose differences are seconds.
        tell: hears of the progress.

    Raises:
        NoForecastError: none of the entrants could take part; the text says why the first one could not.
    """
    judged: list[Judgement] = []
    left_out: dict[str, str] = {}
    of_best: NDArray[np.float32] | None = None  # (N, K, H, Q)
    for entrant in entrants:
        try:
            judgement, values = Judge(course, entrant, elapsed_from, tell).judge()
        except NoForecastError as error:
            left_out[entrant.name] = str(error)
            continue
        judged.append(judgement)
        of_best = values if best(judged) is judgement else of_best
    if of_best is None:
        name, why = next(iter(left_out.items()))
        raise NoForecastError(f"none of the models can foresee this trace; {name}: {why}")
    champion = best(judged)
    return Backtest(
        course=course,
        judged=tuple(judged),
        left_out=left_out,
        p=_p_value(course, judged),
        sums=sums_of(course, of_best, np.random.default_rng(seed)),
        fans=fans_of(course_for(course, champion.entrant), champion.entrant.candidate),
        events=tuple(_event_gains(course, judged)),
    )


def _p_value(course: Course, judged: Sequence[Judgement]) -> float | None:
    champion, rivals = best(judged), [each for each in judged if each.entrant.is_rival]
    if champion.entrant.is_rival or not rivals:
        return None
    return significantly_better(champion.losses, best(rivals).losses, course.overlap)


def _event_gains(course: Course, judged: Sequence[Judgement]) -> list[EventGain]:
    """Compare each twin with the entrant that knows the events."""
    by_name = {each.name: each for each in judged}
    pairs = [(by_name[each.entrant.twin_of], each) for each in judged if each.entrant.twin_of in by_name]
    return [
        EventGain(
            name=told.name,
            with_events=told.scores.wql,
            without=untold.scores.wql,
            at_with=told.wql_at_events,
            at_without=untold.wql_at_events,
            p=significantly_better(told.losses, untold.losses, course.overlap),
        )
        for told, untold in pairs
    ]
