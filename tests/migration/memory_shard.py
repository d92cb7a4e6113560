"""A shard in memory: the embedded shard's own decisions (`embedded.operations`), without its disk and its network.

It is durable the way a real one is: `stop` and `restart` keep everything but the leases.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from plb_ray.domain.load import OrderParamLoad, ResourceVector, Shard, ShardLoad
from plb_ray.errors import ShardUnavailableError
from plb_ray.migration.ports import CopyProgress, Ownership
from plb_ray.queues.embedded import operations, ownership
from plb_ray.queues.embedded.operations import Entry, Now, StoredMessage


class VirtualClock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.at_s = 1000.0

    def now_s(self):
        return self.at_s

    def advance(self, seconds):
        self.at_s += seconds

    async def sleep_until(self, at_s):
        self.at_s = max(self.at_s, at_s)

    async def sleep(self, seconds):
        """Waiting passes the time at once, and lets others run."""
        self.at_s += seconds
        await asyncio.sleep(0)


@dataclass
class Stored:
    """What the shard has of one order param."""

    entry: Entry
    messages: dict[int, StoredMessage] = field(default_factory=dict)
    delivered_seq: int = 0


class MemoryShard:
    """Implements `ShardPort`, plus a synchronous data plane for tests."""

    def __init__(self, shard_id, clock, peers):
        self.shard_id = shard_id
        self.endpoint = f"memory:{shard_id}"
        self.up = True
        self._clock = clock
        self._peers = peers
        self._stored: dict[str, Stored] = {}
        peers[self.endpoint] = self

    # Data plane

    def append(self, order_param, epoch, producer, first_number, payloads):
        """Return (last sequence, whether all of it was there already)."""
        return self._apply(order_param, operations.Append(epoch, producer, first_number, payloads)).result

    def poll(self, order_param, epoch, limit):
        """Return the next messages that were not delivered yet; what was in flight is delivered again after a restart."""
        stored = self._of(order_param)
        ownership.require(self._settled(stored).record, epoch, append=False)
        first = max(stored.delivered_seq, stored.entry.record.acked_seq)
        batch = [stored.messages[seq] for seq in sorted(stored.messages) if seq > first][:limit]
        if batch:
            stored.delivered_seq = batch[-1].seq
        return batch

    def ack(self, order_param, epoch, up_to_seq):
        return self._apply(order_param, operations.Ack(epoch, up_to_seq)).result

    # Life

    def stop(self):
        self.up = False

    def restart(self):
        """Come back as a new process: no lease survives, nor what was delivered and not acknowledged."""
        self.up = True
        for stored in self._stored.values():
            record = ownership.after_restart(stored.entry.record)
            stored.entry = Entry(record, stored.entry.producers)
            stored.delivered_seq = 0

    def lose_everything(self):
        """Forget all: the disk is gone."""
        self._stored.clear()

    def look(self, order_param):
        """Return the state without asking whether the shard is up."""
        return ownership.state_of(self._of(order_param).entry.record, self._clock.now_s())

    def stored_seqs(self, order_param):
        return sorted(self._of(order_param).messages)

    # ShardPort

    async def describe(self):
        self._require_up()
        return Shard(self.shard_id, self.endpoint, ResourceVector(1.0, 1e9, 1e6))

    async def load(self):
        self._require_up()
        owned = [s.entry.record for s in self._stored.values() if s.entry.record.ownership in ownership.OWNED]
        loads = tuple(
            OrderParamLoad(r.order_param, r.epoch, r.last_seq, r.bytes_total, r.acked_seq, r.last_seq - r.acked_seq, 0, 0.0)
            for r in owned
        )
        return ShardLoad(self.shard_id, self._clock.now_s(), ResourceVector(0.5), 0.1, 0, 1.0, loads)

    async def state(self, order_param):
        self._require_up()
        return self.look(order_param)

    async def states(self):
        self._require_up()
        for order_param in list(self._stored):
            yield self.look(order_param)

    async def open(self, order_param, epoch):
        return self._transition(order_param, lambda record, _: ownership.opened(record, epoch))

    async def pause(self, order_param, migration_id, epoch, lease_ms):
        return self._transition(
            order_param, lambda record, now_s: ownership.paused(record, migration_id, epoch, lease_ms, now_s)
        )

    async def copy_backlog(self, order_param, migration_id, epoch, source_endpoint, chunk_messages):
        record = self._apply(order_param, operations.BeginImport(migration_id, epoch)).result
        last_seq, messages, size = record.last_seq, 0, 0
        while True:
            await asyncio.sleep(0)
            chunk = self._peers[source_endpoint].exported(order_param, last_seq, chunk_messages)
            if not chunk:
                break
            imported = operations.ImportChunk(migration_id, epoch, chunk)
            last_seq, new, new_bytes = self._apply(order_param, imported).result
            messages, size = messages + new, size + new_bytes
            yield CopyProgress(last_seq, messages, size)
        yield CopyProgress(last_seq, messages, size)

    async def seal(self, order_param, migration_id, epoch, destination):
        moved_to = (destination.shard_id, destination.endpoint)
        delivered_seq = self._of(order_param).delivered_seq
        return self._apply(order_param, operations.Seal(migration_id, epoch, moved_to, delivered_seq)).result

    async def update_mapping(self, order_param, epoch, owner):
        return self._transition(
            order_param, lambda record, _: ownership.redirected(record, epoch, owner.shard_id, owner.endpoint)
        )

    async def resume(self, order_param, migration_id, sealed):
        self._apply(order_param, operations.Resume(migration_id, sealed))
        return self.look(order_param)

    async def drain(self, order_param, migration_id, chunk_messages):
        deleted = 0
        while chunk := self._apply(order_param, operations.Drain(migration_id, chunk_messages)).result:
            deleted += chunk
            yield deleted
            await asyncio.sleep(0)

    async def abort(self, order_param, migration_id):
        self._apply(order_param, operations.Abort(migration_id))
        return self.look(order_param)

    def exported(self, order_param, after_seq, limit):
        """Return the next unacknowledged messages after a sequence."""
        self._require_up()
        stored = self._of(order_param)
        first = max(after_seq, stored.entry.record.acked_seq)
        return [stored.messages[seq] for seq in sorted(stored.messages) if seq > first][:limit]

    # Parts

    def _transition(self, order_param, step):
        self._apply(order_param, operations.transition(step))
        return self.look(order_param)

    def _apply(self, order_param, operation):
        self._require_up()
        stored = self._of(order_param)
        now_s = self._clock.now_s()
        effect = operation(stored.entry, Now(now_s, now_s))
        if effect.wipe:
            stored.messages.clear()
            stored.delivered_seq = 0
        producers = dict(effect.producers) if effect.wipe else {**stored.entry.producers, **effect.producers}
        stored.messages.update({message.seq: message for message in effect.messages})
        result = effect.result
        if effect.trim is not None:
            up_to, limit = effect.trim
            doomed = [seq for seq in sorted(stored.messages) if seq <= up_to][:limit]
            for seq in doomed:
                del stored.messages[seq]
            result = len(doomed)
        stored.entry = Entry(effect.record, producers)
        if effect.record.ownership is not Ownership.NONE or order_param in self._stored:
            self._stored[order_param] = stored
        return operations.Effect(result, effect.record)

    def _of(self, order_param):
        return self._stored.get(order_param) or Stored(Entry(ownership.Record(order_param)))

    def _settled(self, stored):
        record = ownership.settled(stored.entry.record, self._clock.now_s())
        return Entry(record, stored.entry.producers)

    def _require_up(self):
        if not self.up:
            raise ShardUnavailableError(self.shard_id, self.endpoint, "stopped by the test")
