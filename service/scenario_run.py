"""Plays a scenario with every way of deciding; here the forecaster and the planner are chosen. Nothing is shown here.

    static      hashing, never changed            predictive  the decider with a real forecaster
    reactive    the decider without any forecast  oracle      the decider with the true future

A scenario gives the same outcome on any machine: the planner has a budget of work rather than of time, and the forecaster is
the statistical baseline, which learns in no time (`models.baseline`); in scenarios that say `forecaster events`, with what
announced events have brought (`models.uplift`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from models.base import LEVELS, on_grid, truncated
from models.baseline import BaselineForecaster
from models.uplift import WithEvents
from optimizer.checker import PlanVerifier
from plb_ray.control.deciding import Decider
from plb_ray.domain.rates import Forecast, short_horizon
from plb_ray.estimate.load import estimate_load
from plb_ray.settings import BalancerSettings
from plb_ray.simulation.replay.arm import Field
from plb_ray.simulation.replay.physics import PhysicsParams
from plb_ray.simulation.scenarios.build import build
from plb_ray.simulation.scenarios.outcome import outcome
from plb_ray.simulation.scenarios.parse import parse
from plb_ray.simulation.scenarios.play import play
from service.replay_forecasts import COST, LookBack, Oracle
from service.steady_planner import SteadyPlanner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from plb_ray.domain.load import LoadEstimate
    from plb_ray.simulation.replay.arm import Foresight, Hindsight
    from plb_ray.simulation.scenarios.build import Built
    from plb_ray.simulation.scenarios.play import Played

ARMS = ("static", "reactive", "predictive", "oracle")


class Statistical:
    """Implements `Foresight` with the baseline, made anew at every bin from what lies before it."""

    def __init__(self, built: Built, level: float | tuple[float, ...]) -> None:
        trace = built.trace
        self._horizon = short_horizon(trace.step_s)
        self._grid = replace(on_grid(trace.history(0, trace.bins), self._horizon), calendar=built.calendar)
        self._level = level
        self._method = WithEvents(BaselineForecaster()) if built.scenario.forecaster == "events" else BaselineForecaster()
        self._method.fit(truncated(self._grid, built.scenario.first_bin), self._horizon, lambda _: None)

    def estimate(self, at_bin: int, owner: NDArray[np.int64]) -> LoadEstimate:
        """See `Foresight`."""
        grid = self._grid
        (quantiles,) = self._method.quantiles(grid, np.array([at_bin]))
        cutoff_s, sources = grid.start_s + at_bin * grid.step_s, (self._method.name,) * len(grid.order_params)
        forecast = Forecast(grid.order_params, self._horizon, cutoff_s, LEVELS, quantiles, sources)
        return estimate_load(forecast, COST, self._level, owner)  # type: ignore[arg-type]  # a level per resource


def play_text(
    text: str, origin: str, arms: Sequence[str] = ARMS, tell: Callable[[str, float], None] = lambda *_: None
) -> tuple[str, dict[str, Played]]:
    """Return what came of the scenario of a file's text: as text, and for each arm.

    Args:
        text: see `plb_ray.simulation.scenarios.parse`.
        origin: names it in errors.
        arms: of ARMS.
        tell: told what is done, in words, and the fraction of all that is done.

    Raises:
        BadInputError: it cannot be read.
    """
    scenario = parse(text, origin)
    built, physics = build(scenario), PhysicsParams()
    settings = BalancerSettings(step_s=scenario.step_s, headroom=scenario.headroom)
    played: dict[str, Played] = {}
    for number, arm in enumerate(arms):
        tell(f"playing {arm}", number / len(arms))
        decider = None if arm == "static" else Decider(SteadyPlanner(), PlanVerifier(), settings)
        foresight, hindsight = _told(arm, built, settings, physics)
        played[arm] = play(built, decider, foresight, physics, hindsight)
    return outcome(played, scenario.step_s, scenario.bins), played


def _told(
    arm: str, built: Built, settings: BalancerSettings, physics: PhysicsParams
) -> tuple[Foresight | None, Hindsight | None]:
    """Return what an arm is told of the future and of the past."""
    if arm not in ("predictive", "oracle"):
        return None, None
    scenario, trace = built.scenario, built.trace
    on = Field(trace, scenario.first_bin, scenario.bins, built.shard_ids, built.rates, built.owner, physics)
    foresight = Oracle(on) if arm == "oracle" else Statistical(built, settings.margin.levels)
    return foresight, LookBack(on, settings.hedge_days)
