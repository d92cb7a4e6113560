"""A whole consumer against scripted shards: what it asks of them, what it hands over, and when it stops doing so."""

import asyncio
import contextlib

import pytest

from plb_ray import errors
from plb_ray.client import Bounds, Consumer, Retry
from plb_ray.queues.dispatch import STUCK_DELAY_S, STUCK_S
from tests.shard.scripted_deliveries import ScriptedShard, ScriptedShards, delivered


async def until(condition):
    """Return when something is so; it takes some turns of the event loop."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0.001)


def held(poll):
    return {hold.order_param: hold.hold_no for hold in poll.holds}


class Clock:
    """Monotonic time that stands still until it is moved."""

    def __init__(self):
        self.at_s = 100.0

    def now_s(self):
        return self.at_s


class Listening:
    """A handler that notes (order param, sequence), and blocks or raises where it is told to."""

    def __init__(self):
        self.seen = []
        self.blocked = {}  # order param -> event to wait for
        self.raises = {}  # (order param, sequence) -> errors, one after the other

    async def __call__(self, message):
        if message.order_param in self.blocked:
            await self.blocked[message.order_param].wait()
        key = (message.order_param, message.seq)
        if self.raises.get(key):
            raise self.raises[key].pop(0)
        self.seen.append(key)

    def of(self, order_param):
        return [seq for name, seq in self.seen if name == order_param]


@contextlib.asynccontextmanager
async def consuming(handler, shards, **options):
    """Run a consumer on scripted shards; its failure, if any, is raised at the end."""
    scripted = ScriptedShards(**shards)
    consumer = Consumer(scripted.endpoints, None, handler, "c", linger_s=0.0, **options)
    consumer._stubs = consumer._dispatcher._acks._stubs = scripted
    running = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        await consumer.stop()
        await running


async def run_to_its_end(handler, shards):
    """Return when the consumer stops by itself."""
    async with consuming(handler, shards) as consumer:
        await consumer._stopping.wait()


async def test_a_slow_order_param_holds_up_no_other():
    """While one order param's handler waits, others of the same answer and of later ones are handled and acknowledged."""
    handler, shard = Listening(), ScriptedShard()
    handler.blocked["slow"] = asyncio.Event()
    async with consuming(handler, {"a": shard}):
        shard.put(delivered("slow", 1, 3), delivered("fast", 1, 3))
        shard.put(delivered("fast", 4, 6))
        await until(lambda: ("fast", 1, 6) in shard.acks)
        assert handler.of("slow") == []
        handler.blocked["slow"].set()
        await until(lambda: ("slow", 1, 3) in shard.acks)


async def test_retry_brings_the_message_again_before_its_followers():
    """A handler that raises Retry has the message and all after it delivered again after the delay, by a nack."""
    handler, shard = Listening(), ScriptedShard()
    handler.raises["K", 3] = [Retry(0.03)]
    async with consuming(handler, {"a": shard}):
        shard.put(delivered("K", 1, 5))
        await until(lambda: shard.nacks)
        assert shard.nacks == [("K", 1, 3, 30)]
        assert handler.of("K") == [1, 2]
        shard.put(delivered("K", 3, 5))
        await until(lambda: ("K", 1, 5) in shard.acks)
    assert handler.of("K") == [1, 2, 3, 4, 5]


async def test_retry_is_not_early():
    """A shard that delivers again at once is not believed: the handler gets the message after its delay."""
    clock, handler, shard = Clock(), Listening(), ScriptedShard()
    handler.raises["K", 1] = [Retry(50.0)]
    async with consuming(handler, {"a": shard}, now_s=clock.now_s) as consumer:
        shard.put(delivered("K", 1, 2))
        await until(lambda: shard.nacks)
        shard.put(delivered("K", 1, 2))
        await until(lambda: consumer.pool.kept.messages == 2)
        assert handler.seen == []
        clock.at_s += 51.0
        shard.put(delivered("K", 3, 3))
        await until(lambda: handler.of("K") == [1, 2, 3])


