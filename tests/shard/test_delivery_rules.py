"""Which message is served next: oldest first, one consumer per order param, redelivery, hand-over after a move."""

from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.delivery import HANDOVER_S, Delivery, Limits
from plb_ray.queues.embedded.ownership import Record
from plb_ray.queues.embedded.tokens import TokenBucket
from plb_ray.queues.embedded.view import View
from plb_ray.queues.embedded.writer import Committed

MANY = Limits(1000, 1 << 30)


class Bench:
    """A delivery fed by hand."""

    def __init__(self, rate_per_s=0.0, ack_timeout_s=30.0):
        self.view = View()
        self.delivery = Delivery(self.view, TokenBucket(rate_per_s, 0.0), ack_timeout_s)
        self.records = {}

    def put(self, record, added=(), now_s=0.0):
        self.records[record.order_param] = record
        self.delivery.committed(Committed(1, record, False, added), now_s)

    def append(self, name, *times):
        before = self.records.get(name, Record(name, Ownership.ACTIVE, epoch=1))
        self.put(replace(before, last_seq=before.last_seq + len(times)), [(at_s, 10) for at_s in times])

    def ack(self, name, seq, now_s=0.0):
        self.put(replace(self.records[name], acked_seq=seq), now_s=now_s)

    def take(self, consumer="c", names=(), limits=MANY, now_s=0.0):
        slices = self.delivery.take(consumer, names, limits, now_s)
        return {part.order_param: (part.first_seq, part.last_seq) for part in slices}


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
    """What is in flight stays away until the ack timeout, then it comes again from the first unacknowledged message."""
    bench = Bench(ack_timeout_s=30.0)
    bench.append("A", 1.0, 2.0, 3.0)
    assert bench.take(now_s=0.0) == {"A": (1, 3)}
    bench.ack("A", 1, now_s=10.0)
    assert bench.take(now_s=39.9) == {}
    assert bench.take(now_s=40.0) == {"A": (2, 3)}


def test_one_consumer_at_a_time():
    """While an order param has messages in flight at one consumer, others get nothing of it, then all of it."""
    bench = Bench()
    bench.append("A", 1.0)
    assert bench.take("one") == {"A": (1, 1)}
    bench.append("A", 2.0)
    bench.append("B", 3.0)
    assert bench.take("two") == {"B": (1, 1)}
    assert bench.take("one") == {"A": (2, 2)}
    bench.append("A", 4.0)
    bench.ack("A", 2)
    assert bench.take("two") == {"A": (3, 3)}


def test_naming_an_order_param_takes_it_over():
    """A consumer that names an order param gets what another had in flight at once."""
    bench = Bench()
    bench.append("A", 1.0, 2.0)
    assert bench.take("one") == {"A": (1, 2)}
    assert bench.take("two", names=["A"]) == {"A": (1, 2)}
    assert bench.take("one") == {}


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
    slices = bench.delivery.take("c", (), MANY, 0.0)
    bench.delivery.give_back(slices)
    assert bench.take() == {"A": (1, 2)}


def moved_here(bench, acked_seq=3, delivered_seq=5, now_s=0.0):
    importing = Record("A", Ownership.IMPORTING, epoch=2, migration_id="m", last_seq=7, acked_seq=acked_seq)
    bench.put(importing, [(float(seq), 10) for seq in range(acked_seq + 1, 8)], now_s)
    assert bench.take(now_s=now_s) == {}
    bench.put(replace(importing, ownership=Ownership.ACTIVE, delivered_seq=delivered_seq), now_s=now_s)


def test_moved_order_param_waits_for_what_is_in_flight():
    """After a move nothing newer is delivered before the messages in flight at the source are acknowledged here."""
    bench = Bench()
    moved_here(bench)
    assert bench.take() == {}
    bench.ack("A", 5)
    assert bench.take() == {"A": (6, 7)}


def test_moved_order_param_does_not_wait_for_ever():
    """When those acks do not come, the messages in flight are delivered again, in order."""
    bench = Bench()
    moved_here(bench)
    assert bench.delivery.wait_s(0.0) == pytest.approx(HANDOVER_S)
    assert bench.take(now_s=HANDOVER_S) == {"A": (4, 7)}


def test_sealed_order_param_is_not_served():
    """After the seal polls get nothing of it, and naming it gets the redirect."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.put(replace(bench.records["A"], ownership=Ownership.SEALED, moved_to_shard="b", moved_epoch=2))
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
    load = bench.view.lines["A"].load(110.0)
    assert (load.backlog, load.backlog_bytes, load.oldest_age_s, load.consumed_total) == (2, 20, 9.0, 1)


def test_index_survives_many_drops():
    """Sizes and times stay right when thousands of entries are added and dropped in turns."""
    bench = Bench()
    for turn in range(30):
        bench.append("A", *[float(turn * 500 + place) for place in range(500)])
        bench.ack("A", turn * 500 + 250)
    index = bench.view.lines["A"].index
    assert (index.base_seq, index.last_seq, index.bytes) == (14750, 15000, 2500)
    assert index.appended_s(14751) == 14750.0
    assert index.size(14751) == 10
