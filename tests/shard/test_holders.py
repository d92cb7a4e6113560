"""One consumer holds an order param, by its lease at the shard; where it goes when that ends, or the order param moves."""

from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.holding import Hold
from plb_ray.queues.embedded.ownership import Record
from plb_ray.queues.embedded.slices import Limits
from tests.shard.delivery_bench import LEASE_S, Bench, block

ONE = Limits(1, 1 << 30)


def acks(bench, consumer, name="A", epoch=1, now_s=0.0):
    """Return whether the shard takes an ack of this consumer."""
    try:
        bench.delivery.require_holder(consumer, name, epoch, now_s)
    except errors.NotTheHolderError:
        return False
    return True


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


def test_polls_and_acks_renew_the_lease():
    """A holder keeps its messages while it polls or acknowledges anything; silent for a lease, it loses them all."""
    bench = Bench()
    bench.append("A", 1.0, 2.0)
    bench.append("B", 3.0)
    assert bench.take("one", names=["A", "B"], now_s=0.0) == {"A": (1, 2), "B": (1, 1)}
    assert bench.take("one", now_s=20.0) == {}
    assert acks(bench, "one", "B", now_s=40.0)
    assert bench.take("two", now_s=40.0 + LEASE_S - 0.1) == {}
    assert bench.take("two", now_s=40.0 + LEASE_S) == {"A": (1, 2), "B": (1, 1)}


def test_a_poll_that_only_waits_does_not_renew_the_lease():
    """Looks for a poll that still waits are no sign of life, only its coming in and what it is given are."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take("one", now_s=0.0)
    bench.delivery.take("one", (), Limits(9, 99), 20.0, again=True)
    assert bench.take("two", now_s=LEASE_S) == {"A": (1, 1)}


def test_naming_an_order_param_takes_it_over():
    """A consumer that names an order param gets what another had in flight at once, and the other's acks are refused."""
    bench = Bench()
    bench.append("A", 1.0, 2.0)
    assert bench.take("one") == {"A": (1, 2)}
    assert bench.take("two", names=["A"]) == {"A": (1, 2)}
    assert bench.take("one") == {}
    assert not acks(bench, "one")
    assert acks(bench, "two")


def test_acks_of_others_pass_when_nobody_holds():
    """A late ack of a consumer whose messages nobody has taken since is as good as ever, also under no name."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take("one")
    assert not acks(bench, "two")
    assert not acks(bench, "")
    bench.take("two", limits=Limits(0, 0), now_s=LEASE_S)
    assert acks(bench, "one")
    assert acks(bench, "")


def test_redelivery_keeps_the_holder():
    """A consumer that asks for its messages again stays the holder, also before it gets them."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take("one")
    bench.delivery.redeliver("one")
    assert bench.take("two") == {}
    assert not acks(bench, "two")
    assert bench.take("one") == {"A": (1, 1)}


def test_the_number_rises_with_the_holder():
    """A new holder gets a higher number, at least the clock's, also if the clock falls; the same one keeps its own."""
    bench = Bench(hold_no=100)
    bench.append("A", 1.0, 2.0, 3.0)
    numbers = []
    for consumer in ("one", "one", "two", "three", "two"):
        [part] = bench.slices(consumer, names=["A"])
        numbers.append(part.hold_no)
        bench.delivery.redeliver(consumer)
        bench.hold_no = {101: 500, 500: 7}.get(part.hold_no, bench.hold_no)
    assert numbers == [100, 100, 101, 500, 501]


def test_a_holder_is_written_down_before_it_gets_anything():
    """What a new holder is given has to wait for its name on disk; what the same one is given next does not."""
    bench = Bench(hold_no=100)
    bench.append("A", 1.0, 2.0)
    assert bench.delivery.unsaved(bench.slices("one", limits=ONE)) == [("A", 1, Hold(1, "one", 100))]
    bench.put(replace(bench.record(), holder="one", hold_no=100))
    assert bench.delivery.unsaved(bench.slices("one", limits=ONE)) == []
    assert bench.delivery.unsaved(bench.slices("two", names=["A"], limits=ONE)) == [("A", 1, Hold(1, "two", 101))]


def test_what_another_has_taken_meanwhile_does_not_go_out():
    """A delivery that is still being read when another consumer takes the order param over does not reach its consumer."""
    bench = Bench()
    bench.append("A", 1.0)
    [part] = bench.slices("one")
    assert bench.delivery.still_held("one", part)
    bench.take("two", names=["A"])
    assert not bench.delivery.still_held("one", part)


def test_the_holder_goes_on_right_after_what_is_in_flight():
    """After a move the holder that the seal names gets the next message at once, and nothing again."""
    bench = Bench()
    bench.arrive(acked_seq=3, delivered_seq=5, holder="one", hold_no=9)
    assert bench.take("two") == {}
    [part] = bench.slices("one")
    assert (part.first_seq, part.last_seq, part.hold_no, part.behind) == (6, 7, 9, False)
    assert acks(bench, "one", epoch=2)
    assert not acks(bench, "two", epoch=2)


