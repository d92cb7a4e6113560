"""What the control loop answers of many order params at once: the part of the `Balancer` port that `looks_port` states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.control.cost_pictures import cost_views
from plb_ray.control.looks_port import Look
from plb_ray.control.record_answers import RecordAnswers
from plb_ray.domain.events import NO_EVENTS
from plb_ray.errors import NoForecastError, NotReadyError

if TYPE_CHECKING:
    from plb_ray.control.parts import Outlook, Surroundings
    from plb_ray.control.record_port import CostView
    from plb_ray.domain.rates import Forecast, RateHistory


class LookAnswers(RecordAnswers):
    """A base of what answers for the loop; `Answers` sets its attributes."""

    _surroundings: Surroundings
    _outlook: Outlook | None
    _ticks: int

    async def look(self) -> Look:
        """See `LookKeeping`."""
        return Look(self._surroundings.restarts, self._ticks, self._seen.snapshot.at_s if self._seen else None)

    async def histories(self, order_params: tuple[str, ...], steps: int) -> RateHistory:
        """See `LookKeeping`."""
        if self._seen is None:
            raise NotReadyError("the first tick is outstanding; ask again in a moment")
        history = self._seen.history
        known = tuple(name for name in order_params if name in history.index)
        return replace(history.last(steps).rows(known), calendar=NO_EVENTS)

    async def forecasts(self, order_params: tuple[str, ...], horizon: str) -> Forecast:
        """See `LookKeeping`."""
        return self._forecast_of(horizon).rows(order_params)

    async def costs_of(self, order_params: tuple[str, ...]) -> tuple[CostView, ...]:
        """See `LookKeeping`."""
        placed = self._looked().mapping.placements
        return cost_views(self._observer.cost, tuple(name for name in order_params if name in placed))

    def _forecast_of(self, horizon: str) -> Forecast:
        """Return the newest forecast of all. Raises NoForecastError."""
        if self._outlook is None:
            raise NoForecastError("there is no forecast yet: the first tick, or its first step of history, is outstanding")
        forecast = self._outlook.forecasts.get(horizon)
        if forecast is None:
            raise NoForecastError(f"there is no horizon {horizon!r}; use short or medium")
        return forecast
