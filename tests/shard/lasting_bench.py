"""A `Bench` whose holders are written down before they get anything, as a shard does it, and which can start again."""

from dataclasses import replace

from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.ledger import Committed
from plb_ray.queues.embedded.ownership import Record
from tests.shard.delivery_bench import LEASE_S, MANY, Bench, block

__all__ = ["LEASE_S", "MANY", "LastingBench", "block"]


class LastingBench(Bench):
    """See the module."""

    def slices(self, consumer="c", names=(), limits=MANY, now_s=0.0, holds=None, *, again=False):
        slices = self.delivery.take(consumer, names, limits, now_s, holds, again=again)
        for name, epoch, hold in self.delivery.unsaved(slices):
            line = self.view.line(name, epoch)
            noted = replace(line.record, holder=hold.holder, hold_no=hold.hold_no)
            self.put(noted, segment=line.key[1], now_s=now_s)
        return slices

    def take(self, consumer="c", names=(), limits=MANY, now_s=0.0, holds=None, *, again=False):
        """Return {order param: (first, last)}; of trailing segments and what is behind {(order param, epoch): ...}."""
        parts = self.slices(consumer, names, limits, now_s, holds, again=again)
        return {
            (part.order_param, part.epoch) if part.key[1] or part.behind else part.order_param: (
                part.first_seq,
                part.last_seq,
            )
            for part in parts
        }

    def restarted(self, now_s=0.0):
        """The same records and messages in a new process."""
        new = LastingBench(hold_no=self.hold_no)
        for slot, ((name, segment), line) in enumerate(self.view.lines.items(), 1):
            record = line.record
            times = [1.0] * (record.last_seq - record.acked_seq)
            added = [block(record.acked_seq + 1, *times)] if times else []
            new._slots[name, segment] = slot
            new.delivery.committed(Committed(slot, segment, record, True, added), now_s)
        return new


def owned(name="A", **fields):
    """Return the record of an order param that is served here from epoch 2 on."""
    return Record(name, Ownership.ACTIVE, epoch=2, **fields)
