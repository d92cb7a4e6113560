"""A shard in memory as the tests of the protocol use it: the storm's `MemoryShard`, as a port, with nothing in between.

It is durable the way a real one is: `stop` and `restart` keep everything but the leases.
"""

from __future__ import annotations

import asyncio

from plb_ray.domain.load import OrderParamLoad, ResourceVector, Shard, ShardLoad
from plb_ray.errors import ShardUnavailableError
from plb_ray.migration.ports import CopyProgress
from plb_ray.queues.embedded import operations, ownership
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.operations import Now
from plb_ray.simulation.storm.heralds import Heralded, SimulatedHerald
from plb_ray.simulation.storm.memory_database import MemoryDatabase
from plb_ray.simulation.storm.memory_shard import MemoryShard as Inside

CONSUMER_LEASE_S = 3.0


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


class MemoryShard:
    """Implements `ShardPort`, plus a synchronous data plane for tests."""

    def __init__(self, shard_id, clock, peers):
        self.shard_id = shard_id
        self.endpoint = f"memory:{shard_id}"
        self.up = True
        self._clock = clock
        self._peers = peers
        peers[self.endpoint] = self
        self.lose_everything()

    # Data plane

    def append(self, order_param, epoch, producer, first_number, payloads):
        """Return (last sequence, whether all of it was there already)."""
        return self._run(order_param, operations.Append(epoch, producer, first_number, payloads))

    def poll(self, order_param, epoch, limit, consumer="c", holds=None):
        """Return the next messages that were not delivered yet; what was in flight is delivered again after a restart."""
        return [message for batch in self.batches(order_param, epoch, limit, consumer, holds) for message in batch.messages]

    def batches(self, order_param, epoch, limit, consumer="c", holds=None):
        """Return the same as it is delivered, by segment."""
        self._require_up()
        ownership.require(self.inside.view.record(order_param, self._clock.now_s()), epoch, append=False)
        return _answered(lambda answer: self.inside.poll(consumer, limit, holds or {}, answer, (order_param,)))

    def deliveries(self, order_param, limit, hold_no, consumer="c", *, redeliver=False):
        """Return what is delivered of all its segments here, to a consumer that holds it by this number."""
        self._require_up()
        call = (consumer, limit, {order_param: hold_no} if hold_no else {})
        return _answered(lambda answer: self.inside.poll(*call, answer, (order_param,), redeliver=redeliver))

    def nack(self, order_param, epoch, seq, consumer="c"):
        self._require_up()
        return _answered(lambda answer: self.inside.nack(order_param, epoch, seq, consumer, 0, answer))

    def ack(self, order_param, epoch, up_to_seq, consumer="c"):
        self._require_up()
        return _answered(lambda answer: self.inside.ack(order_param, epoch, up_to_seq, consumer, answer))

    # Life

    def stop(self):
        self.up = False

    def restart(self):
        """Come back as a new process: no lease survives, nor what was delivered and not acknowledged."""
        self.up = True
        self.database.rollback()
        self._begin_process()

    def lose_everything(self):
        """Forget all: the disk is gone."""
        self.database = MemoryDatabase()
        self._begin_process()

    def herald_round(self):
        """Let its herald begin what is due; return how many duties it has."""
        return self._herald.round() if self.up else 0

    def look(self, order_param):
        """Return the state without asking whether the shard is up."""
        return self.inside.state_of(order_param)

    def stored_seqs(self, order_param):
        return self.inside.stored_seqs(order_param)

    # ShardPort

    async def describe(self):
        self._require_up()
        return Shard(self.shard_id, self.endpoint, ResourceVector(1.0, 1e9, 1e6))

    async def load(self):
        self._require_up()
        owned = [line.record for line in self.inside.view.lines.values() if line.owned]
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
        for order_param in self.inside.names():
            yield self.look(order_param)

    async def open(self, order_param, epoch):
        return self._changed(order_param, operations.transition(lambda record, _: ownership.opened(record, epoch)))

    async def begin(self, order_param, migration_id, epoch):
        return self._changed(order_param, operations.BeginImport(migration_id, epoch))

    async def pause(self, order_param, migration_id, epoch, lease_ms, *, soft=False):
        return self._changed(order_param, operations.Pause(migration_id, epoch, lease_ms, soft))

    async def copy_backlog(self, order_param, migration_id, epoch, source_endpoint, chunk_messages):
        record = self._run(order_param, operations.BeginImport(migration_id, epoch))
        last_seq, messages, size = record.last_seq, 0, 0
        while True:
            await asyncio.sleep(0)
            chunk = self._peers[source_endpoint].exported(order_param, last_seq, chunk_messages)
            if not chunk:
                break
            last_seq, new, new_bytes = self._run(order_param, operations.ImportChunk(migration_id, epoch, chunk))
            messages, size = messages + new, size + new_bytes
            yield CopyProgress(last_seq, messages, size)
        yield CopyProgress(last_seq, messages, size)

    async def seal(self, order_param, migration_id, epoch, destination, *, chained=False, tail_after_seq=None):
        self._require_up()
        ids = (order_param, migration_id, epoch, destination)
        return _answered(lambda answer: self.inside.seal(*ids, answer, chained=chained, tail_after_seq=tail_after_seq))

    async def update_mapping(self, order_param, epoch, owner):
        ids = (epoch, owner.shard_id, owner.endpoint)
        return self._changed(order_param, operations.transition(lambda record, _: ownership.redirected(record, *ids)))

    async def resume(self, order_param, migration_id, sealed):
        tail = tuple(Block.parse(data) for data in sealed.tail)
        return self._changed(order_param, operations.Resume(migration_id, sealed, tail))

    async def drain(self, order_param, migration_id, chunk_messages):
        deleted = 0
        while chunk := self._run(order_param, operations.Drain(migration_id, chunk_messages)):
            deleted += chunk
            yield deleted
            await asyncio.sleep(0)

    async def abort(self, order_param, migration_id):
        return self._changed(order_param, operations.Abort(migration_id))

    async def advance(self, order_param, epoch, hold_no=0, holder=""):
        self._require_up()
        return _answered(lambda answer: self.inside.advance(order_param, epoch, (hold_no, holder), answer))

    def exported(self, order_param, after_seq, limit):
        """Return the next unacknowledged messages after a sequence, in blocks."""
        self._require_up()
        return self.inside.exported(order_param, after_seq, limit)

    # Parts

    def _begin_process(self):
        self.inside = Inside(self.shard_id, self.endpoint, self.database, self._now, CONSUMER_LEASE_S)
        self._herald = SimulatedHerald(Heralded(self.inside, self.endpoint), self._peers.__getitem__)

    def _changed(self, order_param, operation):
        self._run(order_param, operation)
        return self.look(order_param)

    def _run(self, order_param, operation):
        self._require_up()
        return _answered(lambda answer: self.inside.run(order_param, operation, answer))

    def _now(self):
        return Now(self._clock.now_s(), self._clock.now_s())

    def _require_up(self):
        if not self.up:
            raise ShardUnavailableError(self.shard_id, self.endpoint, "stopped by the test")


def _answered(call):
    """Return what a call answers at once, or raise its error."""
    answers = []
    call(lambda result, error: answers.append((result, error)))
    [(result, error)] = answers
    if error is not None:
        raise error
    return result
