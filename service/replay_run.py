"""Runs the arms of a replay: the forecasts once, then every arm at every headroom, over the cores; nothing is shown here.

    static       hashing, never changed                          reactive     the decider without any forecast
    static-peak  hashing over so many shards that none congests  predictive   the decider with the real forecasters
                                                                 oracle       the decider with the true future

Arms that decide are run at every headroom of HEADROOMS: their frontier of excess against migrations. What is reported of an
arm is one of its runs: of predictive and oracle the one at the default headroom; of reactive its best, which is the one with
the least excess among those with at most as many migrations as predictive, or with the fewest migrations if none has.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.deciding import Decider
from plb_ray.settings import BalancerSettings
from plb_ray.simulation.replay.arm import ArmResult, Field, run_arm
from plb_ray.simulation.replay.setting import static_peak, unavoidable
from service.replay_forecasts import Foretold, Oracle, forecasts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plb_ray.domain.events import EventCalendar
    from service.replay_forecasts import Forecasts

ARMS = ("static", "static-peak", "reactive", "predictive", "oracle")
DECIDING = ("reactive", "predictive", "oracle")
HEADROOM = BalancerSettings.headroom
HEADROOMS = (0.7, 0.75, 0.8, 0.85, HEADROOM, 0.95)
SOLVER_S = 0.05
"""For a plan: where overload cannot be taken away the planner uses all of it, and a replay makes thousands of plans."""

FORECAST_SHARE = 0.5
"""Of the progress."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run of an arm."""

    arm: str
    headroom: float | None
    result: ArmResult


@dataclass(frozen=True, eq=False)
class Replay:
    """What came of a replay.

    Attributes:
        field: what was replayed.
        runs: all of them, by arm; the reported one first.
        unavoidable: messages over capacity that no mapping takes away.
        source: who forecast; empty without a predictive arm.
        forecast_s: how long training and forecasting took.
    """

    field: Field
    runs: dict[str, list[Run]]
    unavoidable: float
    source: str = ""
    forecast_s: float = 0.0

    def reported(self, arm: str) -> Run:
        """Return the run that stands for an arm."""
        return self.runs[arm][0]


@dataclass(frozen=True, eq=False)
class _Job:
    arm: str
    headroom: float | None
    on: Field
    forecasts: Forecasts | None = None
    settings: BalancerSettings = field(default_factory=BalancerSettings)


def run(
    on: Field,
    arms: Sequence[str],
    calendar: EventCalendar,
    seed: int,
    tell: Callable[[str, float], None],
    clock: Callable[[], float],
    workers: int,
) -> Replay:
    """Run the arms.

    Args:
        on: what is replayed.
        arms: of ARMS, in the order in which they are to be shown.
        calendar: events known ahead.
        seed: of all training.
        tell: told what is done, in words, and the fraction of all that is done.
        clock: whose differences are seconds.
        workers: processes.
    """
    forecasts, began_s = None, clock()
    if "predictive" in arms:
        forecasts = forecasts_of(on, calendar, seed, lambda done: tell("training and forecasting", FORECAST_SHARE * done))
    forecast_s = clock() - began_s
    jobs = [job for arm in arms for job in _jobs(arm, on, forecasts)]
    runs: dict[str, list[Run]] = {arm: [] for arm in arms}
    for number, made in enumerate(_over(jobs, workers)):
        runs[made.arm].append(made)
        begun = FORECAST_SHARE if forecasts else 0.0
        tell("replaying the arms", begun + (1 - begun) * (number + 1) / len(jobs))
    shown = {arm: found for arm, found in runs.items() if found}
    source = forecasts.source if forecasts else ""
    return Replay(on, _best_first(shown), unavoidable(on), source, forecast_s)


def _jobs(arm: str, on: Field, forecasts: Forecasts | None) -> list[_Job]:
    if arm == "static-peak":
        peak = static_peak(on)
        return [_Job(arm, None, peak)] if peak is not None else []
    if arm == "static":
        return [_Job(arm, None, on)]
    told = forecasts if arm == "predictive" else None
    return [
        _Job(arm, share, on, told, BalancerSettings(step_s=on.trace.step_s, headroom=share, solver_budget_s=SOLVER_S))
        for share in HEADROOMS
    ]


def _over(jobs: list[_Job], workers: int) -> list[Run]:
    """Do the jobs in processes of their own, as many at once as there are workers."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return [done.result() for done in as_completed([pool.submit(_one, job) for job in jobs])]


def _one(job: _Job) -> Run:
    decider = Decider(CompositePlanner(), PlanVerifier(), job.settings) if job.arm in DECIDING else None
    foresight = None
    if job.forecasts is not None:
        foresight = Foretold(job.forecasts, job.on.first_bin, job.settings.margin.levels)
    elif job.arm == "oracle":
        foresight = Oracle(job.on)
    return Run(job.arm, job.headroom, run_arm(job.on, decider, foresight))


def _best_first(runs: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """Return the runs of each arm with the reported one first, then by headroom."""
    ordered = {arm: sorted(found, key=lambda each: each.headroom or 0.0) for arm, found in runs.items()}
    best = {arm: next((r for r in found if r.headroom == HEADROOM), found[0]) for arm, found in ordered.items()}
    if "reactive" in ordered:
        most = best["predictive"].result.totals.migrations if "predictive" in best else float("inf")
        best["reactive"] = _best_reactive(ordered["reactive"], most)
    return {arm: [best[arm], *(each for each in found if each is not best[arm])] for arm, found in ordered.items()}


def _best_reactive(runs: list[Run], most: float) -> Run:
    within = [each for each in runs if each.result.totals.migrations <= most]
    if not within:
        return min(runs, key=lambda each: each.result.totals.migrations)
    return min(within, key=lambda each: (each.result.totals.excess_messages, each.result.totals.migrations))