async def test_what_has_waited_too_long_stays_away_for_a_while():
    """What is kept too long for what comes before it is given back, and put off so that its shard serves that meanwhile."""
    clock, handler, shard = Clock(), Listening(), ScriptedShard()
    async with consuming(handler, {"a": shard}, now_s=clock.now_s) as consumer:
        shard.put(delivered("K", 5, 7, behind=True, hold_no=1))
        await until(lambda: consumer.pool.kept.messages == 3)
        consumer._dispatcher.tick()
        clock.at_s += STUCK_S
        consumer._dispatcher.tick()
        await until(lambda: shard.nacks)
        assert shard.nacks == [("K", 1, 1, round(STUCK_DELAY_S * 1000))]
        assert STUCK_DELAY_S > 0
        assert not consumer.pool.kept.messages


async def test_a_consumer_that_is_not_the_holder_drops_what_it_keeps():
    """An ack refused since another consumer holds the order param ends the handing over; nothing handled comes twice."""
    handler, shard = Listening(), ScriptedShard()
    shard.refusals[1] = [errors.NotTheHolderError("K", "other")]
    async with consuming(handler, {"a": shard}) as consumer:
        shard.put(delivered("K", 1, 1, hold_no=1))
        await until(lambda: not shard.refusals[1])
        handler.blocked["K"] = asyncio.Event()
        shard.put(delivered("K", 2, 9, hold_no=1))
        await until(lambda: consumer.pool.kept.messages)
        shard.refusals[1] = [errors.NotTheHolderError("K", "other")]
        shard.put(delivered("K", 1, 1, hold_no=1), delivered("L", 1, 1))
        await until(lambda: ("L", 1, 1) in shard.acks)
        handler.blocked["K"].set()
        await until(lambda: consumer.pool.kept.messages == 0)
        shard.put(delivered("K", 1, 9, hold_no=3))
        await until(lambda: ("K", 1, 9) in shard.acks)
    assert handler.of("K") == list(range(1, 10))


async def test_redelivery_is_asked_for_after_a_loss():
    """The first poll, the one after a failed poll, and the one after a gap ask for redelivery; no others do."""
    handler, shard = Listening(), ScriptedShard()
    async with consuming(handler, {"a": shard}):
        shard.put(delivered("K", 1, 1))
        shard.fail(errors.ShardUnavailableError("a", "a"))
        shard.put()
        shard.put(delivered("K", 5, 5, acked_seq=2))
        shard.put(delivered("K", 5, 5, acked_seq=4))
        await until(lambda: handler.of("K") == [1, 5])
        assert [poll.redeliver for poll in shard.polls][:6] == [True, False, True, False, True, False]


async def test_holds_are_sent_to_all_shards_while_parts_are_on_several():
    """A batch that is followed has every shard told who holds the order param, until the chain has ended."""
    handler, shards = Listening(), {"a": ScriptedShard(), "b": ScriptedShard()}
    async with consuming(handler, shards):
        shards["a"].put(delivered("K", 1, 3, hold_no=7, followed=True))
        for shard in shards.values():
            await until(lambda shard=shard: shard.polls and held(shard.polls[-1]) == {"K": 7})
        shards["b"].put(delivered("K", 4, 6, epoch=2, hold_no=7))
        for shard in shards.values():
            await until(lambda shard=shard: held(shard.polls[-1]) == {})
    assert handler.of("K") == [1, 2, 3, 4, 5, 6]
    assert shards["a"].acks[-1] == ("K", 1, 3)
    assert shards["b"].acks[-1] == ("K", 2, 6)


async def test_two_segments_on_one_shard_are_acknowledged_apart():
    """Where an order param has two segments on one shard, one call acknowledges both, each under its epoch."""
    handler, shards = Listening(), {"a": ScriptedShard(), "b": ScriptedShard()}
    async with consuming(handler, shards):
        shards["a"].put(delivered("K", 5, 6, epoch=3, behind=True), delivered("K", 1, 2, epoch=1, followed=True))
        shards["b"].put(delivered("K", 3, 4, epoch=2, behind=True, followed=True))
        await until(lambda: ("K", 3, 6) in shards["a"].acks)
    assert ("K", 1, 2) in shards["a"].acks
    assert ("K", 2, 4) in shards["b"].acks


