"""From the learned costs to what people see: one `CostView` per order param. Pure; cost O(K)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.control.record_port import CostView
from plb_ray.domain.load import ResourceVector

if TYPE_CHECKING:
    from plb_ray.estimate.cost import CostModel


def cost_views(cost: CostModel, order_params: tuple[str, ...]) -> tuple[CostView, ...]:
    """Return one view for each of these order params, in their order; one that was never seen costs what all do."""
    bands, sizes = cost.bands(order_params), cost.payload_bytes(order_params)
    rows = zip(order_params, bands.cost, bands.lower, bands.upper, bands.messages, sizes, strict=True)
    return tuple(
        CostView(
            order_param=name,
            cost=ResourceVector(*mean.tolist()),
            lower=ResourceVector(*low.tolist()),
            upper=ResourceVector(*high.tolist()),
            messages=float(messages),
            payload_bytes=float(size),
        )
        for name, mean, low, high, messages, size in rows
    )
