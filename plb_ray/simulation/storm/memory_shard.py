"""What one process of a shard has in memory, over a `MemoryDatabase`: the shard's own ledger, view and delivery.

It stands for `embedded.shard.Shard` and the decisions of `embedded.control` and `embedded.data`, without threads and
gRPC. All methods are synchronous; what changes something takes an `answer` that is called with its result or error when
it is durable.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from plb_ray.errors import PausedError
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import operations, ownership, sealing
from plb_ray.queues.embedded.delivery import Delivery
from plb_ray.queues.embedded.holding import Nack
from plb_ray.queues.embedded.sealing import SealOrder
from plb_ray.queues.embedded.slices import Limits
from plb_ray.queues.embedded.tokens import TokenBucket
from plb_ray.queues.embedded.view import View
from plb_ray.simulation.storm.memory_writer import MemoryWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from plb_ray.domain.load import Shard
    from plb_ray.errors import PlbError
    from plb_ray.migration.ports import OrderParamState, SealRecord
    from plb_ray.queues.embedded.blocks import Block, StoredMessage
    from plb_ray.queues.embedded.ledger import Committed
    from plb_ray.queues.embedded.operations import Now, Operation
    from plb_ray.queues.embedded.ownership import Record
    from plb_ray.queues.embedded.slices import Slice
    from plb_ray.simulation.storm.memory_database import MemoryDatabase
    from plb_ray.simulation.storm.memory_writer import Answer, Later

POLL_BYTES = 1 << 20
TAIL_MESSAGES = 20  # that come with a seal; few, so that there are more at times


class Polled(NamedTuple):
    """A delivered batch; see `DeliveredBatch` in queue.proto."""

    order_param: str
    epoch: int
    messages: list[StoredMessage]
    hold_no: int = 0
    behind: bool = False
    followed: bool = False
    acked_seq: int = 0


class MemoryShard:
    """See the module.

    Args:
        shard_id, endpoint: its names.
        database: its disk.
        now: its clocks.
        consumer_lease_s: of holders.
        later: see `MemoryWriter`.
    """

    def __init__(
        self,
        shard_id: str,
        endpoint: str,
        database: MemoryDatabase,
        now: Callable[[], Now],
        consumer_lease_s: float,
        later: Later | None = None,
    ) -> None:
        self.view = View()
        self.on_news: Callable[[], None] = lambda: None
        self.on_record: Callable[[Record], None] = lambda _: None
        self.consumer_lease_s = consumer_lease_s
        self._endpoint = endpoint
        self._database = database
        self._now = now
        bucket = TokenBucket(0.0, now().mono_s)
        self.delivery = Delivery(self.view, bucket, consumer_lease_s, lambda: int(now().wall_s * 1e6))
        self.writer = MemoryWriter(database, (shard_id, endpoint), now, self._publish, later)
        self.writer.recover()

    def run(self, order_param: str, operation: Operation, answer: Answer, segment: int = 0) -> None:
        """Run an operation in its turn."""
        self.writer.submit(order_param, segment, operation, answer)

    def change(self, order_param: str, operation: Operation, answer: Answer) -> None:
        """Run an operation that answers a record; answer the state."""

        def answered(record: Any, error: Any) -> None:
            answer(None if error else self._state(record), error)

        self.run(order_param, operation, answered)

    def done(self, order_param: str, operation: Operation, segment: int = 0) -> asyncio.Future[Any]:
        """Run an operation; return the future of its answer."""
        future = asyncio.get_running_loop().create_future()

        def answered(result: Any, error: PlbError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.run(order_param, operation, answered, segment)
        return future

    def advance(self, order_param: str, epoch: int, hold: tuple[int, str], answer: Answer) -> None:
        """Note that all segments up to an epoch are consumed; answer the state, or where and when to tell it instead."""
        held = (hold[0] or int(self._now().wall_s * 1e6), hold[1])
        step = operations.transition(lambda record, _: sealing.advanced(record, epoch, *held))
        for line in self.view.of(order_param):
            if line.record.behind:
                self.run(order_param, step, lambda *_: None, line.record.epoch)
        told = operations.transition(lambda record, _: sealing.told(sealing.advanced(record, epoch, *held), epoch))
        self.change(order_param, told, answer)

    def seal(
        self,
        order_param: str,
        migration_id: str,
        epoch: int,
        destination: Shard,
        answer: Answer,
        *,
        chained: bool,
        tail_after_seq: int | None = None,
    ) -> None:
        """Run a seal; nothing of the order param is delivered from before its cursor is read until its outcome is known."""
        cursor, release = self.delivery.hold(order_param)

        def settled(result: Any, error: Any) -> None:
            release()
            if error is None and tail_after_seq is not None:
                result = replace(result, tail=self._tail(result, tail_after_seq))
            answer(result, error)

        moved_to = (destination.shard_id, destination.endpoint)
        order = SealOrder(
            migration_id,
            epoch,
            moved_to,
            cursor.delivered_seq,
            own_endpoint=self._endpoint,
            holder=cursor.holder,
            hold_no=cursor.hold_no,
            chained=chained,
        )
        self.run(order_param, operations.Seal(order), settled)

    def ack(self, order_param: str, epoch: int, up_to_seq: int, consumer: str, answer: Answer) -> None:
        """Acknowledge, in whichever segment has this epoch. Raises NotTheHolderError."""
        self.delivery.require_holder(consumer, order_param, epoch, self._now().mono_s)
        self.run(order_param, operations.Ack(epoch, up_to_seq), answer, segment=epoch)

    def nack(self, order_param: str, epoch: int, seq: int, consumer: str, delay_ms: int, answer: Answer) -> None:
        """Acknowledge what is before `seq`, and put back the rest. Raises NotTheHolderError."""

        def acknowledged(acked_seq: Any, error: Any) -> None:
            if error is None:
                try:
                    self.delivery.postpone(order_param, epoch, delay_ms / 1000, self._now().mono_s)
                except PausedError as paused:
                    error = paused
            answer(None if error else acked_seq, error)

        self.delivery.require_holder(consumer, order_param, epoch, self._now().mono_s)
        self.run(order_param, Nack(epoch, seq), acknowledged, segment=epoch)

    def poll(
        self,
        consumer: str,
        limit: int,
        holds: Mapping[str, int],
        answer: Answer,
        names: Sequence[str] = (),
        *,
        redeliver: bool = False,
    ) -> None:
        """Answer the next messages for a consumer; a new holder of an order param is on disk before."""
        if redeliver:
            self.delivery.redeliver(consumer)
        slices = self.delivery.take(consumer, names, Limits(limit, POLL_BYTES), self._now().mono_s, holds)
        unsaved = self.delivery.unsaved(slices)
        left = [len(unsaved)]

        def saved(_: Any, error: Any) -> None:
            left[0] -= 1
            if error is not None and left[0] >= 0:
                left[0] = -1
                self.delivery.give_back(slices)
                answer(None, error)
            elif left[0] == 0:
                answer(self._polled(consumer, slices), None)

        if not unsaved:
            answer(self._polled(consumer, slices), None)
        for order_param, epoch, hold in unsaved:
            self.run(order_param, hold, saved, segment=epoch)

    def _polled(self, consumer: str, slices: Sequence[Slice]) -> list[Polled]:
        return [
            Polled(
                part.order_param,
                part.epoch,
                self._database.messages(part.slot, part.first_seq, part.last_seq),
                part.hold_no,
                part.behind,
                part.followed,
                part.acked_seq,
            )
            for part in slices
            if self.delivery.still_held(consumer, part)
        ]

    def _tail(self, sealed: SealRecord, after_seq: int) -> tuple[bytes, ...]:
        record = self.view.record(sealed.order_param, self._now().mono_s)
        if (record.ownership, record.epoch) != (Ownership.SEALED, sealed.epoch):
            return ()
        blocks = self.exported(sealed.order_param, after_seq, TAIL_MESSAGES)
        return tuple(block.data for block in blocks) if blocks and blocks[-1].last_seq == sealed.final_seq else ()

    def exported(self, order_param: str, after_seq: int, limit: int) -> list[Block]:
        """Return the next chunk of an export; empty at its end."""
        line = self.view.lines.get((order_param, 0))
        if line is None:
            return []
        record = line.record
        return self._database.read(line.slot, max(after_seq, record.acked_seq) + 1, record.last_seq, limit)

    def state_of(self, order_param: str) -> OrderParamState:
        """Return what is committed."""
        return self._state(self.view.record(order_param, self._now().mono_s))

    def names(self) -> tuple[str, ...]:
        """Return all order params that there is a record of."""
        return self.view.names()

    def stored_seqs(self, order_param: str) -> list[int]:
        """Return the sequences of what is stored of an order param's own record."""
        line = self.view.lines.get((order_param, 0))
        return [] if line is None else [one.seq for one in self._database.messages(line.slot, 0, 1 << 60)]

    def _state(self, record: Record) -> OrderParamState:
        return ownership.state_of(record, self._now().mono_s, self.view.segments(record.order_param))

    def _publish(self, news: Iterable[Committed]) -> None:
        now_s = self._now().mono_s
        for one in news:
            self.delivery.committed(one, now_s)
            if not one.segment:
                self.on_record(one.record)
        self.on_news()

    def now_s(self) -> float:
        """Return monotonic time."""
        return self._now().mono_s
