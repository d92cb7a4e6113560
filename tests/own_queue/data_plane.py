"""How producers and consumers reach the small queue: `ShardData` of the contract, on a port per shard.

A queue need not speak this: most have protocols of their own. With it the Python client of plb-ray works on the queue, and
`plb conformance` sends messages through migrations.
"""
# ruff: noqa: N802 - methods are those of the gRPC services

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plb_ray.clock import monotonic_s
from plb_ray.errors import PlbError
from plb_ray.rpc.errors import status_of
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardControlServicer, ShardDataServicer
from tests.own_queue.small_queue import LEASE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.own_queue.small_queue import Shard, SmallQueue

LOOK_S = 0.01
# Of a shard: one core, which stands for its rate, and some memory and I/O, of which the small queue knows nothing.
CAPACITY = pb.Resources(cpu_cores=1, memory_bytes=1e9, io_bytes_per_s=1e8)


class Described(ShardControlServicer):
    """The one call of ShardControl that says who answers here: migrations are the adapter's."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    async def GetCapabilities(self, _request: Any, _context: Any) -> pb.Capabilities:
        about = {"protocol_version": 1, "capacity": CAPACITY, "service_rate_per_s": self._shard.rate_per_s}
        return pb.Capabilities(shard_id=self._shard.shard_id, **about)


class DataPlane(ShardDataServicer):
    """Appends, polls and acks at one shard."""

    def __init__(self, queue: SmallQueue, shard: str) -> None:
        self._queue, self._shard = queue, shard

    async def Append(self, asked: pb.AppendRequest, _context: Any) -> pb.AppendResponse:
        numbered = asked.epoch, asked.producer, asked.first_producer_seq
        return pb.AppendResponse(last_seq=self._queue.append(self._shard, asked.order_param, *numbered, asked.payloads))

    async def AppendMany(self, asked: pb.AppendManyRequest, context: Any) -> pb.AppendManyResponse:
        outcomes = [await _outcome(pb.AppendOutcome, self.Append, one, context) for one in asked.appends]
        return pb.AppendManyResponse(outcomes=outcomes)

    async def Poll(self, asked: pb.PollRequest, _context: Any) -> pb.PollResponse:
        until_s, names, most = monotonic_s() + asked.wait_ms / 1000, asked.order_params, asked.max_messages or 500
        found = self._queue.poll(self._shard, asked.consumer, names, most, again=asked.redeliver)
        while not found and monotonic_s() < until_s:
            await asyncio.sleep(LOOK_S)
            found = self._queue.poll(self._shard, asked.consumer, names, most, again=False)
        return pb.PollResponse(batches=map(self._batch, found), lease_ms=int(LEASE_S * 1000))

    async def Ack(self, asked: pb.AckRequest, _context: Any) -> pb.AckResponse:
        acked_seq = self._queue.ack(self._shard, asked.order_param, asked.up_to_seq, asked.consumer)
        return pb.AckResponse(acked_seq=acked_seq)

    async def AckMany(self, asked: pb.AckManyRequest, context: Any) -> pb.AckManyResponse:
        return pb.AckManyResponse(outcomes=[await _outcome(pb.AckOutcome, self.Ack, one, context) for one in asked.acks])

    async def Nack(self, asked: pb.NackRequest, _context: Any) -> pb.AckResponse:
        delay_s = asked.delay_ms / 1000
        acked_seq = self._queue.give_back(self._shard, asked.order_param, asked.seq, asked.consumer, delay_s)
        return pb.AckResponse(acked_seq=acked_seq)

    def _batch(self, rows: Any) -> pb.DeliveredBatch:
        name, acked_seq = rows[0]["name"], self._queue.placed(rows[0]["name"])["acked_seq"]
        fields = ("seq", "producer", "producer_seq", "payload")
        messages = [pb.Message(**{key: row[key] for key in fields}, appended_s=row["at_s"]) for row in rows]
        return pb.DeliveredBatch(order_param=name, epoch=rows[0]["epoch"], messages=messages, acked_seq=acked_seq)


async def _outcome(kind: Any, call: Callable[..., Any], asked: Any, context: Any) -> Any:
    """Return one of many outcomes: the answer, or the error as a status."""
    try:
        return kind(ok=await call(asked, context))
    except PlbError as error:
        return kind(error=status_of(error).SerializeToString())
