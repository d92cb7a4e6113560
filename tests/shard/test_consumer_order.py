"""What the consumer hands over when answers of several shards arrive in any order; and how its acks find their way."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray import errors
from plb_ray.queues.acks import Ack, Acknowledger
from plb_ray.queues.client import Consumer
from plb_ray.rpc.errors import Peer, status_of
from plb_ray.rpc.v1 import queue_pb2 as pb

SOURCE, DESTINATION = Peer("a", "127.0.0.1:1"), Peer("b", "127.0.0.1:2")


def batch(first, last, epoch=1):
    messages = [pb.Message(seq=seq, producer="p", producer_seq=seq) for seq in range(first, last + 1)]
    return pb.DeliveredBatch(order_param="K", epoch=epoch, messages=messages)


class Watched:
    """A consumer that is given batches by hand; its acks are noted instead of sent."""

    def __init__(self, pause=None):
        self.handled = []
        self.acks = []
        self.running = 0
        self._pause = pause
        self.consumer = Consumer(dict, None, self._handle, "c")
        self.consumer._acks = SimpleNamespace(put=self.acks.append)

    async def take(self, *args, peer=SOURCE, **kwargs):
        return await self.consumer._take(batch(*args, **kwargs), peer)

    async def _handle(self, delivered):
        self.running += 1
        assert self.running == 1, "two messages of one order param at a time"
        if self._pause is not None:
            await self._pause()
        self.handled.append(delivered.seq)
        self.running -= 1


async def test_repetitions_are_dropped_counted_and_acknowledged_again():
    """A batch that comes twice is handed over once, and its ack goes out both times."""
    watched = Watched()
    assert await watched.take(1, 3)
    assert await watched.take(2, 5, epoch=2, peer=DESTINATION)
    assert watched.handled == [1, 2, 3, 4, 5]
    assert watched.consumer.repetitions == 2
    assert [(ack.endpoint, ack.epoch, ack.up_to_seq) for ack in watched.acks] == [
        (SOURCE.endpoint, 1, 3),
        (DESTINATION.endpoint, 2, 5),
    ]


async def test_gap_is_refused_until_it_is_filled():
    """The new owner's answer overtakes the old owner's: it is refused unacknowledged, and taken when it comes again."""
    watched = Watched()
    await watched.take(1, 2)
    assert not await watched.take(5, 6, epoch=2, peer=DESTINATION)
    assert await watched.take(3, 4)
    assert await watched.take(5, 6, epoch=2, peer=DESTINATION)
    assert watched.handled == [1, 2, 3, 4, 5, 6]
    assert (watched.consumer.gaps, watched.consumer.jumps) == (1, 0)
    assert [ack.up_to_seq for ack in watched.acks] == [2, 4, 6]


async def test_gap_that_stays_after_redelivery_was_consumed_by_others():
    """If the shard still begins behind the gap when asked again, what lies between is acknowledged: the jump is taken."""
    watched = Watched()
    await watched.take(1, 2)
    assert not await watched.take(5, 6)
    assert await watched.take(5, 6)
    assert watched.handled == [1, 2, 5, 6]
    assert watched.consumer.jumps == 1


async def test_two_shards_answers_are_handled_one_after_the_other():
    """While the old owner's batch is being handled, the new owner's waits; nothing is handled twice or side by side."""
    watched = Watched(pause=lambda: asyncio.sleep(0))
    await asyncio.gather(watched.take(1, 5), watched.take(3, 9, epoch=2, peer=DESTINATION), watched.take(4, 5))
    assert watched.handled == list(range(1, 10))


@settings(deadline=None, max_examples=60)  # a busy machine is no failure
@given(st.data())
def test_any_interleaving_keeps_the_order(data):
    """Two shards that redeliver from any unacknowledged message, in any order of arrival, yield each message once."""

    async def run():
        watched = Watched()
        end = 12
        for _ in range(20):
            handled = watched.handled[-1] if watched.handled else 0
            first = data.draw(st.integers(1, min(end, handled + 4) if watched.handled else 1))
            last = data.draw(st.integers(first, end))
            peer = data.draw(st.sampled_from([SOURCE, DESTINATION]))
            if not await watched.take(first, last, peer=peer):
                await watched.take(1, last, peer=peer)  # the redelivery it asks for
        assert watched.handled == list(range(1, len(watched.handled) + 1))

    asyncio.run(run())


async def test_what_the_handler_raises_ends_the_run():
    """A failing handler stops the consumer with its error, and the message stays unacknowledged."""
    acks = []

    def fail(_):
        raise ZeroDivisionError

    async def endpoints():
        return {"a": SOURCE.endpoint}

    consumer = Consumer(endpoints, None, fail, "c")
    consumer._acks = SimpleNamespace(put=acks.append, close=lambda: asyncio.sleep(0))

    async def poll(*_, **__):
        return [batch(1, 2)]

    consumer._poll = poll
    with pytest.raises(ZeroDivisionError):
        await consumer.run()
    assert acks == []


class FakeShards:
    """Answers acks from a table: (endpoint, epoch) -> error or None."""

    def __init__(self, answers):
        self.answers = answers
        self.acked = []

    def stub(self, endpoint):
        async def ack_many(request, timeout):  # noqa: ASYNC109 - gRPC's signature
            return pb.AckManyResponse(outcomes=[self._outcome(endpoint, ack) for ack in request.acks])

        return SimpleNamespace(AckMany=ack_many)

    def _outcome(self, endpoint, ack):
        wanted = self.answers[endpoint, ack.epoch]
        error = wanted.pop(0) if wanted else None
        if error is not None:
            return pb.AckOutcome(error=status_of(error).SerializeToString())
        self.acked.append((endpoint, ack.epoch, ack.up_to_seq))
        return pb.AckOutcome(ok=pb.AckResponse(acked_seq=ack.up_to_seq))


async def acknowledged(answers, *acks):
    shards = FakeShards(answers)
    acknowledger = Acknowledger(shards, None, "c")
    for ack in acks:
        acknowledger.put(ack)
    await acknowledger.close()
    return shards.acked


async def test_acks_follow_moves_and_wait_for_imports():
    """An ack that meets a redirect and then an unfinished import ends at the new owner under the new epoch."""
    moved = errors.MovedError("K", "b", DESTINATION.endpoint, 2)
    answers = {(SOURCE.endpoint, 1): [moved], (DESTINATION.endpoint, 2): [errors.PausedError("K"), errors.PausedError("K")]}
    assert await acknowledged(answers, Ack("K", SOURCE.endpoint, 1, 7)) == [(DESTINATION.endpoint, 2, 7)]


async def test_acks_of_a_returned_order_param_take_its_new_epoch():
    """When the order param has come back under a higher epoch, the ack is repeated under that one."""
    answers = {(SOURCE.endpoint, 1): [errors.StaleEpochError("K", 1, 3)], (SOURCE.endpoint, 3): []}
    assert await acknowledged(answers, Ack("K", SOURCE.endpoint, 1, 7)) == [(SOURCE.endpoint, 3, 7)]


async def test_acks_for_one_shard_are_put_together():
    """Of several acks of an order param that wait together only the newest is sent."""
    answers = {(SOURCE.endpoint, 1): []}
    acks = [Ack("K", SOURCE.endpoint, 1, seq) for seq in (3, 9, 6)]
    assert await acknowledged(answers, *acks) == [(SOURCE.endpoint, 1, 9)]


async def test_hopeless_acks_are_given_up():
    """An ack that can never work does not keep the consumer from closing."""
    answers = {(SOURCE.endpoint, 1): [errors.UnknownOrderParamError("K")]}
    async with asyncio.timeout(1):
        assert await acknowledged(answers, Ack("K", SOURCE.endpoint, 1, 7)) == []
