"""What `plb backtest` does, without its words: reads the trace and the events, names the entrants, runs the race."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.backtest import run_backtest
from models.backtest_course import course_of
from models.backtest_judge import EVERYWHERE, FORESEES, LEARNS, Entrant
from models.factory import CANDIDATES, NETWORKS, candidates_for, preload
from models.statistical import RIVALS
from plb_ray.clock import monotonic_s
from plb_ray.domain.rates import medium_horizon, short_horizon
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_read import form_of, read_events
from plb_ray.ingest.events_times import Span
from plb_ray.simulation.trace import packaged_sample, read_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from models.backtest import Backtest
    from models.backtest_judge import Tell
    from models.candidate import Candidate
    from plb_ray.domain.events import EventCalendar
    from plb_ray.domain.rates import Horizon, RateHistory
    from plb_ray.simulation.trace import Trace

SAMPLE = "sample"
NO_EVENTS = "-no-events"
SHARES = {LEARNS: (0.0, 0.5), FORESEES: (0.5, 0.3), EVERYWHERE: (0.8, 0.2)}
"""Where each phase of an entrant begins on the bar, and how long it is there; the true shares are not known before."""


@dataclass(frozen=True)
class Zoo:
    """The models that there are.

    Attributes:
        names: all of them, in the order of the tables.
        rivals: the statistical standards among them; slow, so that they are not asked everywhere.
        learners: those that make use of events.
        make: from names and a seed to fresh candidates, in the same order.
        load: imports what the models of these names need, which takes seconds, so that it does not count as their fitting.
    """

    names: tuple[str, ...]
    rivals: tuple[str, ...]
    learners: frozenset[str]
    make: Callable[[Iterable[str], int], list[Candidate]]
    load: Callable[[Iterable[str]], None]


LEARNERS = frozenset({"ensemble", *NETWORKS})
ZOO = Zoo(CANDIDATES, RIVALS, LEARNERS, candidates_for, preload)


@dataclass(frozen=True)
class BacktestAsk:
    """What is asked for.

    Attributes:
        trace: a file; None or "sample" = the packaged sample.
        horizon: short or medium.
        step_s: seconds of a step; None = the trace's own.
        models: names, in the order of the tables; none = all.
        events: a calendar; None = no events.
        zone: time zone of its dates and of times without an offset; None = UTC, or the calendar's own.
        order_params: keep only so many, the busiest; None = all.
        origins: at most; None = as many as the horizon usually gets.
        seed: of the networks and of the random sets.
    """

    trace: Path | None
    horizon: str
    step_s: int | None = None
    models: tuple[str, ...] = ()
    events: Path | None = None
    zone: str | None = None
    order_params: int | None = None
    origins: int | None = None
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Outcome:
    """The backtest, and what it was made of.

    Attributes:
        trace_name: for people.
        events: how many events of the calendar touch the trace; None = no calendar was given.
        elapsed_s: all of it.
    """

    ask: BacktestAsk
    trace_name: str
    backtest: Backtest
    events: int | None
    elapsed_s: float


def run(ask: BacktestAsk, zoo: Zoo = ZOO, elapsed_from: Callable[[], float] = monotonic_s) -> Outcome:
    """Read, race, compare; the progress is shown on standard error if that is a terminal.

    Raises:
        BadInputError: an unknown model, a malformed file, a step that does not fit, or too short a trace.
        NoForecastError: none of the models could foresee it.
    """
    began_s = elapsed_from()
    names = _known(ask.models or zoo.names, zoo)
    trace = _trace(ask)
    history, horizon = _history(trace, ask)
    found = None if ask.events is None else events_in(ask.events, ask.zone, history)
    if found is not None:
        history = replace(history, calendar=found)
    course = course_of(history, horizon, ask.origins)
    entrants = _entrants(names, zoo, ask.seed, with_twins=found is not None)
    with _progress(len(entrants)) as tell:
        zoo.load(names)
        backtest = run_backtest(course, entrants, ask.seed, elapsed_from, tell)
    return Outcome(ask, trace.name, backtest, None if found is None else len(found.events), elapsed_from() - began_s)


def _known(names: Iterable[str], zoo: Zoo) -> tuple[str, ...]:
    """Return the names, each once."""
    asked = tuple(dict.fromkeys(names))
    unknown = [name for name in asked if name not in zoo.names]
    if unknown:
        raise BadInputError(f"--models: there is no model {unknown[0]!r}; known are {', '.join(zoo.names)}")
    return asked


def _trace(ask: BacktestAsk) -> Trace:
    is_sample = ask.trace is None or (str(ask.trace) == SAMPLE and not Path(SAMPLE).is_file())
    trace = packaged_sample() if is_sample or ask.trace is None else read_trace(ask.trace)
    return trace if ask.order_params is None else trace.busiest(ask.order_params)


def _history(trace: Trace, ask: BacktestAsk) -> tuple[RateHistory, Horizon]:
    """Return the trace as rates, and the horizon, in steps that fit each other."""
    step_s = ask.step_s or trace.step_s
    if step_s % trace.step_s:
        raise BadInputError(
            f"--step: the trace has bins of {_minutes(trace.step_s)}, which do not make up steps of {_minutes(step_s)}; "
            f"choose a multiple of {_minutes(trace.step_s)}"
        )
    if trace.start_s % trace.step_s:
        raise BadInputError(
            f"trace {trace.name}: its bins start at {trace.start_s}, which is no multiple of {trace.step_s} s; shift them"
        )
    horizon = medium_horizon(step_s) if ask.horizon == "medium" else short_horizon(step_s)
    if horizon.step_s % step_s:
        raise BadInputError(
            f"--step: steps of {_minutes(step_s)} do not make up the hours of the medium horizon; choose one that divides 60"
        )
    return trace.history(0, trace.bins).coarser(step_s), horizon


def _minutes(seconds: int) -> str:
    return f"{seconds / 60:g} min"


def events_in(path: Path, zone: str | None, history: RateHistory) -> EventCalendar:
    """Return the events of a calendar that touch the trace."""
    form = form_of(path)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"events {path}: cannot be read: {error.strerror}; give the path of a calendar") from error
    span = Span(history.start_s, history.end_s)
    return read_events(body, form, str(path), span, zone).for_span(span.start_s, span.end_s)


def _entrants(names: tuple[str, ...], zoo: Zoo, seed: int, *, with_twins: bool) -> list[Entrant]:
    """Return an entrant for each name, and with events another one for each learner, which is not told them."""
    entrants = [
        Entrant(name, candidate, is_rival=name in zoo.rivals, everywhere=name not in zoo.rivals)
        for name, candidate in zip(names, zoo.make(names, seed), strict=True)
    ]
    learners = [name for name in names if with_twins and name in zoo.learners]
    twins = zip(learners, zoo.make(learners, seed), strict=True)
    return entrants + [Entrant(f"{name}{NO_EVENTS}", candidate, twin_of=name) for name, candidate in twins]


@contextmanager
def _progress(entrants: int) -> Iterator[Tell]:
    """Show which model does what while the block runs."""
    from rich.console import Console  # noqa: PLC0415  only to show
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415  the same

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("loading the models", total=entrants)
        order: list[str] = []

        def tell(name: str, phase: str, done: float) -> None:
            if name not in order:
                order.append(name)
            begin, share = SHARES[phase]
            words = f"{name} {phase} ({len(order)} of {entrants})"
            progress.update(task, description=words, completed=len(order) - 1 + begin + share * float(np.clip(done, 0, 1)))

        yield tell
