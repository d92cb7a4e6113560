"""The one thread that writes: it takes what has queued up, applies it in order, commits once, then answers (group commit).

An operation that raises leaves nothing behind and does not disturb the others. If the commit fails (disk full), nothing
of the batch holds: the touched order params are read back from disk and every operation that waited for the commit fails
with `ShardUnavailableError`. Answers and the news for the event loop (`Committed`) leave the thread only after the commit,
except those that need none (see `ledger`); where nothing is to be written there is no transaction.

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
from typing import TYPE_CHECKING, Any, NamedTuple

from plb_ray.errors import OutcomeUnknownError, PlbError, ShardUnavailableError
from plb_ray.queues.embedded.ledger import Committed, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plb_ray.queues.embedded.checkpoint import Checkpoints
    from plb_ray.queues.embedded.database import Database
    from plb_ray.queues.embedded.operations import Now, Operation

BATCH_OPERATIONS = 1000
Answer = tuple[asyncio.Future[Any], Any, Exception | None]
log = logging.getLogger(__name__)


class Job(NamedTuple):
    """An operation in the queue."""

    order_param: str
    segment: int
    operation: Operation
    future: asyncio.Future[Any]


class Writer:
    """Runs operations.

    Args:
        database: used by the writer's thread alone from `start` on.
        checkpoints: is told of each commit.
        who: the shard's id and endpoint for error texts.
        now: reads the clocks.
        publish: called in the event loop with the news of each commit, before the answers are given.
        on_death: called in the event loop when the thread has ended unexpectedly.
    """

    def __init__(
        self,
        database: Database,
        checkpoints: Checkpoints,
        who: tuple[str, str],
        now: Callable[[], Now],
        publish: Callable[[list[Committed]], None],
        on_death: Callable[[], None],
    ) -> None:
        self._database = database
        self._checkpoints = checkpoints
        self._ledger = Ledger(database)
        self._who = who
        self._now = now
        self._publish = publish
        self._on_death = on_death
        self._stopping = self._dead = False
        self._jobs: list[Job] = []  # of the batch at hand
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="shard-writer", daemon=True)

    @property
    def bytes_written(self) -> int:
        """Bytes of messages committed, for the I/O estimate where the system does not count."""
        return self._ledger.bytes_written

    def recover(self) -> Iterator[Committed]:
        """Read everything back from disk; yield the news for a new view. To be used up before `start`."""
        return self._ledger.recover()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, order_param: str, operation: Operation, segment: int = 0) -> asyncio.Future[Any]:
        """Queue an operation; the future has its answer once it is durable. Order of calls = order of effects.

        It runs on the trailing segment of epoch `segment` if there is one then, else on the order param's own record.
        """
        future = self._loop.create_future()
        if self._dead:
            future.set_exception(self._failure("its writer has ended"))
            return future
        self._queue.put(Job(order_param, segment, operation, future))
        return future

    async def stop(self) -> None:
        """Finish what is queued, then end the thread and close the database."""
        self._stopping = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._database.close()

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
            job = self._queue.get_nowait()
            if job is not None:
                left.append(job)
        for job in left:
            if not job.future.done():
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
            jobs.append(self._queue.get(block=not self._ledger.has_garbage))
            while len(jobs) < BATCH_OPERATIONS:
                jobs.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return jobs

    def _run_batch(self, jobs: list[Job]) -> None:
        waiting: list[Answer] = []
        left = iter(jobs)
        try:
            self._run_jobs(left, waiting)
            news = self._ledger.commit()
        except sqlite3.Error as error:
            self._restore(error)
            refused = [answer[0] for answer in waiting] + [job.future for job in left]
            self._tell([(future, None, self._failure(error)) for future in refused], [])
        else:
            self._tell(waiting, news)
            self._checkpoints.committed(self._ledger.log_bytes, self._database.checkpoint)

    def _run_jobs(self, left: Iterator[Job], waiting: list[Answer]) -> None:
        """Run all; what need not wait is answered, what has to is added to `waiting`."""
        early: list[Answer] = []
        try:
            for job in left:
                waiting.append((job.future, None, None))  # it counts as waiting while it runs
                answer, is_early = self._run_job(job)
                if is_early:
                    waiting.pop()
                    early.append(answer)
                else:
                    waiting[-1] = answer
        finally:
            self._tell(early, self._ledger.early_news())

    def _run_job(self, job: Job) -> tuple[Answer, bool]:
        """Return the answer, and whether it can be given at once."""
        waits = self._ledger.waits(self._ledger.key(job.order_param, job.segment))
        try:
            outcome = self._ledger.run(job.order_param, job.segment, job.operation, self._now())
        except PlbError as error:
            return (job.future, None, error), not waits
        except sqlite3.Error:
            raise
        except Exception as error:  # a mistake of ours in one operation must not end the thread
            log.exception("operation on %r failed", job.order_param)
            return (job.future, None, error), not waits
        return (job.future, outcome.result, None), outcome.early

    def _restore(self, error: sqlite3.Error) -> None:
        log.error("commit failed, its operations are refused: %s", error)
        try:
            self._ledger.restore()
        except sqlite3.Error:
            log.exception("cannot read the shard's own data back; stopping, so that a restart rebuilds it")
            self._queue.put(None)

    def _failure(self, error: sqlite3.Error | str) -> ShardUnavailableError:
        return ShardUnavailableError(*self._who, f"its disk refuses to write: {error}")

    def _tell(self, answers: list[Answer], news: list[Committed]) -> None:
        if answers or news:
            self._loop.call_soon_threadsafe(self._answer, answers, news)

    def _answer(self, answers: list[Answer], news: list[Committed]) -> None:
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
