"""The History servicer: samples of arrivals over gRPC, to whoever takes them (the control loop does)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.domain.samples import SAMPLES_MAX
from plb_ray.errors import BadInputError
from plb_ray.rpc import convert
from plb_ray.rpc.v1.queue_pb2_grpc import HistoryServicer as GeneratedServicer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.domain.samples import PushOutcome, SampleBatch
    from plb_ray.rpc.v1 import queue_pb2 as pb


class HistoryServicer(GeneratedServicer):  # type: ignore[misc]  # generated code has no types
    """Serves `plb.v1.History`."""

    def __init__(self, take: Callable[[SampleBatch], Awaitable[PushOutcome]]) -> None:
        self._take = take

    async def PushSamples(self, request: Any, _context: Any) -> pb.PushSamplesResponse:  # noqa: N802
        _check(request)
        return convert.push_outcome_to_pb(await self._take(convert.samples_from_pb(request)))


def _check(request: pb.PushSamplesRequest) -> None:
    """Refuse what the schema cannot say."""
    if sum(len(series.values) for series in request.series) > SAMPLES_MAX:
        raise BadInputError(f"PushSamples: more than {SAMPLES_MAX} samples; send several calls")
    for series in request.series:
        if not series.order_param:
            raise BadInputError("PushSamples: a series without an order_param")
        if len(series.at_s) != len(series.values):
            raise BadInputError(
                f"PushSamples: series of order param {series.order_param!r}: {len(series.at_s)} times and "
                f"{len(series.values)} values; there must be one of each per sample"
            )
