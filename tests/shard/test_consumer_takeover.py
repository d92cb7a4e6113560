"""Two consumers that take a chain from each other never work on it at the same time, and lose nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray.queues.deliveries import Batch, Bounds, Delivered, Offer, Pool, Source
from plb_ray.queues.reassembly import Line


class Segment:
    """A segment on its shard: cursor and holder, after the rules in queue.proto."""

    def __init__(self, source, first, last):
        self.source, self.first, self.last = source, first, last
        self.acked = self.delivered = first - 1
        self.holder, self.hold_no = None, 0

    def held_by(self, consumer, hold_no):
        self.holder, self.hold_no, self.delivered = consumer, hold_no, self.acked


class Shards:
    """The segments of a chain on two shards, and the number of the last hold."""

    def __init__(self, sizes):
        ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
        self.segments = [
            Segment(Source("ab"[place % 2], place + 1), end - size + 1, end)
            for place, (size, end) in enumerate(zip(sizes, ends, strict=True))
        ]
        self.holds = 0

    def at(self, endpoint):
        return [one for one in self.segments if one.source.endpoint == endpoint]

    def poll(self, consumer, endpoint, most, hold_no, *, redeliver):
        """Return (source, first, last, hold_no, behind, followed, acked) of each segment with something for the consumer."""
        found = []
        for segment in self.at(endpoint):
            behind = self._behind(segment)
            if behind and hold_no > segment.hold_no:
                segment.held_by(consumer, hold_no)
            if redeliver and segment.holder == consumer:
                segment.delivered = segment.acked
            if not behind and segment.holder is None and segment.acked < segment.last:
                self.holds += 1
                segment.held_by(consumer, max(self.holds, segment.hold_no + 1))
                self.holds = segment.hold_no
            first, last = segment.delivered + 1, min(segment.last, segment.delivered + most)
            if segment.holder == consumer and first <= last:
                segment.delivered = last
                followed = segment is not self.segments[-1]
                found.append((segment.source, first, last, segment.hold_no, behind, followed, segment.acked))
        return found

    def ack(self, consumer, source, up_to, *, back=False):
        """Return whether it is taken; with `back` it is a nack's."""
        segment = next(one for one in self.segments if one.source == source)
        if segment.holder not in {None, consumer}:
            return False
        segment.acked = max(segment.acked, min(up_to, segment.last))
        segment.delivered = segment.acked if back else max(segment.delivered, segment.acked)
        self._advance(segment)
        return True

    def _advance(self, ended):
        """Tell the next segment that it is in front, and of the last hold: an older one is over."""
        place = self.segments.index(ended) + 1
        if ended.acked == ended.last and place < len(self.segments) and self.segments[place].hold_no < ended.hold_no:
            self.segments[place].held_by(None, ended.hold_no)

    def expire(self, consumer, endpoint):
        for segment in self.at(endpoint):
            if segment.holder == consumer:
                segment.held_by(None, segment.hold_no)

    def holders_up_to(self, seq):
        """Return who holds the segments that are not acknowledged, up to the one with this sequence."""
        found = [one for one in self.segments if one.first <= seq and one.acked < min(seq, one.last)]
        return {one.holder for one in found if one.holder is not None}

    def all_acked(self):
        return all(one.acked == one.last for one in self.segments)

    def _behind(self, segment):
        return any(one.acked < one.last for one in self.segments[: self.segments.index(segment)])


