"""The part of the `Balancer` port that asks for many order params at once: what a reader keeps until the next look.

Whoever answers for hundreds of order params a second asks for them in blocks, and again only when `look` has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from plb_ray.control.record_port import CostView
    from plb_ray.domain.rates import Forecast, RateHistory


class Look(NamedTuple):
    """Which look at the queue the pictures of order params come from; they stay the same as long as this does.

    Attributes:
        restarts: how often the control actor took over from a predecessor.
        ticks: of this control actor.
        at_s: time of the look; None before the first.
    """

    restarts: int
    ticks: int
    at_s: float | None


class LookKeeping(Protocol):
    """See `Balancer`."""

    async def look(self) -> Look:
        """Return which look the pictures of order params come from now. Costs next to nothing."""
        ...

    async def histories(self, order_params: tuple[str, ...], steps: int) -> RateHistory:
        """Return the last observed rates of those among them that have any, without events; see `Balancer.history`."""
        ...

    async def forecasts(self, order_params: tuple[str, ...], horizon: str) -> Forecast:
        """Return the newest forecasts of those among them that have one. Raises NoForecastError."""
        ...

    async def costs_of(self, order_params: tuple[str, ...]) -> tuple[CostView, ...]:
        """Return what a message costs of those among them that are placed, in their order. Raises NotReadyError."""
        ...
