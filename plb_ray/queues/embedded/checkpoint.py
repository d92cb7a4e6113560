"""Checkpoints of SQLite's write-ahead log (WAL) beside the writer, so that no append waits for a big one.

A commit is a write to the end of the log. A checkpoint copies the log's pages into the database; once all are copied, and
only then, the next transaction begins the log anew. A thread of its own copies (SQLite's PASSIVE: it blocks nobody) while
the writer goes on; that never catches up under load, so when little is left, the writer itself copies that little between
two transactions. SQLite syncs the database only with a copy that is complete, so the thread syncs it after each of its own:
else the writer's would wait for all that the thread has copied. The log stays at about `reset_bytes`, plus what is written
during one copy.

Sizes are the writer's estimates of what it has put into the log: SQLite does not tell without being asked to checkpoint.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointSettings:
    """When to copy.

    Attributes:
        copy_bytes: the thread copies when so much is not copied. Less: pages that change often are copied more often.
        reset_bytes: the log is begun anew when it has this size. More: a bigger file, fewer syncs of the database.
        rest_bytes: the most that the writer copies itself, which takes it a few milliseconds. Where the log has grown to
            several times `reset_bytes`, as many times as much.
    """

    copy_bytes: int = 8 << 20
    reset_bytes: int = 32 << 20
    rest_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        assert 0 < self.rest_bytes <= self.copy_bytes <= self.reset_bytes


class Checkpoints:
    """The thread. `committed` is called by the writer's thread, `is_behind` by any, the rest by one."""

    def __init__(self, path: Path, settings: CheckpointSettings | None = None) -> None:
        self._path = path
        self._settings = settings or CheckpointSettings()
        self._written = 0  # by the writer since the start
        self._begun = 0  # of that, where the log begins
        self._copied = 0  # of that, what is in the database
        self._wanted = threading.Event()
        self._busy = False  # the thread has something to do; only it takes that back
        self._stopping = False
        self._file = os.open(path, os.O_RDONLY)  # for syncs; see `close`
        self._thread = threading.Thread(target=self._run, name="shard-checkpoint", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a copy under way is finished."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    def close(self) -> None:
        """Let go of the database's file, after all connections: closing it ends the locks of any that are still open."""
        os.close(self._file)

    @property
    def is_behind(self) -> bool:
        """The log is long and being copied: who can wait with writing should, so that little is left for the writer."""
        return self._busy and self._written - self._begun >= self._settings.reset_bytes

    def committed(self, written_bytes: int, copy: Callable[[], None]) -> None:
        """Between two transactions: start the thread, or begin the log anew, where it is time.

        Args:
            written_bytes: what has been written to the log since the start, in all.
            copy: copies all that is left, with the writer's own connection.
        """
        self._written = written_bytes
        if self._busy:
            return
        left = written_bytes - self._copied
        length = (written_bytes - self._begun) / self._settings.reset_bytes
        is_long = length >= 1
        if is_long and left <= self._settings.rest_bytes * length:
            self._begin_anew(copy)
        elif is_long or left >= self._settings.copy_bytes:
            self._busy = True
            self._wanted.set()

    def _begin_anew(self, copy: Callable[[], None]) -> None:
        try:
            copy()
        except sqlite3.Error as error:
            log.warning("cannot copy the log into the database, it grows: %s", error)
        self._begun = self._copied = self._written

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            while self._wanted.wait() and not self._stopping:
                self._wanted.clear()
                self._copy(connection)
        finally:
            connection.close()

    def _copy(self, connection: sqlite3.Connection) -> None:
        upto = self._written
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            os.fdatasync(self._file)
        except (sqlite3.Error, OSError) as error:
            log.warning("cannot copy the log into the database, it grows: %s", error)
        self._copied = upto
        self._busy = False
