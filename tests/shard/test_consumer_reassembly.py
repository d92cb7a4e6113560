"""How a `Line` puts one order param's deliveries back into sequence: rule by rule, and under any interleaving."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray.queues.deliveries import Batch, Bounds, Delivered, Offer, Pool, Source
from plb_ray.queues.reassembly import Line

A, B, C = Source("a", 1), Source("b", 2), Source("a", 3)


def batch(source, first, last, payload=b"x", **others):
    messages = [Delivered("K", seq, "p", seq, payload, 0.0, source.endpoint) for seq in range(first, last + 1)]
    return Batch(source, messages, **others)


class Hands:
    """A line whose messages are handled as soon as they may be; leases by endpoint, 1 unless said otherwise."""

    def __init__(self, **bounds):
        self.pool = Pool(Bounds(**bounds))
        self.line = Line("K", self.pool)
        self.leases = {}
        self.seen = []

    def offer(self, *args, **others):
        return self.line.offer(batch(*args, **others))

    def lease_number(self, endpoint):
        return self.leases.get(endpoint, 1)

    def work(self, most=10**9):
        while len(self.seen) < most and (message := self.line.take(self.lease_number)) is not None:
            self.seen.append(message.seq)
            self.line.handled()
        return self.seen


def test_repetitions_are_dropped_counted_and_acknowledged_again():
    """What comes twice is handed over once, and is acknowledged to each source that delivered it."""
    hands = Hands()
    assert hands.offer(A, 1, 3) is Offer.KEPT
    hands.work()
    assert hands.line.acks_due() == {A: 3}
    assert hands.offer(A, 2, 3) is Offer.REPEATED
    assert hands.offer(B, 2, 5) is Offer.KEPT
    assert hands.work() == [1, 2, 3, 4, 5]
    assert hands.line.acks_due() == {A: 3, B: 5}
    assert hands.pool.repetitions == 4


def test_gap_is_refused_until_it_is_filled():
    """The new owner's answer overtakes the old owner's: it is refused, and taken when it comes again."""
    hands = Hands()
    hands.offer(A, 1, 2)
    assert hands.offer(B, 5, 6) is Offer.GAP
    assert hands.offer(A, 3, 4) is Offer.KEPT
    assert hands.offer(B, 5, 6) is Offer.KEPT
    assert hands.work() == [1, 2, 3, 4, 5, 6]
    assert (hands.pool.gaps, hands.pool.jumps) == (1, 0)


def test_a_gap_is_jumped_only_if_all_before_it_is_acknowledged():
    """What lies between was handled by another consumer if it is acknowledged; else it is in flight, and is asked for."""
    hands = Hands()
    hands.offer(A, 1, 2)
    hands.work()
    assert hands.offer(A, 5, 6, acked_seq=3) is Offer.GAP
    assert hands.offer(A, 5, 6, acked_seq=3) is Offer.GAP
    assert hands.offer(A, 5, 6, acked_seq=4) is Offer.KEPT
    assert hands.work() == [1, 2, 5, 6]
    assert hands.pool.jumps == 1


def test_the_first_batch_must_begin_with_what_is_not_acknowledged():
    """A consumer that has handled nothing takes no batch of which the beginning was lost on its way to it."""
    hands = Hands()
    assert hands.offer(A, 3, 4, acked_seq=0) is Offer.GAP
    assert hands.offer(A, 1, 4, acked_seq=0) is Offer.KEPT
    assert hands.work() == [1, 2, 3, 4]


def test_what_is_behind_is_kept_for_its_turn():
    """Segments on three shards that arrive last one first are handed over in sequence and acknowledged where they lie."""
    hands = Hands()
    assert hands.offer(C, 7, 9, behind=True) is Offer.KEPT
    assert hands.offer(B, 4, 6, behind=True, followed=True) is Offer.KEPT
    assert hands.work() == []
    assert hands.offer(A, 1, 3, followed=True) is Offer.KEPT
    assert hands.work() == list(range(1, 10))
    assert hands.line.acks_due() == {A: 3, B: 6, C: 9}
    assert hands.pool.kept.messages == hands.pool.kept.payload_bytes == hands.pool.lines == 0


def test_a_gap_before_what_is_behind_is_never_jumped():
    """However often a segment that is behind comes, it does not begin before the one in front of it has ended."""
    hands = Hands()
    hands.offer(A, 1, 2, followed=True)
    for _ in range(3):
        hands.offer(B, 4, 6, behind=True)
        assert hands.work() == [1, 2]
    hands.offer(A, 3, 3, followed=True)
    assert hands.work() == [1, 2, 3, 4, 5, 6]
    assert hands.pool.jumps == 0


def test_nothing_is_handed_over_after_the_lease():
    """What was delivered under a lease that has ended is dropped, even if a new lease has begun."""
    hands = Hands()
    hands.offer(A, 1, 3)
    hands.work(1)
    hands.leases["a"] = 0
    assert hands.work() == [1]
    hands.leases["a"] = 2
    assert hands.work() == [1]
    hands.offer(A, 2, 3, lease_no=2)
    assert hands.work() == [1, 2, 3]


def test_a_segment_behind_waits_when_its_predecessor_is_in_doubt():
    """If the lease of the segment before has ended with acks unconfirmed, others may be at work there: wait for the ack."""
    hands = Hands()
    hands.offer(A, 1, 3, followed=True)
    hands.offer(B, 4, 6, behind=True)
    hands.work(3)
    hands.leases["a"] = 0
    assert hands.work() == [1, 2, 3]
    hands.line.confirmed(A, 2)
    assert hands.work() == [1, 2, 3]
    hands.line.confirmed(A, 3)
    assert hands.work() == [1, 2, 3, 4, 5, 6]


def test_a_segment_behind_waits_when_an_ack_may_have_gone_astray():
    """If it is not certain which segment took the ack, what is behind waits for a front: all before that is done."""
    hands = Hands()
    hands.offer(A, 1, 3, followed=True)
    hands.offer(B, 4, 6, behind=True)
    hands.work(3)
    hands.line.unsure(A)
    assert hands.work() == [1, 2, 3]
    hands.offer(B, 4, 7)
    assert hands.work() == [1, 2, 3, 4, 5, 6, 7]


def test_a_new_hold_drops_what_was_read_ahead_under_the_old_one():
    """When another consumer has held the order param in between, what is kept from before, or comes late, is dropped."""
    hands = Hands()
    hands.offer(A, 1, 1, hold_no=5, followed=True)
    hands.offer(B, 4, 6, hold_no=5, behind=True)
    hands.work()
    hands.offer(A, 2, 3, hold_no=7, followed=True)
    assert hands.offer(B, 7, 9, hold_no=5, behind=True) is Offer.STALE
    assert hands.work() == [1, 2, 3]
    assert hands.line.refused() == [B]
    hands.line.returned(B)
    hands.offer(B, 4, 6, hold_no=7, behind=True)
    assert hands.work() == [1, 2, 3, 4, 5, 6]


def test_a_lost_order_param_keeps_its_memory():
    """Told that it is not the holder, a line drops what it keeps and still knows what was handled."""
    hands = Hands()
    hands.offer(A, 1, 5)
    hands.work(2)
    hands.line.lost()
    assert hands.work() == [1, 2]
    hands.offer(A, 1, 4)
    assert hands.work() == [1, 2, 3, 4]


def test_a_message_put_back_comes_again_before_its_followers():
    """When a message could not be handled, nothing of its source is taken until the nack is answered."""
    hands = Hands()
    hands.offer(A, 1, 3)
    hands.work(1)
    assert hands.line.take(hands.lease_number).seq == 2
    assert hands.line.put_back() == A
    assert hands.line.nack_seq == 2
    assert hands.line.acks_due() == {}
    assert hands.offer(A, 4, 6) is Offer.RETURNED
    assert hands.line.returned(A), "a batch was refused meanwhile: to be nacked again"
    hands.offer(A, 2, 6)
    assert hands.work() == [1, 2, 3, 4, 5, 6]


def test_bounds_refuse_what_is_ahead_and_never_the_front():
    """A full line refuses read-ahead, and takes whatever it could not go on without."""
    hands = Hands(line_messages=4)
    assert hands.offer(B, 101, 104, behind=True) is Offer.KEPT
    assert hands.offer(B, 105, 108, behind=True) is Offer.FULL
    assert hands.line.refused() == [], "what is kept of it comes first"
    assert hands.offer(A, 1, 50, followed=True) is Offer.KEPT
    assert hands.offer(A, 51, 100, followed=True) is Offer.FULL
    assert hands.work()[-1] == 50
    assert hands.line.refused() == [A]
    assert hands.line.nack_seq == 51
    hands.line.returned(A)
    assert hands.offer(A, 51, 100, followed=True) is Offer.KEPT
    assert hands.work() == list(range(1, 105))
    assert hands.line.refused() == [B]


def test_a_full_pool_lets_every_line_go_on():
    """When other order params have taken all the room, each line still gets one batch at a time."""
    pool = Pool(Bounds(total_bytes=10))
    slow, other = Line("slow", pool), Line("other", pool)
    assert slow.offer(batch(A, 1, 20)) is Offer.KEPT
    assert other.offer(batch(A, 1, 2)) is Offer.KEPT
    assert other.offer(batch(A, 3, 4)) is Offer.FULL
    assert not pool.has_room(other.kept)


def test_the_window_shrinks_with_large_messages_and_many_lines():
    """Shards are asked for no more in flight than there is room for."""
    pool = Pool(Bounds(line_messages=4000, line_bytes=1 << 20, total_messages=10_000, total_bytes=1 << 22))
    assert pool.window() == 1000
    pool.lines = 100
    assert pool.window() == 100
    pool.arrived(batch(A, 1, 2, payload=bytes(1 << 18)))
    assert pool.window() == 1


def test_bounds_are_positive():
    """A consumer that may keep nothing could not work."""
    with pytest.raises(ValueError, match="1 or more"):
        Bounds(line_bytes=0)


class Segment:
    """A shard's side of one segment, after the rules in queue.proto."""

    def __init__(self, source, first, last):
        self.source = source
        self.first, self.last = first, last
        self.acked = self.delivered = first - 1
        self.quiet_polls = 0

    def poll(self, most, front, lease_no, *, final):
        if self.quiet_polls > 0:
            self.quiet_polls -= 1
            return None
        first, self.delivered = self.delivered + 1, min(self.last, self.delivered + most)
        if first > self.delivered:
            return None
        return batch(self.source, first, self.delivered, behind=not front, followed=not final, lease_no=lease_no)

    def ack(self, up_to):
        self.acked = max(self.acked, min(up_to, self.last))
        self.delivered = max(self.delivered, self.acked)

    def nack(self, seq):
        self.ack(seq - 1)
        self.delivered = self.acked
        self.quiet_polls = 2


