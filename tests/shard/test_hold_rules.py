"""Who holds an order param, and for how long: one consumer at a time, by its lease, also over restarts."""

from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership, SealRecord
from plb_ray.queues.embedded.data import DataService
from plb_ray.queues.embedded.holding import MAX_HOLD_NO, Hold, Nack
from plb_ray.queues.embedded.operations import Append, BeginImport, Entry, Now, Resume
from plb_ray.queues.embedded.ownership import Record
from plb_ray.queues.embedded.slices import Limits
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.shard.lasting_bench import LEASE_S, MANY, LastingBench, block
from tests.shard.test_shard_store import opened

NOW = Now(10.0, 1000.0)
ACTIVE = Record("A", Ownership.ACTIVE, epoch=1, last_seq=9, acked_seq=2)


def test_naming_an_order_param_takes_it_over():
    """A consumer that names an order param gets what another had in flight at once."""
    bench = LastingBench()
    bench.append("A", 1.0, 2.0)
    assert bench.take("one") == {"A": (1, 2)}
    assert bench.take("two", names=["A"]) == {"A": (1, 2)}
    assert bench.take("one") == {}


def test_a_waiting_poll_takes_nothing_over_again():
    """A poll takes over when it comes; as long as it waits, what others have taken since stays theirs."""
    bench = LastingBench()
    bench.append("A", 1.0)
    bench.take("one")
    bench.ack("A", 1)
    assert bench.take("two", names=["A"]) == {}
    bench.append("A", 2.0)
    assert bench.take("one") == {"A": (2, 2)}
    assert bench.take("two", names=["A"], again=True) == {}


def test_a_waiting_poll_renews_no_lease():
    """A consumer that died while its poll waits here is forgotten a lease after the poll came."""
    bench = LastingBench()
    bench.append("A", 1.0)
    bench.take("dead")
    assert bench.take("dead", now_s=LEASE_S - 1, again=True) == {}
    assert bench.take("other", now_s=LEASE_S) == {"A": (1, 1)}


def test_a_delivery_to_a_waiting_poll_renews_its_lease():
    """Negative twin: what is delivered to a poll that waited is its consumer's for a whole lease."""
    bench = LastingBench()
    bench.append("A", 1.0)
    bench.take("slow")
    bench.ack("A", 1)
    bench.append("A", 2.0)
    assert bench.take("slow", now_s=LEASE_S - 1, again=True) == {"A": (2, 2)}
    assert bench.take("other", now_s=LEASE_S) == {}
    assert bench.take("other", now_s=2 * LEASE_S - 1) == {"A": (2, 2)}


def test_hold_numbers_rise_with_each_change_of_the_holder_only():
    """The same consumer keeps its number, another one gets a higher one, never below what the clock says."""
    bench = LastingBench()
    numbers = []
    for seq, consumer in enumerate(("one", "one", "two", "one"), 1):
        bench.append("A", float(seq))
        numbers += [part.hold_no for part in bench.slices(consumer)]
        bench.ack("A", seq)
    assert numbers == [100, 100, 101, 102]


def test_a_new_holder_is_on_disk_before_it_gets_anything():
    """The first delivery to a holder has a note to be written before it leaves; further ones have none."""
    bench = LastingBench()
    bench.append("A", 1.0, 2.0)
    first = bench.delivery.take("one", (), Limits(1, 1 << 30), 0.0)
    assert bench.delivery.unsaved(first) == [("A", 1, Hold(1, "one", 100))]
    bench.put(replace(bench.record("A"), holder="one", hold_no=100))
    second = bench.delivery.take("one", (), MANY, 0.0)
    assert second
    assert bench.delivery.unsaved(second) == []


def test_what_was_taken_over_meanwhile_does_not_go_out():
    """Messages that were read for one consumer are dropped if another one has got the order param in the meantime."""
    bench = LastingBench()
    bench.append("A", 1.0)
    (part,) = bench.slices("one")
    assert bench.delivery.still_held("one", part)
    bench.take("two", names=["A"])
    assert not bench.delivery.still_held("one", part)


def test_after_a_restart_the_holder_goes_on_and_others_wait():
    """A shard that starts again gives the last holder at once what it may be at work on, and others after a lease only."""
    bench = LastingBench()
    bench.append("A", 1.0, 2.0, 3.0)
    bench.take("one")
    bench.ack("A", 1)
    again = bench.restarted()
    assert again.take("two") == {}
    assert again.take("one", limits=Limits(1, 1 << 30)) == {"A": (2, 2)}
    again.ack("A", 2)
    assert again.take("two", now_s=1.0) == {}, "it may be at work on 3, which it got before the restart"
    assert again.take("two", now_s=LEASE_S) == {"A": (3, 3)}


