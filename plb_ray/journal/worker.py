"""One thread that does all SQL of a journal, and commits what has gathered meanwhile in one transaction.

An operation is a function of a connection. Operations run in the order in which they were submitted, each after the one
before it has run, and none is reported before the transaction it ran in is on disk. Cost: one commit (one fsync) per batch,
so concurrent writers share it; a lone writer pays one fsync per write.

An operation that refuses (`PlbError`) must do so before it writes: the others of its batch are committed all the same.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from plb_ray.errors import PlbError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

T = TypeVar("T")
Operation = tuple["Callable[[Connection], Any]", "asyncio.Future[Any]"]


class SqlWorker:
    """See the module. `run` and `close` belong to one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="plb-journal")
        self._waiting: list[Operation] = []
        self._flushing: asyncio.Task[None] | None = None

    async def run(self, operation: Callable[[Connection], T]) -> T:
        """Run an operation and return its result when it is on disk.

        Raises:
            PlbError: what the operation refused with.
            RetryableError: the database did not take the batch; nothing of it was stored.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((operation, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return await done

    async def close(self) -> None:
        """Finish what was submitted, then let go of the database."""
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown(wait=False)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await loop.run_in_executor(self._thread, self._commit, [operation for operation, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must learn it
                results = [_as_plb_error(error)] * len(batch)
            for (_, done), result in zip(batch, results, strict=True):
                if done.done():  # its caller was cancelled
                    continue
                if isinstance(result, Exception):
                    done.set_exception(result)
                else:
                    done.set_result(result)

    def _commit(self, operations: list[Callable[[Connection], Any]]) -> list[Any]:
        """Run a batch in one transaction, in the worker's thread."""
        results: list[Any] = []
        with self._engine.begin() as connection:
            for operation in operations:
                try:
                    results.append(operation(connection))
                except PlbError as refusal:
                    results.append(refusal)
        return results


def _as_plb_error(error: Exception) -> Exception:
    if isinstance(error, SQLAlchemyError):
        return RetryableError(f"the journal's database failed: {error}")
    return error
