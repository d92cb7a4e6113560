"""The history of arrival rates: a hot window in memory, a Delta table on disk, and a log for what is between the two.

    append --> window (at once) --> log (at once, survives SIGKILL) --> table (every `commit_steps`, in a background thread)
    open   <-- window <---------------- log <-------------------------- table

`append` costs a fraction of a millisecond; the commit, its compaction and retention run off the caller's thread. A crash
between commit and deleting the log leaves steps in both; opening finds them in the window already and drops them.
One process may have a store open at a time (the control loop, which holds the journal's lock).
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Self

import numpy as np

from plb_ray.errors import BadInputError
from plb_ray.history.log import StepLog
from plb_ray.history.table import Step, StepTable
from plb_ray.history.window import Arrival, StepWindow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plb_ray.domain.rates import RateHistory

LOG = logging.getLogger("plb.history")


@dataclass(frozen=True)
class HistoryLimits:
    """How much is kept, and how often it is written.

    Attributes:
        keep_s: age at which steps leave the table, > 0.
        hot_steps: most steps in memory, >= 1; 60,000 steps of 224 order params are 54 MB.
        commit_steps: steps per commit, >= 1; each commit is a file and costs some 10 ms of a background thread.
        compact_commits: commits between two compactions, >= 1.
    """

    keep_s: float = 400 * 86400.0
    hot_steps: int = 60_000
    commit_steps: int = 32
    compact_commits: int = 32

    def __post_init__(self) -> None:
        assert self.keep_s > 0
        assert min(self.hot_steps, self.commit_steps, self.compact_commits) >= 1


class HistoryStore:
    """Observed rates of all order params. Call from one thread; the background thread is the store's own.

    Attributes:
        step_s: length of a step.
        commit_error: why the last commit failed, empty if it did not. Its steps stay in the log and go with the next one.
    """

    def __init__(self, table: StepTable, log: StepLog, window: StepWindow, limits: HistoryLimits) -> None:
        self.step_s = window.step_s
        self.commit_error = ""
        self._table = table
        self._log = log
        self._window = window
        self._limits = limits
        self._pending: list[Step] = []
        self._lock = Lock()  # guards _pending and the log's files
        self._commits = 0
        self._closed = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="plb-history")
        self._committing: Future[None] | None = None

    @classmethod
    def open(cls, folder: Path, step_s: int, limits: HistoryLimits | None = None) -> Self:
        """Open the history in a folder, or start one.

        Raises:
            BadInputError: the folder holds a history of another step length.
        """
        limits = limits or HistoryLimits()
        folder.mkdir(parents=True, exist_ok=True)
        _check_step(folder / "step_s", step_s)
        table, log, window = StepTable(folder / "steps"), StepLog(folder / "log"), StepWindow(step_s, limits.hot_steps)
        stored = table.read()
        window.load(stored.starts_s, stored.names, stored.rates)
        store = cls(table, log, window, limits)
        for step in log.read():
            if window.put(step.start_s, step.messages_per_s) in (Arrival.NEW, Arrival.LATE):
                store._pending.append(step)
        return store

    @property
    def order_params(self) -> tuple[str, ...]:
        """All order params ever seen."""
        return self._window.order_params

    @property
    def steps(self) -> int:
        """How many steps are in memory."""
        return len(self._window)

    @property
    def end_s(self) -> int | None:
        """End of the last step; None while the history is empty."""
        return self._window.end_s

    @property
    def gap_steps(self) -> int:
        """Steps in memory that were not observed and repeat the last value."""
        return self._window.gap_steps

    @property
    def arrivals(self) -> dict[Arrival, int]:
        """How many steps came in since opening, by what became of them."""
        return dict(self._window.arrivals)

    def window(self, steps: int | None = None) -> RateHistory:
        """Return a copy of the last `steps` steps (None: all in memory) of all order params."""
        return self._window.last(steps)

    def append(self, start_s: int, messages_per_s: Mapping[str, float]) -> Arrival:
        """Take one closed step in; safe against SIGKILL when it returns. A step that is known already changes nothing.

        Raises:
            BadInputError: a rate is negative or not finite, or the step does not lie on the grid.
        """
        known = len(self._window.order_params)
        arrival = self._window.put(start_s, messages_per_s)
        if arrival in (Arrival.NEW, Arrival.LATE):
            new = set(self._window.order_params[known:])
            step = Step(start_s, {name: rate for name, rate in messages_per_s.items() if rate > 0 or name in new})
            with self._lock:
                self._log.write(step)
                self._pending.append(step)
            if len(self._pending) >= self._limits.commit_steps:
                self._commit_in_background()
        return arrival

    def import_history(self, history: RateHistory) -> int:
        """Take a whole history in, in one commit; steps that are known already are left out.

        Returns:
            How many steps were new.

        Raises:
            BadInputError: its steps have another length or lie on another grid, or a rate is negative or not finite.
        """
        self._check_import(history)
        steps = history.messages_per_s.shape[1]
        starts_s = range(history.start_s, history.end_s, self.step_s)
        new = np.array([not self._window.knows(start_s) for start_s in starts_s], dtype=np.bool_)
        if not steps or not new.any():
            return 0
        self._table.append_history(history, new)
        if len(self._window):
            rates = history.messages_per_s.T
            for at in np.flatnonzero(new).tolist():
                self._window.put(starts_s[at], dict(zip(history.order_params, rates[at].tolist(), strict=True)))
        else:
            starts = np.array(starts_s, dtype=np.int64)
            self._window.load(starts, history.order_params, history.messages_per_s.T.astype(np.float32))
        return int(new.sum())

    def commit(self) -> None:
        """Write what is pending to the table now, and wait for it."""
        self._wait()
        if self._pending:
            self._commit_in_background()
            self._wait()

    def close(self) -> None:
        """Commit and let go of files and thread; again does nothing. What could not be committed stays in the log."""
        if self._closed:
            return
        self._closed = True
        self.commit()
        self._worker.shutdown()
        self._log.close()

    def _check_import(self, history: RateHistory) -> None:
        if history.step_s != self.step_s:
            raise BadInputError(
                f"history: the steps to import are {history.step_s} s long, the store's {self.step_s} s; convert them first"
            )
        end_s = self._window.end_s
        if end_s is not None and (history.start_s - end_s) % self.step_s:
            raise BadInputError(f"history: the steps to import start at {history.start_s}, off the store's grid")
        if not (np.isfinite(history.messages_per_s).all() and (history.messages_per_s >= 0).all()):
            raise BadInputError("history: a rate to import is negative or not finite")

    def _commit_in_background(self) -> None:
        if self._committing is None or self._committing.done():
            self._committing = self._worker.submit(self._commit)

    def _wait(self) -> None:
        if self._committing is not None:
            self._committing.result()

    def _commit(self) -> None:
        """Write the pending steps to the table, then forget their log. Runs in the background thread."""
        with self._lock:
            steps, self._pending = self._pending, []
            number = self._log.rotate()
        try:
            self._table.append(steps)
        except Exception as error:  # noqa: BLE001 - whatever the storage raises, the steps are safe in the log
            self._note_failure("commit", error)
            with self._lock:
                self._pending = steps + self._pending
            return
        self._log.forget(number)
        self._commits += 1
        self.commit_error = ""
        if self._commits % self._limits.compact_commits == 0:
            self._maintain(int(steps[-1].start_s - self._limits.keep_s))

    def _maintain(self, keep_from_s: int) -> None:
        try:
            self._table.maintain(keep_from_s)
        except Exception as error:  # noqa: BLE001 - the table is whole without it; the next round tries again
            self._note_failure("compaction", error)

    def _note_failure(self, what: str, error: Exception) -> None:
        self.commit_error = f"{what}: {type(error).__name__}: {error}"
        LOG.warning("history: %s failed, nothing is lost: %s", what, error)


def _check_step(path: Path, step_s: int) -> None:
    """Refuse a folder whose history has another step; note the step in a new one."""
    if not path.exists():
        path.write_text(f"{step_s}\n")
    stored = path.read_text().strip()
    if stored != str(step_s):
        raise BadInputError(
            f"history in {path.parent}: its steps are {stored} s long, asked for are {step_s} s; use another folder"
        )