def test_after_a_restart_nobody_waits_for_a_holder_that_is_done():
    """Negative twin: what nobody has held, and what was acknowledged, is free at once."""
    bench = LastingBench()
    bench.append("A", 1.0)
    bench.append("B", 2.0)
    bench.take("one", names=["A"])
    bench.ack("A", 1)
    again = bench.restarted()
    again.append("A", 3.0)
    assert again.take("two") == {"A": (2, 2), "B": (1, 1)}


def test_asking_for_redelivery_does_not_give_the_order_param_away():
    """A consumer that asks again may be at work on what it has: nobody else gets it until it is acknowledged."""
    bench = LastingBench()
    bench.append("A", 1.0, 2.0)
    bench.take("one")
    bench.delivery.redeliver("one")
    assert bench.take("two") == {}
    bench.ack("A", 1)
    assert bench.take("two") == {}
    bench.ack("A", 2)
    bench.append("A", 3.0)
    assert bench.take("two") == {"A": (3, 3)}


def test_acks_by_others_than_the_holder_are_refused():
    """Who has lost an order param cannot acknowledge what is in flight at its new holder."""
    bench = LastingBench()
    bench.append("A", 1.0, 2.0)
    bench.take("one")
    bench.delivery.require_holder("one", "A", 1, 0.0)
    bench.take("two", now_s=LEASE_S)
    with pytest.raises(errors.NotTheHolderError) as caught:
        bench.delivery.require_holder("one", "A", 1, LEASE_S)
    assert caught.value.holder == "two"


def test_late_acks_pass_where_nobody_else_is_at_work():
    """What was handled and not given to anybody else may be acknowledged after the lease."""
    bench = LastingBench()
    bench.append("A", 1.0)
    bench.take("one")
    bench.append("B", 1.0)
    assert bench.take("two", names=["B"], now_s=LEASE_S) == {"B": (1, 1)}
    bench.delivery.require_holder("one", "A", 1, LEASE_S)


def test_acks_renew_the_lease():
    """A consumer that only acknowledges keeps what it holds."""
    bench = LastingBench()
    bench.append("A", 1.0, 2.0)
    bench.take("one")
    bench.delivery.require_holder("one", "A", 1, LEASE_S - 1)
    assert bench.take("two", now_s=LEASE_S) == {}
    assert bench.take("two", now_s=2 * LEASE_S - 1) == {"A": (1, 2)}


def test_a_hold_is_noted_for_owners_only():
    """The note of a holder needs the epoch that was delivered; an older number changes nothing."""
    effect = Hold(1, "one", 7)(Entry(ACTIVE), NOW)
    assert (effect.record.holder, effect.record.hold_no) == ("one", 7)
    assert Hold(1, "zero", 6)(Entry(effect.record), NOW).record is effect.record
    with pytest.raises(errors.StaleEpochError):
        Hold(2, "one", 7)(Entry(ACTIVE), NOW)


def test_a_nack_acknowledges_what_is_before():
    """All before the message is acknowledged, nothing is taken back that was; messages that are not there are refused."""
    assert Nack(1, 6)(Entry(ACTIVE), NOW).record.acked_seq == 5
    late = Nack(1, 2)(Entry(ACTIVE), NOW)
    assert (late.result, late.record) == (2, ACTIVE)
    for seq in (0, 10):
        with pytest.raises(errors.BadInputError):
            Nack(1, seq)(Entry(ACTIVE), NOW)
    with pytest.raises(errors.StaleEpochError):
        Nack(2, 6)(Entry(ACTIVE), NOW)


def test_hold_numbers_end_before_what_can_be_stored():
    """A record with the highest number still gets a next holder."""
    bench = LastingBench()
    bench.put(replace(ACTIVE, last_seq=3, hold_no=MAX_HOLD_NO, holder=""), [block(3, 1.0)])
    (part,) = bench.slices("one")
    assert part.hold_no == MAX_HOLD_NO


async def test_a_nack_from_before_a_segment_gives_all_of_it_back(tmp_path):
    """What was read ahead comes again if its consumer gives it back from the last message on that it has handled."""
    async with opened(tmp_path) as shard:
        await shard.run("K", BeginImport("m", 1))
        bounds = {"final_seq": 10, "acked_seq": 10, "delivered_seq": 10, "bytes_total": 0, "producers": ()}
        told = {"chained": True, "behind": True, "after_epoch": 1, "after_endpoint": "host-a:1", "holder": "c", "hold_no": 7}
        await shard.run("K", Resume("m", SealRecord("K", "m", 2, **bounds, **told)))
        await shard.append("K", Append(2, "p", 1, (b"x",) * 3))
        assert await ahead(shard) == [11, 12, 13]
        assert await ahead(shard) == []
        nack = pb.NackRequest(order_param="K", epoch=2, seq=5, consumer="c")
        assert (await DataService(shard).Nack(nack, None)).acked_seq == 10
        assert await ahead(shard) == [11, 12, 13]


async def ahead(shard):
    found = await shard.poll("c", (), MANY, 0.0)
    return [message.seq for _, messages in found for message in messages]
