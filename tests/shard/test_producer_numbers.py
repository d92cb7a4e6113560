"""Which numbers a producer gives to which messages when calls break, against a scripted shard."""

import asyncio

import grpc
import pytest

from plb_ray import errors
from plb_ray.client import Located, Producer
from plb_ray.domain.mapping import Placement
from plb_ray.queues.routes import Lane, paused_backoff_s
from tests.shard.scripted_shard import ScriptedStubs, broken, refused, stored


class OneShard:
    """A resolver that knows a single place, or refuses for good."""

    def __init__(self):
        self.refusal = None
        self.asked = 0

    async def resolve(self, order_param, *, create=False):  # noqa: ARG002 - the protocol's
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        return Located(Placement(order_param, ("shard-0",), 1), ("nowhere:1",))


def scripted(*script):
    producer = Producer(OneShard(), "p", timeout_s=0.5)
    producer._stubs = ScriptedStubs(script)
    return producer, producer._stubs


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED])
async def test_broken_call_is_repeated_with_the_same_numbers(code):
    """After a call that broke for whatever reason, the same messages go out under the same numbers."""
    producer, shard = scripted(broken(code), stored())
    await producer.send("K", [b"a"])
    await producer.send("K", [b"b"])
    assert shard.seen == [(1, [b"a"]), (1, [b"a"]), (2, [b"b"])]
    await producer.close()


async def test_refusal_by_the_shard_frees_the_numbers():
    """What the shard itself refuses for good at the first attempt is not stored, so that its numbers are used again."""
    producer, shard = scripted(refused(errors.BadInputError("no")), stored())
    with pytest.raises(errors.BadInputError):
        await producer.send("K", [b"a"])
    await producer.send("K", [b"b"])
    assert shard.seen == [(1, [b"a"]), (1, [b"b"])]
    await producer.close()


async def test_refusal_after_an_unknown_outcome_frees_nothing():
    """Numbers of an attempt with unknown outcome stay with their messages even if a repetition is refused for good."""
    producer, shard = scripted(broken(grpc.StatusCode.UNAVAILABLE), refused(errors.BadInputError("no")), stored())
    await producer.send("K", [b"a"])
    assert shard.seen == [(1, [b"a"])] * 3
    await producer.close()


@pytest.mark.parametrize(("current", "asked"), [(3, 1), (0, 2)])
async def test_a_shard_that_serves_again_is_believed_before_an_old_mapping(current, asked):
    """Who comes with an older epoch than the shard serves under goes on with the shard's; with a newer one it asks again."""
    producer, shard = scripted(refused(errors.StaleEpochError("K", 1, current)), stored())
    receipt = await producer.send("K", [b"a"])
    assert (receipt.epoch, producer._resolver.asked) == (current or 1, asked)
    assert shard.seen == [(1, [b"a"])] * 2
    await producer.close()


async def test_unexplained_failure_inside_the_shard_frees_nothing():
    """An error that is no refusal, though the shard sent it, leaves the numbers with their messages."""
    producer, shard = scripted(refused(errors.PlbError("a mistake")), refused(errors.BadInputError("no")), stored())
    await producer.send("K", [b"a"])
    assert shard.seen == [(1, [b"a"])] * 3
    await producer.close()


async def test_refusing_resolver_frees_nothing_that_may_be_stored():
    """A resolver that knows nothing any more does not make a producer reuse numbers that a shard may have."""
    producer, shard = scripted(*[broken(grpc.StatusCode.UNAVAILABLE)] * 5, stored())
    sent = producer.enqueue("K", [b"a"])
    async with asyncio.timeout(5):
        while not shard.seen:  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0)
        producer._resolver.refusal = errors.UnknownOrderParamError("K")
        while producer._outboxes["K"].located is not None:  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)
        assert not sent.done()
        producer._resolver.refusal = None
        await sent
    assert {first for first, _ in shard.seen} == {1}
    await producer.close()


async def test_redirects_are_followed_at_once_even_after_a_pause():
    """A pause that ends in a move costs no waiting: the first answer that names the new owner is acted upon at once."""
    paused = [refused(errors.PausedError("K"))] * 3
    producer, shard = scripted(*paused, refused(errors.MovedError("K", "shard-1", "there:1", 2)), stored())
    loop, waits = asyncio.get_running_loop(), []
    call_later = loop.call_later
    loop.call_later = lambda delay_s, *call: waits.append((delay_s, call[0])) or call_later(delay_s, *call)
    receipt = await producer.send("K", [b"a"])
    assert (receipt.shard_id, receipt.epoch) == ("shard-1", 2)
    assert [delay_s for delay_s, call in waits if call == producer._go_on] == [0.001] * 3
    assert len(shard.seen) == 5
    await producer.close()


async def test_a_redirect_that_is_no_news_is_not_followed():
    """A tombstone that is older than what the producer knows has it ask the resolver, with a delay: no endless ping-pong."""
    producer, _ = scripted(refused(errors.MovedError("K", "shard-1", "there:1", 1)), stored())
    assert (await producer.send("K", [b"a"])).shard_id == "shard-0"
    assert producer._resolver.asked == 2
    await producer.close()


def test_pauses_are_tried_again_at_once_unless_the_shard_says_they_are_long():
    """A short pause is tried every millisecond, then less and less often; a long one when the shard says."""
    short = [paused_backoff_s(attempt, 2) for attempt in (1, 10, 11, 100, 1000)]
    assert short == [0.001, 0.001, 0.004, 0.1, 0.1]
    assert [paused_backoff_s(attempt, 50) for attempt in (1, 10, 30)] == [0.05, 0.1, 0.1]


@pytest.mark.parametrize(
    ("order_param", "payloads"),
    [("", [b"a"]), (7, [b"a"]), ("K", ["text"]), ("K", [b"a", None]), ("K", b"abc"), ("K", "abc"), ("K", [])],
)
async def test_what_no_shard_can_store_is_refused_at_once(order_param, payloads):
    """An order param that is no name and payloads that are not bytes never get into the queue."""
    producer, shard = scripted(stored())
    with pytest.raises(errors.BadInputError):
        producer.enqueue(order_param, payloads)
    await producer.send("K", [b"a"])
    assert shard.seen == [(1, [b"a"])]
    await producer.close()


async def test_unexpected_exception_does_not_stop_a_producer():
    """A call that fails by our own mistake is repeated like one without an answer."""
    producer, shard = scripted(ValueError("a mistake"), stored())
    await producer.send("K", [b"a"])
    assert shard.seen == [(1, [b"a"])] * 2
    await producer.close()


async def test_a_lane_outlives_unexpected_exceptions():
    """After a batch that could not be sent the lane sends the next one."""
    sent: asyncio.Queue[list[int]] = asyncio.Queue()

    async def send(items):
        if 1 in items:
            raise ValueError("a mistake")
        await sent.put(items)

    lane = Lane(send)
    lane.put(1)
    await asyncio.sleep(0)
    lane.put(2)
    async with asyncio.timeout(5):
        assert await sent.get() == [2]
    await lane.close()
