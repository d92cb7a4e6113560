"""What the loop's last look shows of order params: a part of the `Balancer` port, over whatever passes questions on."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from service.asks import Asks

if TYPE_CHECKING:
    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.looks_port import Look
    from plb_ray.control.order_param_table import OrderParamTable
    from plb_ray.control.record_port import CostView
    from plb_ray.domain.rates import Forecast, OrderParamForecast, RateHistory


class LookAsks(Asks):
    """A part of the adapter of the control actor."""

    async def forecast(self, order_param: str, horizon: str) -> OrderParamForecast:
        """See `Balancer`."""
        return cast("OrderParamForecast", await self._ask("forecast", order_param, horizon))

    async def history(self, order_param: str, steps: int) -> tuple[tuple[float, float], ...]:
        """See `Balancer`."""
        return cast("tuple[tuple[float, float], ...]", await self._ask("history", order_param, steps))

    async def order_params(self) -> OrderParamTable:
        """See `Balancer`."""
        return cast("OrderParamTable", await self._ask("order_params"))

    async def forecast_quality(self) -> tuple[ForecastQuality, ...]:
        """See `Balancer`."""
        return cast("tuple[ForecastQuality, ...]", await self._ask("forecast_quality"))

    async def look(self) -> Look:
        """See `Balancer`."""
        return cast("Look", await self._ask("look"))

    async def histories(self, order_params: tuple[str, ...], steps: int) -> RateHistory:
        """See `Balancer`."""
        return cast("RateHistory", await self._ask("histories", order_params, steps))

    async def forecasts(self, order_params: tuple[str, ...], horizon: str) -> Forecast:
        """See `Balancer`."""
        return cast("Forecast", await self._ask("forecasts", order_params, horizon))

    async def costs_of(self, order_params: tuple[str, ...]) -> tuple[CostView, ...]:
        """See `Balancer`."""
        return cast("tuple[CostView, ...]", await self._ask("costs_of", order_params))
