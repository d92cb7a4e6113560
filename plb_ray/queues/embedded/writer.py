"""The one thread that writes: it takes what has queued up, applies it in order, commits once, then answers (group commit).

An operation that raises leaves nothing behind and does not disturb the others. If the commit fails (disk full), nothing
of the batch holds: the touched order params are read back from disk and every operation of the batch fails with
`ShardUnavailableError`. Answers and the news for the event loop (`Committed`) leave the thread only after the commit.

If the thread ends by anything but `stop`, all that is queued and all that comes later fails, and `on_death` is called: the
process is of no use any more and has to be started again.

With each batch, and when nothing is queued, the thread deletes a chunk of acknowledged or wiped messages, so that neither
acks nor wipes ever wait for a big delete.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from plb_ray.errors import OutcomeUnknownError, PlbError, ShardUnavailableError
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.database import ALL_SEQ
from plb_ray.queues.embedded.operations import Entry, Now
from plb_ray.queues.embedded.ownership import Record, after_restart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plb_ray.queues.embedded.database import Database
    from plb_ray.queues.embedded.operations import Effect, Operation

BATCH_OPERATIONS = 1000
TRIM_CHUNK = 400
TRIM_AFTER = 200  # acknowledged messages of one order param before it is worth a delete
log = logging.getLogger(__name__)


class Committed(NamedTuple):
    """What one operation has changed for good. `added`: (appended_s, payload bytes) of new messages, in order."""

    slot: int
    record: Record
    wiped: bool
    added: Sequence[tuple[float, int]]


@dataclass
class Slot:
    """The writer's newest knowledge of an order param; ahead of the disk within a batch."""

    number: int
    record: Record
    producers: dict[str, tuple[int, int]]
    untrimmed: int = 0


class Job(NamedTuple):
    """An operation in the queue."""

    order_param: str
    operation: Operation
    future: asyncio.Future[Any]


@dataclass
class Batch:
    """One transaction's outcome so far."""

    answers: list[tuple[asyncio.Future[Any], Any, Exception | None]] = field(default_factory=list)
    news: list[Committed] = field(default_factory=list)
    touched: dict[str, Slot] = field(default_factory=dict)
    messages: list[tuple[int, int, str, int, float, bytes]] = field(default_factory=list)
    producers: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    garbage: list[int] = field(default_factory=list)