class Chain:
    """A consumer's line and the shards of its segments, moved on one random step at a time.

    Held against it at every step: in sequence, each once, and no shard is told that a message is handled that is not.
    """

    def __init__(self, data):
        self.draw = data.draw
        self.calm = False
        sizes = self.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
        ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
        self.segments = [
            Segment(Source("ab"[place % 2], place + 1), end - size + 1, end)
            for place, (size, end) in enumerate(zip(sizes, ends, strict=True))
        ]
        self.hands = Hands(line_messages=self.draw(st.integers(1, 20)))
        self.redeliver = {"a": False, "b": False}
        self.acks, self.nacks, self.answers = [], [], []

    def some(self, least, most):
        return most if self.calm else self.draw(st.integers(least, most))

    def poll(self, place, *, lost=False):
        segment, hands = self.segments[place], self.hands
        endpoint = segment.source.endpoint
        if self.redeliver[endpoint]:
            for other in self.segments:
                if other.source.endpoint == endpoint:
                    other.delivered = other.acked
        self.redeliver[endpoint] = lost
        front = all(one.acked == one.last for one in self.segments[:place])
        found = segment.poll(
            self.some(1, 6), front, hands.leases.setdefault(endpoint, 1), final=place == len(self.segments) - 1
        )
        if found is None or lost:
            return
        offer = hands.line.offer(found)
        if offer is Offer.GAP:
            self.redeliver[endpoint] = True
        self.nacks += [(source, hands.line.nack_seq) for source in hands.line.refused()]

    def work(self):
        line = self.hands.line
        for _ in range(self.some(1, 8)):
            message = line.take(self.hands.lease_number)
            if message is None:
                break
            if self.some(0, 9) == 0:
                self.nacks.append((line.put_back(), line.nack_seq))
                break
            self.hands.seen.append(message.seq)
            line.handled()
        self.nacks += [(source, line.nack_seq) for source in line.refused()]
        self.acks += line.acks_due().items()

    def answer(self):
        """One ack, whichever, and the oldest nacks reach their shards and are answered."""
        if self.acks:
            source, up_to = self.acks.pop(self.some(0, len(self.acks) - 1))
            self._segment(source).ack(up_to)
            self.hands.line.confirmed(source, up_to)
        for _ in range(min(len(self.nacks), self.some(0, 4))):
            source, seq = self.nacks.pop(0)
            self._segment(source).nack(seq)
            if self.hands.line.returned(source):
                self.hands.line.give_back(source)
                self.nacks.append((source, self.hands.line.nack_seq))

    def lapse(self):
        endpoint = self.draw(st.sampled_from("ab"))
        self.hands.leases[endpoint] = self.hands.leases.get(endpoint, 1) + 1
        self.redeliver[endpoint] = True

    def check(self):
        seen = self.hands.seen
        assert seen == list(range(1, len(seen) + 1))
        assert all(one.acked <= len(seen) for one in self.segments if one.acked >= one.first), "acknowledged, not handled"

    def _segment(self, source):
        return next(segment for segment in self.segments if segment.source == source)


@settings(deadline=None, max_examples=300)  # a busy machine is no failure
@given(st.data())
def test_any_interleaving_over_a_chain_is_in_sequence_and_ends(data):
    """Lost answers, ended leases, refusals for room, retries and late acks in any order: each message once, in sequence.

    No shard is ever told that a message is handled which is not, and in calm everything gets handled.
    """
    chain = Chain(data)
    steps = st.sampled_from(["poll", "poll", "poll", "lost", "work", "work", "answer", "lapse"])
    for step in data.draw(st.lists(steps, max_size=60)):
        if step in {"poll", "lost"}:
            chain.poll(data.draw(st.integers(0, len(chain.segments) - 1)), lost=step == "lost")
        else:
            getattr(chain, step)()
        chain.check()
    chain.calm = True
    end = chain.segments[-1].last
    for _ in range(60 * end):
        for place in range(len(chain.segments)):
            chain.poll(place)
        chain.work()
        chain.answer()
        chain.check()
        if len(chain.hands.seen) == end and all(one.acked == one.last for one in chain.segments):
            break
    assert len(chain.hands.seen) == end
    assert all(one.acked == one.last for one in chain.segments)
