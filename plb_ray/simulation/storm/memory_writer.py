"""The shard's writer without its thread: the same ledger, group commit and order of answers, in virtual time.

Operations that come while a commit is under way wait for it, then form the next batch. A crash in between loses what is not
committed; what is committed and not answered stays.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from plb_ray.errors import PlbError, ShardUnavailableError
from plb_ray.queues.embedded.ledger import Ledger
from plb_ray.simulation.storm.memory_database import DiskFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plb_ray.queues.embedded.ledger import Committed
    from plb_ray.queues.embedded.operations import Now, Operation
    from plb_ray.simulation.storm.memory_database import MemoryDatabase

    Answer = Callable[[Any, PlbError | None], None]
    """Takes an operation's result, or its error."""
    Later = Callable[[Callable[[], None]], None]
    """Calls something when the disk has synced, unless the process has died meanwhile."""


class MemoryWriter:
    """See the module. `later` None: commits take no time."""

    def __init__(
        self,
        database: MemoryDatabase,
        who: tuple[str, str],
        now: Callable[[], Now],
        publish: Callable[[Iterable[Committed]], None],
        later: Later | None = None,
    ) -> None:
        self.ledger = Ledger(database)  # type: ignore[arg-type]  # it has what the ledger uses
        self._who = who
        self._now = now
        self._publish = publish
        self._later = later
        self._jobs: deque[tuple[str, int, Operation, Answer]] = deque()
        self._is_busy = False

    def recover(self) -> None:
        """Read everything back from disk into the view."""
        self._publish(self.ledger.recover())

    def submit(self, order_param: str, segment: int, operation: Operation, answer: Answer) -> None:
        """Run an operation in its turn; `answer` is called when it is durable, or need not be."""
        self._jobs.append((order_param, segment, operation, answer))
        if not self._is_busy:
            self._run_batch()

    def run(self, order_param: str, operation: Operation, segment: int = 0) -> Any:
        """Run an operation at once, where commits take no time; return its answer or raise its error."""
        answers: list[tuple[Any, PlbError | None]] = []
        self.submit(order_param, segment, operation, lambda result, error: answers.append((result, error)))
        [(result, error)] = answers
        if error is not None:
            raise error
        return result

    def _run_batch(self) -> None:
        waiting: list[tuple[Answer, Any, PlbError | None]] = []
        early: list[tuple[Answer, Any, PlbError | None]] = []
        ledger, now = self.ledger, self._now()
        while self._jobs:
            order_param, segment, operation, answer = self._jobs.popleft()
            waits = ledger.waits(ledger.key(order_param, segment))
            try:
                outcome = ledger.run(order_param, segment, operation, now)
            except PlbError as error:
                (waiting if waits else early).append((answer, None, error))
            else:
                (early if outcome.early else waiting).append((answer, outcome.result, None))
        self._tell(ledger.early_news(), early)
        if not waiting or self._later is None:
            self._commit(waiting)
        else:
            self._is_busy = True
            self._later(partial(self._synced, waiting))

    def _synced(self, waiting: list[tuple[Answer, Any, PlbError | None]]) -> None:
        self._is_busy = False
        self._commit(waiting)
        if self._jobs and not self._is_busy:
            self._run_batch()

    def _commit(self, waiting: list[tuple[Answer, Any, PlbError | None]]) -> None:
        try:
            news = self.ledger.commit()
        except DiskFullError:
            self.ledger.restore()
            refused = ShardUnavailableError(*self._who, "its disk refuses to write")
            self._tell(self.ledger.early_news(), [(answer, None, refused) for answer, _, _ in waiting])
        else:
            self._tell(news, waiting)

    def _tell(self, news: Iterable[Committed], answers: list[tuple[Answer, Any, PlbError | None]]) -> None:
        if news:
            self._publish(news)
        for answer, result, error in answers:
            answer(result, error)