async def test_nothing_is_handed_over_after_the_lease():
    """When the shard was not heard of for a lease, what it delivered is dropped, and the next poll asks for it again."""
    clock, handler, shard = Clock(), Listening(), ScriptedShard(lease_ms=10_000)
    handler.blocked["K"] = asyncio.Event()
    async with consuming(handler, {"a": shard}, now_s=clock.now_s) as consumer:
        shard.put(delivered("K", 1, 3))
        await until(lambda: consumer.pool.kept.messages == 2)
        clock.at_s += 11.0
        polls = len(shard.polls)
        handler.blocked["K"].set()
        await until(lambda: ("K", 1, 1) in shard.acks)
        assert handler.of("K") == [1]
        shard.put()
        await until(lambda: len(shard.polls) > polls)
        assert shard.polls[polls].redeliver
        shard.put(delivered("K", 2, 3))
        await until(lambda: handler.of("K") == [1, 2, 3])


async def test_polls_are_short_enough_for_the_lease():
    """A consumer polls several times in a lease even if nothing comes."""
    shard = ScriptedShard(lease_ms=200)
    async with consuming(Listening(), {"a": shard}):
        shard.put()
        await until(lambda: len(shard.polls) >= 3)
        assert max(poll.wait_ms for poll in shard.polls) <= 50


async def test_what_finds_no_room_is_given_back():
    """Beyond its bounds a consumer nacks read-ahead, still takes the front, and takes the rest when it comes again."""
    handler, shards = Listening(), {"a": ScriptedShard(), "b": ScriptedShard()}
    async with consuming(handler, shards, bounds=Bounds(line_messages=4)) as consumer:
        shards["b"].put(delivered("K", 11, 14, epoch=2, behind=True), delivered("K", 15, 20, epoch=2, behind=True))
        await until(lambda: consumer.pool.overflows)
        shards["a"].put(delivered("K", 1, 10, followed=True))
        await until(lambda: shards["b"].nacks)
        assert handler.of("K") == list(range(1, 15))
        assert shards["b"].nacks == [("K", 2, 15, 0)]
        shards["b"].put(delivered("K", 15, 20, epoch=2))
        await until(lambda: ("K", 2, 20) in shards["b"].acks)


async def test_polls_tell_how_much_finds_room():
    """Shards are told how many messages of an order param to have in flight at most."""
    shard = ScriptedShard()
    async with consuming(Listening(), {"a": shard}, bounds=Bounds(line_messages=400)):
        await until(lambda: shard.polls)
        assert shard.polls[0].max_in_flight == 100


async def test_what_the_handler_raises_ends_the_run():
    """A failing handler stops the consumer with its error; the message stays unacknowledged, those before it do not."""
    handler, shard = Listening(), ScriptedShard()
    handler.raises["K", 2] = [ZeroDivisionError()]
    shard.put(delivered("K", 1, 3))
    with pytest.raises(ZeroDivisionError):
        await run_to_its_end(handler, {"a": shard})
    assert shard.acks == [("K", 1, 1)]


async def test_stopping_gives_back_what_was_not_handled():
    """A consumer that stops lets handlers finish, acknowledges, and frees what it had in flight for others."""
    handler, shard = Listening(), ScriptedShard()
    handler.blocked["K"] = asyncio.Event()
    async with consuming(handler, {"a": shard}) as consumer:
        shard.put(delivered("K", 1, 3))
        await until(lambda: consumer.pool.kept.messages == 2)
        await consumer.stop()
        await until(lambda: consumer._dispatcher._closing)
        shard.put(delivered("K", 2, 2))  # the answer to a poll for one message
        handler.blocked["K"].set()
    assert handler.of("K") == [1]
    assert shard.acks == [("K", 1, 1)]
    assert shard.nacks == [("K", 1, 2, 0)]
    assert shard.polls[-1].redeliver


async def test_a_nack_that_cannot_be_placed_ends_in_redelivery():
    """If no shard takes a nack, the next poll asks for redelivery, so that the message comes again all the same."""
    handler, shard = Listening(), ScriptedShard()
    handler.raises["K", 1] = [Retry(0.0)]
    shard.nack_error = errors.PermanentError("no nacks here")
    async with consuming(handler, {"a": shard}):
        shard.put(delivered("K", 1, 2))
        await until(lambda: not handler.raises["K", 1])
        shard.put()
        polls = len(shard.polls)
        await until(lambda: any(poll.redeliver for poll in shard.polls[polls:]))
        shard.put(delivered("K", 1, 2))
        await until(lambda: handler.of("K") == [1, 2])