def test_others_wait_for_the_end_of_the_holders_lease():
    """A holder that does not follow the order param keeps it for a lease, then others begin with what was in flight."""
    bench = Bench()
    bench.arrive(acked_seq=3, delivered_seq=5, holder="one", hold_no=9, now_s=50.0)
    assert bench.delivery.wait_s(50.0) == pytest.approx(LEASE_S)
    assert bench.take("two", now_s=50.0 + LEASE_S - 0.1) == {}
    assert bench.take("two", now_s=50.0 + LEASE_S) == {"A": (4, 7)}


def test_what_was_in_flight_at_the_move_is_not_lost():
    """A holder that polls, but has lost what was in flight, gets it again after a lease, and nobody else does meanwhile."""
    bench = Bench()
    bench.arrive(acked_seq=3, delivered_seq=5, holder="one", hold_no=9)
    assert bench.take("one", now_s=1.0) == {"A": (6, 7)}
    assert bench.take("one", now_s=LEASE_S - 0.1) == {}
    assert bench.take("two", now_s=LEASE_S) == {}
    assert bench.take("one", now_s=LEASE_S) == {"A": (4, 7)}
    assert bench.take("one", now_s=2 * LEASE_S - 0.1) == {}


def test_what_was_acknowledged_after_the_move_is_not_repeated():
    """A holder that has acknowledged what was in flight at the move is given nothing twice."""
    bench = Bench()
    bench.arrive(acked_seq=3, delivered_seq=5, holder="one", hold_no=9)
    assert bench.take("one", now_s=1.0) == {"A": (6, 7)}
    bench.ack("A", 5)
    assert bench.take("one", now_s=LEASE_S) == {}


def test_what_is_in_flight_to_nobody_waits_for_a_lease():
    """If the seal does not tell who is at work on what is in flight, nobody gets it, or what follows, for a lease."""
    bench = Bench()
    bench.arrive(acked_seq=3, delivered_seq=5, holder="", hold_no=0)
    assert bench.take("one", now_s=LEASE_S - 0.1) == {}
    assert bench.take("one", now_s=LEASE_S) == {"A": (4, 7)}


def test_without_a_holder_anybody_goes_on():
    """If nobody held it at the seal, the first to poll gets it, under a higher number than the seal's."""
    bench = Bench(hold_no=2)
    bench.arrive(acked_seq=3, delivered_seq=3, holder="", hold_no=9)
    [part] = bench.slices("two")
    assert (part.first_seq, part.last_seq, part.hold_no) == (4, 7, 10)


def test_an_old_lease_does_not_end_a_new_hold():
    """A dead consumer that held an order param before it left and came back does not take it from the holder of now."""
    bench = Bench()
    bench.append("A", 1.0, 2.0)
    bench.take("one", now_s=0.0)
    tombstone = bench.seal(now_s=0.0)
    bench.put(replace(tombstone, ownership=Ownership.SEALED, handed_over=True))
    bench.arrive(acked_seq=3, delivered_seq=3, holder="two", hold_no=9, now_s=1.0)
    assert bench.take("two", now_s=LEASE_S - 1.0) == {"A": (4, 7)}
    assert bench.take("three", now_s=LEASE_S + 1.0) == {}
    assert bench.line().holder == "two"


def test_a_seal_tells_the_cursor_and_the_holder():
    """What the seal takes along is what is in flight and to whom, and nothing is delivered from then on."""
    bench = Bench(hold_no=7)
    bench.append("A", 1.0, 2.0, 3.0)
    bench.take("one", limits=Limits(2, 1 << 30))
    cursor, release = bench.delivery.hold("A")
    assert cursor == (2, "one", 7)
    assert bench.take("one") == {}
    release()
    assert bench.take("one") == {"A": (3, 3)}


def restarted(**known):
    """A bench whose shard has just started and found an order param with 5 messages, 2 of them acknowledged."""
    bench = Bench(hold_no=1)
    record = Record("A", Ownership.ACTIVE, epoch=1, last_seq=5, acked_seq=2, **known)
    bench.put(record, [block(3, 3.0, 4.0, 5.0)], wiped=True)
    return bench


def test_a_restart_keeps_the_holder_for_a_lease():
    """After a restart the last holder gets all again that is not acknowledged, and others do after a lease only."""
    bench = restarted(holder="one", hold_no=9)
    assert bench.take("two", now_s=LEASE_S - 0.1) == {}
    assert not acks(bench, "two")
    assert acks(bench, "one")
    [part] = bench.slices("one")
    assert (part.first_seq, part.last_seq, part.hold_no) == (3, 5, 9)
    silent = restarted(holder="one", hold_no=9)
    [part] = silent.slices("two", now_s=LEASE_S)
    assert (part.first_seq, part.hold_no) == (3, 10)


def test_a_restart_without_a_holder_lets_anybody_begin():
    """What nobody had been given before the restart is free."""
    assert restarted().take("two") == {"A": (3, 5)}
