"""Segments that come behind others: who may read ahead, how far, and when it is their turn; trailing ones on one shard."""

from dataclasses import replace

import pytest

from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.ownership import Record
from plb_ray.queues.embedded.slices import Limits
from plb_ray.queues.embedded.view import READ_AHEAD
from tests.shard.delivery_bench import LEASE_S, Bench


def head(bench, epoch=2, base_seq=10, count=5, name="A", **told):
    """An order param has come by a chained migration, behind what is up to `base_seq`, with `count` messages since."""
    importing = Record(name, Ownership.IMPORTING, epoch=epoch, migration_id=f"m{epoch}")
    bench.put(importing, wiped=True)
    bounds = {"last_seq": base_seq, "acked_seq": base_seq, "delivered_seq": base_seq}
    after = {"after_epoch": epoch - 1, "after_endpoint": "host-z:1"}
    active = replace(importing, ownership=Ownership.ACTIVE, **bounds, **(after | told))
    bench.put(active)
    bench.serve(active, count)


def test_what_is_behind_is_withheld():
    """Without a holder nobody gets messages of a segment that is behind, asking for all or by name."""
    bench = Bench()
    head(bench)
    assert bench.take("one") == {}
    assert bench.take("one", names=["A"]) == {}
    bench.advance(1)
    assert bench.take("one") == {"A": (11, 15)}


def test_the_holder_of_the_seal_reads_ahead():
    """The consumer that the seal names gets them at once, told that they are behind and under the number of its hold."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    assert bench.take("two") == {}
    [part] = bench.slices("one")
    assert (part.first_seq, part.last_seq, part.hold_no, part.behind, part.followed) == (11, 15, 9, True, False)


def test_a_higher_number_claims_and_a_lower_one_does_not():
    """Who holds the front under a higher number takes over what another has read ahead, and never the other way round."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    assert bench.take("one") == {("A", 2): (11, 15)}
    for number in (8, 9):
        assert bench.take("two", holds={"A": number}) == {}
    assert bench.take("two", holds={"A": 10}) == {("A", 2): (11, 15)}
    assert bench.take("one", holds={"A": 9}) == {}
    assert bench.line().holder == "two"


def test_naming_does_not_take_over_what_is_behind():
    """A consumer that names the order param does not get what another reads ahead: it has not shown that it is its turn."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    assert bench.take("two", names=["A"]) == {}
    assert bench.take("one") == {("A", 2): (11, 15)}


def test_a_silent_holder_of_a_segment_behind_is_replaced_by_a_claim_only():
    """When the lease of who reads ahead has ended, others wait for the front all the same, or show its number."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    bench.take("one")
    assert bench.take("two", now_s=LEASE_S) == {}
    assert bench.take("two", now_s=LEASE_S, holds={"A": 10}) == {("A", 2): (11, 15)}


def test_the_same_hold_goes_on_after_its_lease():
    """The last holder may claim again under the number it has, if nobody else has held the segment since."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    bench.take("one")
    assert bench.take("one", now_s=LEASE_S, holds={"A": 9}) == {("A", 2): (11, 15)}


def test_a_claim_means_segments_that_are_behind_only():
    """At the front the shard itself says who holds: a number from elsewhere, however high, moves nothing."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take("one")
    assert bench.take("two", holds={"A": 1 << 60}) == {}
    assert bench.line().holder == "one"


def test_reading_ahead_is_bounded():
    """Of a segment that is behind only so much is in flight as a consumer keeps in memory, then all that comes."""
    bench = Bench()
    head(bench, count=READ_AHEAD + 500, holder="one", hold_no=9)
    assert bench.take("one") == {("A", 2): (11, 10 + READ_AHEAD)}
    assert bench.take("one") == {}
    bench.ack("A", 110)
    assert bench.take("one") == {("A", 2): (11 + READ_AHEAD, 110 + READ_AHEAD)}
    bench.advance(1)
    assert bench.take("one") == {"A": (111 + READ_AHEAD, 510 + READ_AHEAD)}


def test_in_flight_limit_holds_for_reading_ahead():
    """A consumer's own limit applies to what it reads ahead too."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    assert bench.take("one", limits=Limits(100, 1 << 30, in_flight=2)) == {("A", 2): (11, 12)}
    assert bench.take("one", limits=Limits(100, 1 << 30, in_flight=2)) == {}


def test_the_new_front_stays_with_who_read_ahead():
    """When a segment becomes the front, what its holder has in flight stays with it, and the rest goes to it too."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    bench.take("one", limits=Limits(2, 1 << 30))
    bench.advance(1)
    assert bench.take("two") == {}
    assert bench.take("one") == {"A": (13, 15)}
    bench.ack("A", 15)
    bench.append("A", 99.0)
    assert bench.take("two") == {"A": (16, 16)}


@pytest.mark.parametrize("hold", [(20,), (20, "one")])
def test_the_holder_goes_on_under_the_number_of_the_segment_before(hold):
    """Told that the earlier segment was held under a higher number, by it or nobody knows by whom, it keeps what it has.

    It may be at work on what it was delivered, and gets it again under the higher number; others wait for its lease.
    """
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    bench.take("one")
    bench.advance(1, hold=hold)
    assert bench.take("two") == {}
    [part] = bench.slices("one")
    assert (part.first_seq, part.last_seq, part.hold_no) == (11, 15, 20)
    assert bench.take("two", now_s=LEASE_S) == {"A": (11, 15)}


