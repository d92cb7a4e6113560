"""What the loop foresees tick by tick, who serves it, and how it held: forecasts of both horizons, and their load."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from plb_ray.control.auto_mode import MEDIUM, SHORT
from plb_ray.control.parts import Outlook
from plb_ray.control.past_loads import past_loads
from plb_ray.domain.champions import ChampionStanding
from plb_ray.domain.rates import medium_horizon, short_horizon
from plb_ray.errors import NoForecastError
from plb_ray.estimate.load import estimate_load

if TYPE_CHECKING:
    from plb_ray.control.known_events import KnownEvents
    from plb_ray.control.observation import Observation
    from plb_ray.control.parts import Parts
    from plb_ray.domain.rates import RateHistory
    from plb_ray.estimate.cost import CostModel
    from plb_ray.settings import BalancerSettings


class Foresight:
    """See the module. Use from one event loop.

    Attributes:
        horizons: the short and the medium one.
        champions: who serves each horizon, by its name.
    """

    def __init__(self, parts: Parts, settings: BalancerSettings, known_events: KnownEvents) -> None:
        self.horizons = (short_horizon(settings.step_s), medium_horizon(settings.step_s))
        self.champions: defaultdict[str, ChampionStanding] = defaultdict(ChampionStanding)
        self._parts = parts
        self._settings = settings
        self._known_events = known_events

    @property
    def distrust(self) -> str:
        """Why the short forecast may not be planned on, whatever it says; empty if it may."""
        champions = self.champions[SHORT]
        return f"the {SHORT} champion was demoted ({champions.reason})" if champions.lost else ""

    async def foresee(self, seen: Observation, cost: CostModel) -> Outlook | None:
        """Forecast both horizons and estimate the load; None while there is no history to forecast from."""
        history = await self._known_events.added_to(seen.history)
        try:
            made = await asyncio.gather(*(self._parts.pool.forecast(history, horizon) for horizon in self.horizons))
        except NoForecastError:
            return None
        forecasts = {forecast.horizon.name: forecast for forecast in made}
        estimate = estimate_load(
            short=forecasts[SHORT],
            medium=forecasts[MEDIUM],
            medium_hours=0 if self.champions[MEDIUM].lost else self._settings.medium_hours,
            cost=cost,
            level=self._settings.margin.levels,
            owner=seen.owner,
            correlation=self._parts.feedback.correlation,
            scenarios=self._parts.feedback.scenarios,
        )
        past = await asyncio.to_thread(past_loads, seen.history, cost, self._settings.hedge_days)
        return Outlook(forecasts, estimate, past)

    async def compare(self, history: RateHistory, outlook: Outlook) -> None:
        """Hold what has come against what was foreseen of it, remember what is foreseen now, and look who serves."""
        gap_starts_s = self._parts.history.gap_starts_s(history.start_s)
        await self._parts.feedback.settle(history, gap_starts_s)
        for forecast in outlook.forecasts.values():
            self._parts.feedback.note(forecast)
        await self.look_at_champions()

    async def look_at_champions(self) -> None:
        """Look who serves now, whoever has changed it."""
        if self._parts.champions is not None:
            for horizon in (SHORT, MEDIUM):
                self.champions[horizon] = await asyncio.to_thread(self._parts.champions.standing, horizon)
