"""Shards' data planes that deliver by hand and note what consumers ask, in place of gRPC stubs."""

import asyncio
from collections import defaultdict

from plb_ray.rpc.errors import status_of
from plb_ray.rpc.v1 import queue_pb2 as pb


def delivered(order_param, first, last, epoch=1, payload=b"x", **others):
    """Return a batch of an order param's messages, first and last included."""
    messages = [pb.Message(seq=seq, producer="p", producer_seq=seq, payload=payload) for seq in range(first, last + 1)]
    return pb.DeliveredBatch(order_param=order_param, epoch=epoch, messages=messages, **others)


class ScriptedShard:
    """One shard. `put` has the next poll answered; without anything to answer a poll waits as long as it asks to.

    Attributes:
        polls, acks, nacks: the requests so far; of acks (order param, epoch, sequence), of nacks the same and the delay.
        refusals: errors for the next acks of an epoch.
        nack_error: refuses nacks.
    """

    def __init__(self, lease_ms=0):
        self.lease_ms = lease_ms
        self.answers = asyncio.Queue()
        self.polls, self.acks, self.nacks = [], [], []
        self.refusals = defaultdict(list)
        self.nack_error = None

    def put(self, *batches):
        self.answers.put_nowait(batches)

    def fail(self, error):
        self.answers.put_nowait(error)

    async def Poll(self, request, timeout):  # noqa: N802, ASYNC109, ARG002 - the stub's names
        self.polls.append(request)
        answer = await self._answer(request.wait_ms / 1000) if self.answers.empty() else self.answers.get_nowait()
        if isinstance(answer, Exception):
            raise answer
        return pb.PollResponse(batches=answer, lease_ms=self.lease_ms)

    async def AckMany(self, request, timeout):  # noqa: N802, ASYNC109, ARG002 - the stub's names
        return pb.AckManyResponse(outcomes=list(map(self._ack, request.acks)))

    async def Nack(self, request, timeout):  # noqa: N802, ASYNC109, ARG002 - the stub's names
        if self.nack_error is not None:
            raise self.nack_error
        self.nacks.append((request.order_param, request.epoch, request.seq, request.delay_ms))
        return pb.AckResponse(acked_seq=request.seq - 1)

    async def _answer(self, wait_s):
        try:
            async with asyncio.timeout(wait_s):
                return await self.answers.get()
        except TimeoutError:
            return ()

    def _ack(self, ack):
        if self.refusals[ack.epoch]:
            return pb.AckOutcome(error=status_of(self.refusals[ack.epoch].pop(0)).SerializeToString())
        self.acks.append((ack.order_param, ack.epoch, ack.up_to_seq))
        return pb.AckOutcome(ok=pb.AckResponse(acked_seq=ack.up_to_seq))


class ScriptedShards:
    """Stands in for `DataStubs`; endpoints are the shards' names."""

    def __init__(self, **shards):
        self.shards = shards

    async def endpoints(self):
        return {name: name for name in self.shards}

    def stub(self, endpoint):
        return self.shards[endpoint]

    async def close(self):
        """Nothing is open."""
