"""Which numbers a producer gives to which messages when calls break, against a scripted shard."""

import asyncio

import grpc
import pytest

from plb_ray import errors
from plb_ray.domain.mapping import Placement
from plb_ray.queues.client import Located, Producer
from plb_ray.queues.routes import Lane
from tests.shard.scripted_shard import ScriptedStubs, broken, refused, stored


class OneShard:
    """A resolver that knows a single place, or refuses for good."""

    def __init__(self):
        self.refusal = None

    async def resolve(self, order_param, *, create=False):  # noqa: ARG002 - the protocol's
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
