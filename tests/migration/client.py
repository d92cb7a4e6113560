"""A consumer in a test's world: the product's own reassembly over polls of shards in memory, without time or network."""

from __future__ import annotations

from plb_ray.errors import NotTheHolderError, PlbError
from plb_ray.queues.deliveries import Batch, Delivered, Offer, Pool, Source
from plb_ray.queues.reassembly import Line


class Client:
    """Consumes one order param from all shards. Its leases never end: while it lives it is the only one.

    `work(message, name, hold_no)` is called with each message that is handed over.
    """

    def __init__(self, name, order_param, shards, work):
        self.line = Line(order_param, Pool())
        self._name = name
        self._order_param = order_param
        self._shards = shards
        self._work = work
        self._redeliver = set()

    def turn(self, limit, *, ack):
        """Poll every shard, hand over what continues the sequence, acknowledge; return how many were handed over."""
        for shard in self._shards.values():
            self._poll(shard, limit)
        count = 0
        while (message := self.line.take(lambda _: 1)) is not None:
            self._work(message, self._name, self.line.hold_no)
            self.line.handled()
            count += 1
        self._give_back(self.line.refused())
        if ack:
            for source, up_to_seq in self.line.acks_due().items():
                self._ack(source, up_to_seq)
        return count

    def give_up_waiting(self):
        """Have what was kept delivered again: what comes before it does not come."""
        self._give_back(self.line.stuck())

    def _poll(self, shard, limit):
        redeliver = shard.endpoint in self._redeliver
        try:
            polled = shard.deliveries(self._order_param, limit, self.line.hold_no, self._name, redeliver=redeliver)
        except PlbError:  # it is down, or has nothing of it
            return
        self._redeliver.discard(shard.endpoint)
        for part in polled:
            messages = [
                Delivered(part.order_param, one.seq, one.producer, one.producer_seq, one.payload, one.appended_s, "")
                for one in part.messages
            ]
            source = Source(shard.endpoint, part.epoch)
            batch = Batch(source, messages, 1, part.hold_no, part.behind, part.followed, part.acked_seq)
            if self.line.offer(batch) is Offer.GAP:
                self._redeliver.add(shard.endpoint)

    def _ack(self, source, up_to_seq):
        try:
            self._at(source).ack(self._order_param, source.epoch, up_to_seq, self._name)
        except NotTheHolderError:
            self._redeliver.update(self.line.lost())
        except PlbError:  # it has moved on, or is away: what is acknowledged comes again
            self.line.unsure(source)
        else:
            self.line.confirmed(source, up_to_seq)

    def _give_back(self, sources):
        for source in sources:
            try:
                self._at(source).nack(self._order_param, source.epoch, self.line.nack_seq, self._name)
            except PlbError:
                self._redeliver.add(source.endpoint)
            self.line.returned(source)

    def _at(self, source):
        return next(shard for shard in self._shards.values() if shard.endpoint == source.endpoint)