class Writer:
    """Runs operations.

    Args:
        database: used by the writer's thread alone from `start` on.
        who: the shard's id and endpoint for error texts.
        now: reads the clocks.
        publish: called in the event loop with the news of each commit, before the answers are given.
        on_death: called in the event loop when the thread has ended unexpectedly.
    """

    def __init__(
        self,
        database: Database,
        who: tuple[str, str],
        now: Callable[[], Now],
        publish: Callable[[list[Committed]], None],
        on_death: Callable[[], None],
    ) -> None:
        self._database = database
        self._who = who
        self._now = now
        self._publish = publish
        self._on_death = on_death
        self._stopping = self._dead = False
        self._jobs: list[Job] = []  # of the batch at hand
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="shard-writer", daemon=True)
        self._slots: dict[str, Slot] = {}
        self._trims: deque[tuple[int, int]] = deque()  # (slot, up to which sequence)
        self._next_slot = 1
        self.bytes_written = 0  # payload bytes committed, for the I/O estimate where the system does not count

    def start(self) -> list[Committed]:
        """Read everything back from disk, start the thread, and return the news that rebuild the event loop's view."""
        owners = dict(self._database.records())
        slots = self._database.slots()
        self._next_slot = max((0, *owners, *slots)) + 1
        self._trims.extend((slot, ALL_SEQ) for slot in slots if slot not in owners)
        news = [self._recovered(number, record) for number, record in owners.items()]
        self._thread.start()
        return news

    def submit(self, order_param: str, operation: Operation) -> asyncio.Future[Any]:
        """Queue an operation; the future has its answer once it is durable. Order of calls = order of effects."""
        future = self._loop.create_future()
        if self._dead:
            future.set_exception(self._failure("its writer has ended"))
            return future
        self._queue.put(Job(order_param, operation, future))
        return future

    async def stop(self) -> None:
        """Finish what is queued, then end the thread and close the database."""
        self._stopping = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._database.close()

    def _recovered(self, number: int, stored: Record) -> Committed:
        record = after_restart(stored)
        self._slots[record.order_param] = Slot(number, record, self._database.producers(number))
        if record.acked_seq:
            self._trims.append((number, record.acked_seq))
        return Committed(number, record, True, tuple(self._database.sizes(number, record.acked_seq)))

    def _run(self) -> None:
        """The thread."""
        try:
            self._run_batches()
        except BaseException:
            log.critical("the writer ends by an unexpected error", exc_info=True)
            self._stopping = False
        if not self._stopping:
            self._loop.call_soon_threadsafe(self._die)

    def _die(self) -> None:
        """In the event loop: fail what the thread has left. A batch at hand may have been committed or not."""
        self._dead = True
        left = list(self._jobs)
        while not self._queue.empty():
            left.append(self._queue.get_nowait())
        for job in left:
            if job is not None and not job.future.done():
                job.future.set_exception(OutcomeUnknownError(f"the writer of shard {self._who[0]!r} has ended"))
        self._on_death()

    def _run_batches(self) -> None:
        running = True
        while running:
            jobs = self._next_jobs()
            if None in jobs:
                running = False
                jobs = [job for job in jobs if job is not None]
            self._jobs = jobs
            self._run_batch(jobs)

    def _next_jobs(self) -> list[Any]:
        jobs = []
        try:
            jobs.append(self._queue.get(block=not self._trims))
            while len(jobs) < BATCH_OPERATIONS:
                jobs.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return jobs

    def _run_batch(self, jobs: list[Job]) -> None:
        batch = Batch()
        try:
            self._database.begin()
            for job in jobs:
                self._run_job(job, batch)
            self._flush(batch)
            self._trim_some()
            self._database.commit()
        except sqlite3.Error as error:
            self._restore(batch, error)
            self._tell([(job.future, None, self._failure(error)) for job in jobs], [])
        else:
            self._accept(batch)

    def _run_job(self, job: Job, batch: Batch) -> None:
        slot = self._slots.get(job.order_param) or self._new_slot(Record(job.order_param))
        try:
            effect = job.operation(Entry(slot.record, slot.producers), self._now())
        except PlbError as error:
            batch.answers.append((job.future, None, error))
        except Exception as error:  # a mistake of ours in one operation must not end the thread
            log.exception("operation on %r failed", job.order_param)
            batch.answers.append((job.future, None, error))
        else:
            batch.answers.append((job.future, self._apply(effect, slot, batch), None))

    def _apply(self, effect: Effect, slot: Slot, batch: Batch) -> Any:
        """Take an effect into the working state and the batch; return the operation's answer."""
        if effect.wipe:
            batch.garbage.append(slot.number)
            slot = self._new_slot(Record(slot.record.order_param))
        if effect.record != slot.record or effect.wipe:
            self._keep(effect, slot, batch)
        if effect.trim is None:
            return effect.result
        self._flush(batch)
        return self._database.trim(slot.number, *effect.trim)

    def _keep(self, effect: Effect, slot: Slot, batch: Batch) -> None:
        name = effect.record.order_param
        slot.untrimmed += effect.record.acked_seq - slot.record.acked_seq
        slot.record = effect.record
        self._slots[name] = batch.touched[name] = slot
        for producer, known in effect.producers.items():
            slot.producers[producer] = batch.producers[slot.number, producer] = known
        rows = [(slot.number, m.seq, m.producer, m.producer_seq, m.appended_s, m.payload) for m in effect.messages]
        batch.messages.extend(rows)
        added = [(row[4], len(row[5])) for row in rows]
        batch.news.append(Committed(slot.number, effect.record, effect.wipe, added))

    def _new_slot(self, record: Record) -> Slot:
        slot = Slot(self._next_slot, record, {})
        self._next_slot += 1
        return slot

    def _flush(self, batch: Batch) -> None:
        """Write what the batch holds so far."""
        self._database.put_messages(batch.messages)
        self._database.put_producers((slot, name, *known) for (slot, name), known in batch.producers.items())
        self._database.put_records((slot.number, slot.record) for slot in batch.touched.values())
        self.bytes_written += sum(len(row[5]) for row in batch.messages)
        batch.messages.clear()
        batch.producers.clear()

    def _accept(self, batch: Batch) -> None:
        for name, slot in batch.touched.items():
            if slot.record.ownership is Ownership.NONE:
                self._slots.pop(name, None)
            elif slot.untrimmed >= TRIM_AFTER:
                slot.untrimmed = 0
                self._trims.append((slot.number, slot.record.acked_seq))
        self._trims.extend((number, ALL_SEQ) for number in batch.garbage)
        self._tell(batch.answers, batch.news)

    def _trim_some(self) -> None:
        """Delete a chunk of what nobody needs any more."""
        if not self._trims:
            return
        number, up_to_seq = self._trims[0]
        if self._database.trim(number, up_to_seq, TRIM_CHUNK) < TRIM_CHUNK:
            self._trims.popleft()
            if up_to_seq == ALL_SEQ:
                self._database.forget_producers(number)

    def _restore(self, batch: Batch, error: sqlite3.Error) -> None:
        """Nothing of the batch holds: take back from disk what it touched."""
        log.error("commit failed, its operations are refused: %s", error)
        if self._trims:
            self._trims.popleft()  # else a full disk would be hammered; the garbage waits for the next start
        try:
            self._database.rollback()
            for name, slot in batch.touched.items():
                self._reload(name, slot)
        except sqlite3.Error:
            log.exception("cannot read the shard's own data back; stopping, so that a restart rebuilds it")
            self._queue.put(None)

    def _reload(self, name: str, touched: Slot) -> None:
        stored = self._database.record(name)
        self._slots.pop(name, None)
        if stored is None:
            return
        number, record = stored
        if record.ownership is Ownership.PAUSED and touched.record.ownership is Ownership.PAUSED:
            record = replace(record, lease_until_s=touched.record.lease_until_s)
        self._slots[name] = Slot(number, record, self._database.producers(number))

    def _failure(self, error: sqlite3.Error | str) -> ShardUnavailableError:
        return ShardUnavailableError(*self._who, f"its disk refuses to write: {error}")

    def _tell(self, answers: list[tuple[Any, Any, Exception | None]], news: list[Committed]) -> None:
        self._loop.call_soon_threadsafe(self._answer, answers, news)

    def _answer(self, answers: list[tuple[Any, Any, Exception | None]], news: list[Committed]) -> None:
        """In the event loop: the view first, then the answers, so that nobody is told what the view does not show."""
        if news:
            self._publish(news)
        for future, result, error in answers:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
