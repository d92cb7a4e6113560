"""Runs the arms of a replay: the forecasts once, then every arm at every headroom, over the cores; nothing is shown here.

    static       hashing, never changed                          reactive     the decider without any forecast
    static-peak  hashing over so many shards that none congests  predictive   the decider with the real forecasters
                                                                 oracle       the decider with the true future
                                                                 elastic      predictive, on as many shards as it advises

Reactive, predictive and oracle are run at every headroom of HEADROOMS: their frontier of excess against migrations. What is
reported of an arm is one of its runs: of predictive, oracle and elastic the one at the default headroom; of reactive its
best, which is the one with the least excess (of equals the one with the fewest migrations), however many it needs.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np

from optimizer.checker import PlanVerifier
from plb_ray.control.deciding import Decider
from plb_ray.settings import BalancerSettings, ElasticSettings
from plb_ray.simulation.replay.arm import ArmResult, Field, run_arm
from plb_ray.simulation.replay.elastic_fleet import ElasticFleet
from plb_ray.simulation.replay.setting import elastic_field, static_peak, unavoidable
from service.replay_forecasts import Foretold, LookBack, Oracle, forecasts_of
from service.steady_planner import SteadyPlanner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plb_ray.domain.events import EventCalendar
    from plb_ray.simulation.replay.arm import Foresight
    from plb_ray.simulation.replay.physics import Totals
    from service.replay_forecasts import Forecasts

ARMS = ("static", "static-peak", "reactive", "predictive", "oracle", "elastic")
SWEPT = ("reactive", "predictive", "oracle")
FORETOLD = ("predictive", "elastic")
HEADROOM = BalancerSettings.headroom
HEADROOMS = (0.7, 0.75, 0.8, 0.85, HEADROOM, 0.95)
MORE_SHARDS = 4
"""Times as many shards as asked for are the most that the elastic arm may have."""

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
        source: who forecast; empty where no arm is told forecasts.
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
    if set(arms) & set(FORETOLD):
        forecasts = forecasts_of(on, calendar, seed, lambda done: tell("training and forecasting", FORECAST_SHARE * done))
    forecast_s, begun = clock() - began_s, FORECAST_SHARE if forecasts else 0.0
    made = run_arms(on, arms, forecasts, lambda done: tell("replaying the arms", begun + (1 - begun) * done), workers)
    return replace(made, forecast_s=forecast_s)


def run_arms(
    on: Field, arms: Sequence[str], forecasts: Forecasts | None, tell: Callable[[float], None], workers: int
) -> Replay:
    """Run the arms with forecasts that are there.

    Args:
        on: what is replayed.
        arms: of ARMS, in the order in which they are to be shown.
        forecasts: of the same bins; None: no arm is told any.
        tell: told the fraction that is done.
        workers: processes.
    """
    jobs = [job for arm in arms for job in _jobs(arm, on, forecasts)]
    runs: dict[str, list[Run]] = {arm: [] for arm in arms}
    for number, made in enumerate(_over(jobs, workers)):
        runs[made.arm].append(made)
        tell((number + 1) / len(jobs))
    shown = {arm: found for arm, found in runs.items() if found}
    return Replay(on, _best_first(shown), unavoidable(on), forecasts.source if forecasts else "")


def _jobs(arm: str, on: Field, forecasts: Forecasts | None) -> list[_Job]:
    if arm == "static-peak":
        peak = static_peak(on)
        return [_Job(arm, None, peak)] if peak is not None else []
    if arm == "static":
        return [_Job(arm, None, on)]
    told = forecasts if arm in FORETOLD else None
    headrooms = HEADROOMS if arm in SWEPT else (HEADROOM,)
    return [_Job(arm, share, on, told, BalancerSettings(step_s=on.trace.step_s, headroom=share)) for share in headrooms]


def _over(jobs: list[_Job], workers: int) -> list[Run]:
    """Do the jobs in processes of their own, as many at once as there are workers."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return [done.result() for done in as_completed([pool.submit(_one, job) for job in jobs])]


def _one(job: _Job) -> Run:
    on, settings = job.on, job.settings
    if job.headroom is None:
        return Run(job.arm, None, run_arm(on, None, None))
    foresight: Foresight | None = None
    if job.forecasts is not None:
        foresight = Foretold(job.forecasts, on, settings.margin.levels)
    elif job.arm == "oracle":
        foresight = Oracle(on)
    hindsight = LookBack(on, settings.hedge_days) if foresight is not None else None
    fleet = None
    if job.arm == "elastic":
        on, fleet = _elastic(on, settings)
    decider = Decider(SteadyPlanner(), PlanVerifier(), settings)
    return Run(job.arm, job.headroom, run_arm(on, decider, foresight, hindsight, fleet))


def _elastic(on: Field, settings: BalancerSettings) -> tuple[Field, ElasticFleet]:
    """Return the field with places for shards to come, and the fleet; the given shards always stay, as in `plb serve`."""
    most = MORE_SHARDS * len(on.rates)
    wide = elastic_field(on, most)
    up = np.arange(len(wide.rates)) < len(on.rates)
    limits = ElasticSettings(enabled=True, min_shards=len(on.rates), max_shards=most)
    return wide, ElasticFleet(float(on.rates.max()), up, limits, settings.headroom)


def _best_first(runs: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """Return the runs of each arm with the reported one first, then by headroom."""
    ordered = {arm: sorted(found, key=lambda each: each.headroom or 0.0) for arm, found in runs.items()}
    best = {arm: next((r for r in found if r.headroom == HEADROOM), found[0]) for arm, found in ordered.items()}
    if "reactive" in ordered:
        best["reactive"] = min(ordered["reactive"], key=lambda each: _loss(each.result.totals))
    return {arm: [best[arm], *(each for each in found if each is not best[arm])] for arm, found in ordered.items()}


def _loss(totals: Totals) -> tuple[float, int]:
    return totals.excess_messages, totals.migrations