class Client:
    """One consumer: its line, its leases, and what is on its way between it and the shards."""

    def __init__(self, name, shards, rng):
        self.name, self.shards, self.rng = name, shards, rng
        self.line = Line("K", Pool(Bounds(line_messages=int(rng.integers(1, 21)))))
        self.leases = {"a": 1, "b": 1}
        self.redeliver = {"a": True, "b": True}
        self.answers, self.acks, self.nacks = {}, [], []
        self.calm = False

    def some(self, least, most):
        return most if self.calm else int(self.rng.integers(least, most + 1))

    def poll(self):
        """Send a poll to a shard, or take its answer in; now and then the answer is lost."""
        for endpoint in "ab" if self.calm else "ab"[self.some(0, 1)]:
            if endpoint not in self.answers:
                hold_no = self.line.hold_no if self.line.chained else 0
                found = self.shards.poll(self.name, endpoint, self.some(1, 6), hold_no, redeliver=self.redeliver[endpoint])
                self.redeliver[endpoint] = False
                self.answers[endpoint] = self.leases[endpoint], found
            else:
                lease_no, found = self.answers.pop(endpoint)
                if lease_no != self.leases[endpoint] or self.some(0, 9) == 0:
                    self.redeliver[endpoint] = True
                    continue
                for part in found:
                    self._offer(part, lease_no)

    def _offer(self, part, lease_no):
        source, first, last, *told = part
        messages = [Delivered("K", seq, "p", seq, b"x", 0.0, "") for seq in range(first, last + 1)]
        offer = self.line.offer(Batch(source, messages, lease_no, *told))
        if offer is Offer.GAP:
            self.redeliver[source.endpoint] = True
        self._nack_refused()

    def work(self):
        """Take messages; return (sequence, handled) of each."""
        taken = []
        for _ in range(self.some(1, 8)):
            message = self.line.take(self.leases.get)
            if message is None:
                break
            is_handled = self.calm or self.some(0, 9) > 0
            taken.append((message.seq, is_handled))
            if not is_handled:
                self.nacks.append(self.line.put_back())
                break
            self.line.handled()
        self._nack_refused()
        self.acks += self.line.acks_due().items()
        return taken

    def answer(self):
        """An ack, whichever, and the oldest nack reach their shard and are answered."""
        if self.acks:
            source, up_to = self.acks.pop(self.some(0, len(self.acks) - 1))
            if self.shards.ack(self.name, source, up_to):
                self.line.confirmed(source, up_to)
            else:
                self.redeliver.update(dict.fromkeys(self.line.lost(), True))
        if self.nacks:
            source = self.nacks.pop(0)
            self.shards.ack(self.name, source, self.line.nack_seq - 1, back=True)
            if self.line.returned(source) and not self.calm:
                self.line.give_back(source)
                self.nacks.append(source)

    def stuck(self):
        self.nacks += self.line.stuck()

    def lapse(self):
        """Its lease at a shard ends; the shard may find out later, or never."""
        endpoint = "ab"[self.some(0, 1)]
        self.leases[endpoint] += 1
        self.redeliver[endpoint] = True
        if self.some(0, 1):
            self.shards.expire(self.name, endpoint)

    def _nack_refused(self):
        self.nacks += self.line.refused()


class Watch:
    """Takes steps and judges what is worked on: whether it is another one's, and up to where all is handled."""

    def __init__(self, shards):
        self.shards = shards
        self.reached = 0

    def step(self, client, what):
        for seq, is_handled in getattr(client, what)() or ():
            assert seq <= self.reached + 1, "jumped over"
            assert self.shards.holders_up_to(seq) <= {client.name}, "another one is at work on it or on what comes before"
            if is_handled:
                self.reached = max(self.reached, seq)

    def until_calm(self, clients):
        """Let everything go well until all is acknowledged, or it takes too long."""
        for client in clients:
            client.calm = True
        for turn in range(40 * self.shards.segments[-1].last):
            for client in clients:
                for what in ("poll", "work", "answer") + ("stuck",) * (turn % 20 == 19):
                    self.step(client, what)
            if self.shards.all_acked():
                return


STEPS = ("poll",) * 6 + ("work",) * 4 + ("answer",) * 2 + ("lapse",)


@settings(deadline=None, max_examples=200, derandomize=True)  # a busy machine is no failure
@given(st.integers(0, 2**32))
def test_consumers_take_turns_and_lose_nothing(seed):
    """Whatever is lost or late, nobody works on a message while what comes before is open and another one's.

    Nobody jumps over what nobody has handled, and everything is handled and acknowledged in the end.
    """
    rng = np.random.default_rng(seed)
    shards = Shards([int(size) for size in rng.integers(1, 16, size=int(rng.integers(1, 5)))])
    watch, clients = Watch(shards), [Client(name, shards, rng) for name in ("one", "two")]
    for what in rng.choice(STEPS, size=120):
        watch.step(clients[int(rng.integers(2))], what)
    watch.until_calm(clients)
    assert shards.all_acked()
    assert watch.reached == shards.segments[-1].last
