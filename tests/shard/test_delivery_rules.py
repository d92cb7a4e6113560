"""Which message is served next: oldest first, within limits, in flight once, redelivery. Holders: see test_holders."""

from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.slices import Limits
from tests.shard.delivery_bench import LEASE_S, Bench


def test_oldest_first_over_the_whole_shard():
    """Limited polls take messages in the order of their append times, across order params."""
    bench = Bench()
    bench.append("A", 1.0, 4.0)
    bench.append("B", 2.0, 3.0)
    bench.append("C", 5.0)
    assert bench.take(limits=Limits(3, 1 << 30)) == {"A": (1, 1), "B": (1, 2)}
    assert bench.take() == {"A": (2, 2), "C": (1, 1)}
    assert bench.take() == {}


def test_byte_limit_cuts_a_poll():
    """A poll stops when its payload bytes are reached; the rest comes with the next."""
    bench = Bench()
    bench.append("A", *map(float, range(10)))
    assert bench.take(limits=Limits(100, 35)) == {"A": (1, 4)}
    assert bench.take() == {"A": (5, 10)}


def test_service_rate_caps_deliveries():
    """With a backlog that never ends, a second of polling yields the service rate and one burst at most."""
    bench = Bench(rate_per_s=100.0)
    bench.append("A", *[0.0] * 1000)
    served = 0
    for step in range(1001):
        for first, last in bench.take(now_s=step / 1000).values():
            served += last - first + 1
    assert 95 <= served <= 106


def test_in_flight_is_not_delivered_twice_to_its_consumer():
    """What is in flight stays away while its consumer is heard of; after a lease of silence it comes again, oldest first."""
    bench = Bench()
    bench.append("A", 1.0, 2.0, 3.0)
    assert bench.take(now_s=0.0) == {"A": (1, 3)}
    bench.ack("A", 1, now_s=10.0)
    assert bench.take(now_s=LEASE_S - 0.1) == {}
    assert bench.take("other", now_s=2 * LEASE_S - 0.2) == {}
    assert bench.take("other", now_s=2 * LEASE_S) == {"A": (2, 3)}


def test_redelivery_on_request_is_for_the_own_messages_only():
    """A consumer that asks gets its own in-flight messages again; another one's stay where they are."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take("one")
    bench.append("B", 2.0)
    bench.take("two")
    bench.delivery.redeliver("one")
    assert bench.take("one") == {"A": (1, 1)}


def test_undone_take_comes_again():
    """A poll whose answer could not be read gives everything back."""
    bench = Bench()
    bench.append("A", 1.0, 2.0)
    slices = bench.slices()
    bench.delivery.give_back(slices)
    assert bench.take() == {"A": (1, 2)}


def test_undone_take_comes_again_although_the_backlog_was_left_behind():
    """What a poll could not read is given back also if a chained seal has made it a trailing segment meanwhile."""
    bench = Bench()
    bench.append("A", 1.0, 2.0)
    slices = bench.slices()
    bench.seal(chained=True)
    bench.delivery.give_back(slices)
    assert bench.take() == {("A", 1): (1, 2)}


def test_what_was_put_off_comes_when_its_time_has_come():
    """A negative acknowledgement brings a message back after its delay, to a consumer that polls all the while."""
    bench = Bench()
    bench.append("A", 1.0, 2.0, 3.0)
    bench.take()
    bench.ack("A", 1)
    bench.delivery.postpone("A", 1, 5.0, 0.0)
    assert bench.take(now_s=4.9) == {}
    assert bench.delivery.wait_s(4.9) == pytest.approx(0.1)
    assert bench.take(now_s=5.0) == {"A": (2, 3)}


def test_nothing_overtakes_what_was_put_off():
    """While a message waits for its time, messages appended after it wait too, and other order params do not."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take()
    bench.delivery.postpone("A", 1, 5.0, 0.0)
    bench.append("A", 2.0)
    bench.append("B", 3.0)
    assert bench.take(now_s=1.0) == {"B": (1, 1)}
    assert bench.take(names=["A"], now_s=2.0) == {}
    assert bench.take(now_s=5.0) == {"A": (1, 2)}


def test_what_was_put_off_comes_although_the_backlog_was_left_behind():
    """A delay goes on, and ends, on the trailing segment that a chained seal makes while it runs."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take()
    bench.delivery.postpone("A", 1, 5.0, 0.0)
    bench.seal(chained=True)
    assert bench.take(now_s=4.0) == {}
    assert bench.take(now_s=5.0) == {("A", 1): (1, 1)}


def test_in_flight_limit_is_of_one_order_param():
    """With a limit a consumer gets no more of an order param than that minus what it has not acknowledged, of each."""
    bench = Bench()
    bench.append("A", *map(float, range(1, 8)))
    bench.append("B", 9.0)
    three = Limits(100, 1 << 30, in_flight=3)
    assert bench.take(limits=three) == {"A": (1, 3), "B": (1, 1)}
    assert bench.take(limits=three) == {}
    bench.ack("A", 2)
    assert bench.take(limits=three) == {"A": (4, 5)}
    assert bench.take() == {"A": (6, 7)}


def test_sealed_order_param_is_not_served():
    """After the seal polls get nothing of it, and naming it gets the redirect."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.put(replace(bench.record("A"), ownership=Ownership.SEALED, moved_to_shard="b", moved_epoch=2))
    assert bench.take() == {}
    with pytest.raises(errors.MovedError):
        bench.take(names=["A"])
    with pytest.raises(errors.UnknownOrderParamError):
        bench.take(names=["nobody"])


def test_load_counts_the_backlog():
    """Backlog, its bytes and its age are those of what is not acknowledged, delivered or not."""
    bench = Bench()
    bench.append("A", 100.0, 101.0, 102.0)
    bench.take()
    bench.ack("A", 1)
    load = bench.line("A").load(110.0)
    assert (load.backlog, load.backlog_bytes, load.oldest_age_s, load.consumed_total) == (2, 20, 9.0, 1)


def test_index_survives_many_drops():
    """Sizes and times stay right when thousands of entries are added and dropped in turns."""
    bench = Bench()
    for turn in range(30):
        bench.append("A", *[float(turn * 500 + place) for place in range(500)])
        bench.ack("A", turn * 500 + 250)
    index = bench.line("A").index
    assert (index.base_seq, index.last_seq, index.bytes) == (14750, 15000, 2500)
    assert index.appended_s(14751) == 14750.0
    assert index.size(14751) == 10