def test_who_has_fallen_behind_loses_what_it_has_read_ahead():
    """Told that another one held the earlier segment under a higher number, the shard delivers to whoever asks, above it."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    bench.take("one")
    bench.advance(1, hold=(200, "two"))
    [part] = bench.slices("three")
    assert (part.first_seq, part.last_seq, part.hold_no) == (11, 15, 201)
    assert bench.take("one") == {}


def test_a_number_is_one_consumers_also_after_its_lease():
    """Who had read ahead and let its lease end does not go on under the number of the one that held the segment before."""
    bench = Bench()
    head(bench, holder="one", hold_no=9)
    bench.take("one")
    assert bench.take("other", now_s=LEASE_S) == {}
    bench.advance(1, hold=(200, "two"))
    [part] = bench.slices("one", now_s=LEASE_S)
    assert part.hold_no == 201


def trailing(bench, epoch, first_seq, last_seq, *, after_epoch=0):
    """A trailing segment with these messages, of which none is acknowledged."""
    record = Record("A", Ownership.TRAILING, epoch=epoch, last_seq=first_seq - 1, acked_seq=first_seq - 1)
    bench.serve(replace(record, after_epoch=after_epoch), last_seq - first_seq + 1, segment=epoch)


def test_only_the_two_nearest_are_read_ahead():
    """Of many segments here, the first two that are behind are delivered beside the front, then the next."""
    bench = Bench(hold_no=7)
    trailing(bench, 1, 1, 2)
    for epoch in (3, 5, 7):
        trailing(bench, epoch, 10 * epoch + 1, 10 * epoch + 2, after_epoch=epoch - 1)
    assert bench.take("one") == {("A", 1): (1, 2)}
    assert bench.take("one", holds={"A": 7}) == {("A", 3): (31, 32), ("A", 5): (51, 52)}
    assert bench.take("one", holds={"A": 7}) == {}
    bench.advance(2, segment=3)
    assert bench.take("one", holds={"A": 7}) == {("A", 7): (71, 72)}


def test_earlier_segments_come_first_whatever_the_stamps_say():
    """A clock that was set back between two segments on one shard does not put the later one before the earlier one."""
    bench = Bench(hold_no=7)
    trailing(bench, 3, 31, 32, after_epoch=2)
    trailing(bench, 1, 1, 2)
    one = Limits(1, 1 << 30)
    polls = [bench.take("one", limits=one, holds={"A": 7}) for _ in range(4)]
    assert polls == [{("A", 1): (1, 1)}, {("A", 1): (2, 2)}, {("A", 3): (31, 31)}, {("A", 3): (32, 32)}]


def test_a_chain_stays_with_its_holder():
    """A trailing segment with nothing in flight is not shared out: its holder has read ahead what comes after it."""
    bench = Bench()
    bench.append("A", 1.0, 2.0)
    bench.take("one", limits=Limits(1, 1 << 30))
    bench.seal(chained=True)
    bench.ack("A", 1, segment=1)
    assert bench.take("two") == {}
    [part] = bench.slices("one")
    assert (part.first_seq, part.epoch, part.followed) == (2, 1, True)
    assert bench.take("two", now_s=LEASE_S) == {("A", 1): (2, 2)}


def test_the_cursor_stays_with_the_backlog():
    """A chained seal moves neither cursor nor holder: what is in flight is not delivered again, and its acks are taken."""
    bench = Bench()
    bench.append("A", 1.0, 2.0, 3.0)
    bench.take("one", limits=Limits(2, 1 << 30))
    bench.seal(chained=True)
    assert bench.take("one") == {("A", 1): (3, 3)}
    line = bench.line("A", 1)
    assert (line.in_flight, line.holder) == (3, "one")
    assert bench.line("A").holder == ""
    bench.delivery.require_holder("one", "A", 1, 0.0)


def test_a_silent_consumer_loses_the_backlog_that_was_left():
    """The lease of the holder goes on over a chained seal, and ends as it would have."""
    bench = Bench()
    bench.append("A", 1.0)
    bench.take("one", now_s=0.0)
    bench.seal(chained=True)
    assert bench.take("two", now_s=LEASE_S - 0.1) == {}
    assert bench.take("two", now_s=LEASE_S) == {("A", 1): (1, 1)}


def test_there_and_back_gives_three_segments():
    """S1 -> S2 -> S1: the backlog of the first stay is the front here, what has come since the return waits its turn."""
    bench = Bench(hold_no=50)
    bench.append("A", *map(float, range(1, 11)))
    bench.seal(chained=True)
    head(bench, epoch=3, base_seq=20, count=2)
    assert bench.take("one") == {("A", 1): (1, 10)}
    assert bench.take("one", holds={"A": 50}) == {("A", 3): (21, 22)}
    assert [segment.epoch for segment in bench.view.segments("A")] == [1]
    bench.ack("A", 10, segment=1)
    bench.put(Record("A"), segment=1)
    assert bench.view.segments("A") == ()
    assert bench.take("two") == {}
    bench.advance(2)
    bench.ack("A", 22)
    bench.append("A", 99.0)
    assert bench.take("two") == {"A": (23, 23)}


@pytest.mark.parametrize("acked", [1, 2])
def test_what_is_acknowledged_before_its_turn_has_not_ended(acked):
    """A segment behind others is shown to whom it precedes until these have ended, whatever of it is acknowledged."""
    bench = Bench()
    trailing(bench, 3, 1, 2, after_epoch=2)
    bench.ack("A", acked, segment=3)
    assert [(one.epoch, one.acked_seq, one.front) for one in bench.view.segments("A")] == [(3, acked, False)]
    bench.advance(2, segment=3)
    assert [one.front for one in bench.view.segments("A")] == [True] * (2 - acked)
