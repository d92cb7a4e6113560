"""A `Delivery` fed by hand: records and messages are put, what consumers are given is looked at. Times are passed in."""

from dataclasses import replace

from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.blocks import Block, StoredMessage
from plb_ray.queues.embedded.delivery import Delivery
from plb_ray.queues.embedded.ledger import Committed
from plb_ray.queues.embedded.ownership import Record
from plb_ray.queues.embedded.sealing import SealOrder, advanced, sealed
from plb_ray.queues.embedded.slices import Limits
from plb_ray.queues.embedded.tokens import TokenBucket
from plb_ray.queues.embedded.view import View

MANY = Limits(1_000_000, 1 << 40)
LEASE_S = 30.0


class Bench:
    """See the module. `hold_no` is what the clock gives as the least number of a new hold."""

    def __init__(self, rate_per_s=0.0, hold_no=100):
        self.view = View()
        self.hold_no = hold_no
        self.delivery = Delivery(self.view, TokenBucket(rate_per_s, 0.0), LEASE_S, lambda: self.hold_no)
        self._slots = {}
        self._wall_s = 0.0

    def record(self, name="A", segment=0):
        return self.view.lines[name, segment].record

    def line(self, name="A", segment=0):
        return self.view.lines[name, segment]

    def put(self, record, added=(), segment=0, *, wiped=False, now_s=0.0):
        """Publish a record as its commit would; `wiped` gives it a new slot."""
        key = (record.order_param, segment)
        if wiped or key not in self._slots:
            self._slots[key] = max(self._slots.values(), default=0) + 1
        self.delivery.committed(Committed(self._slots[key], segment, record, wiped, added), now_s)

    def serve(self, record, count=0, segment=0, now_s=0.0):
        """Publish a record with `count` messages more than it says, each of 10 bytes, newer than all before."""
        times = [self._wall_s + place + 1.0 for place in range(count)]
        self._wall_s += count
        self._append(record, times, segment, now_s)

    def append(self, name, *times, now_s=0.0):
        """Append messages of 10 bytes at these times to an order param, opened if need be."""
        line = self.view.lines.get((name, 0))
        self._append(Record(name, Ownership.ACTIVE, epoch=1) if line is None else line.record, times, 0, now_s)

    def ack(self, name, seq, segment=0, now_s=0.0):
        self.put(replace(self.record(name, segment), acked_seq=seq), segment=segment, now_s=now_s)

    def advance(self, epoch, name="A", segment=0, hold=()):
        self.put(advanced(self.record(name, segment), epoch, *hold), segment=segment)

    def seal(self, name="A", *, chained=False, now_s=0.0):
        """Seal the order param with the cursor that `Delivery.hold` gives; return the tombstone."""
        before, (cursor, release) = self.record(name), self.delivery.hold(name)
        paused = replace(before, ownership=Ownership.PAUSED, migration_id="m", lease_until_s=1e9)
        ids, told = ("m", before.epoch, ("b", "host-b:1")), (cursor.delivered_seq, "host-a:1", cursor.holder, cursor.hold_no)
        tombstone, left = sealed(paused, SealOrder(*ids, *told, chained=chained))
        if left is not None:
            self._slots[name, left.epoch] = self._slots[name, 0]
            self.put(left, segment=left.epoch, now_s=now_s)
        self.put(tombstone, wiped=left is not None, now_s=now_s)
        release()
        return tombstone

    def arrive(self, name="A", count=7, now_s=0.0, **told):
        """An order param with `count` messages has moved here under epoch 2, and its seal said this."""
        importing = Record(name, Ownership.IMPORTING, epoch=2, migration_id="m")
        self.put(importing, wiped=True, now_s=now_s)
        full = replace(importing, last_seq=count)
        self.put(full, [block(1, *map(float, range(1, count + 1)))] if count else (), now_s=now_s)
        self.put(replace(full, ownership=Ownership.ACTIVE, **told), now_s=now_s)

    def take(self, consumer="c", names=(), limits=MANY, now_s=0.0, holds=None):
        """Return what a consumer's poll gets: order param -> (first, last); of a segment: (order param, epoch) -> ..."""
        found = {}
        for part in self.slices(consumer, names, limits, now_s, holds):
            key = (part.order_param, part.epoch) if part.key[1] or part.behind else part.order_param
            found[key] = (part.first_seq, part.last_seq)
        return found

    def slices(self, consumer="c", names=(), limits=MANY, now_s=0.0, holds=None):
        return self.delivery.take(consumer, names, limits, now_s, holds)

    def _append(self, record, times, segment, now_s):
        after = replace(record, last_seq=record.last_seq + len(times))
        self.put(after, [block(record.last_seq + 1, *times)] if times else (), segment, now_s=now_s)


def block(first_seq, *times):
    """Messages of 10 bytes appended at these times."""
    return Block.of([StoredMessage(seq, "p", seq, b"x" * 10, at_s) for seq, at_s in enumerate(times, first_seq)])
