"""The history of arrival rates: a hot window in memory, a Delta table on disk, and a log for what is between the two.

    append --> window (at once) --> log (at once, survives SIGKILL) --> table (every `commit_steps`, in a background thread)
    open   <-- window <---------------- log <-------------------------- table

What others bring (`push`) takes the same way, cell by cell, under a revision that counts such calls. `append` costs a
fraction of a millisecond; the commit, its compaction and retention run off the caller's thread. A crash between commit and
deleting the log leaves steps in both; opening drops them. One process may have a store open at a time (the control loop,
which holds the journal's lock); any number may read it meanwhile (`plb_ray.history.reader`).
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Self

import numpy as np

from plb_ray.domain.samples import PushOutcome
from plb_ray.errors import BadInputError
from plb_ray.history.log import StepLog
from plb_ray.history.replay import replay
from plb_ray.history.table import Step, StepTable
from plb_ray.history.window import CELLS_MAX, Arrival, Fate, StepWindow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from plb_ray.domain.rates import RateHistory
    from plb_ray.history.samples import Cells

LOG = logging.getLogger("plb.history")


@dataclass(frozen=True)
class HistoryLimits:
    """How much is kept, and how often it is written.

    Attributes:
        keep_s: age at which steps leave the table, > 0.
        hot_steps: most steps in memory, >= 1; 60,000 steps of 224 order params are 67 MB.
        hot_cells: most order params x steps in memory, >= 1; each takes 9 bytes, and up to half as much as room to grow.
            The default leaves 10,000 order params four weeks of minutes, and 100,000 some three days.
        commit_steps: steps per commit, >= 1; each commit is a file and costs some 10 ms of a background thread.
        compact_commits: commits between two compactions, >= 1.
    """

    keep_s: float = 400 * 86400.0
    hot_steps: int = 60_000
    hot_cells: int = CELLS_MAX
    commit_steps: int = 32
    compact_commits: int = 32

    def __post_init__(self) -> None:
        assert self.keep_s > 0
        assert min(self.hot_steps, self.hot_cells, self.commit_steps, self.compact_commits) >= 1


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
        self._revision = 0
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
        table, log = StepTable(folder / "steps"), StepLog(folder / "log")
        window = StepWindow(step_s, limits.hot_steps, limits.hot_cells)
        stored, logged = table.read(), log.read()
        store = cls(table, log, window, limits)
        store._pending = replay(window, stored, logged)
        store._revision = max([stored.revision, *(step.revision for step in logged)])
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
        """Steps in memory of which nothing is known, and that repeat the last values."""
        return self._window.gap_steps

    @property
    def arrivals(self) -> dict[Arrival, int]:
        """How many steps were appended since opening, by what became of them."""
        return dict(self._window.arrivals)

    def window(self, steps: int | None = None) -> RateHistory:
        """Return a copy of the last `steps` steps (None: all in memory) of all order params."""
        seen = self.view(steps)
        return replace(seen, messages_per_s=seen.messages_per_s.copy())

    def view(self, steps: int | None = None) -> RateHistory:
        """Return the same without copying it. It never changes, whatever comes later, and cannot be written to."""
        return self._window.last(steps)

    def gap_starts_s(self, since_s: int) -> NDArray[np.int64]:
        """Return the starts of the steps from `since_s` on of which nothing is known, ascending."""
        return self._window.gap_starts_s(since_s)

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
            self._keep([step])
        return arrival

    def push(self, cells: Cells) -> PushOutcome:
        """Take pushed cells in; safe against SIGKILL when it returns. Again changes nothing. See `window` for the rules.

        Raises:
            BadInputError: a step does not lie on the grid; then nothing was taken.
        """
        fates = self._window.push(cells)
        kept = (fates != Fate.DUPLICATE) & (fates != Fate.TOO_LATE)
        if kept.any():
            self._revision += 1
            self._keep(_rows(cells, kept, self._revision))
        return _outcome(fates)

    def import_history(self, history: RateHistory) -> int:
        """Take a whole history in, in one commit; steps that are known already are left out.

        Returns:
            How many steps were new.

        Raises:
            BadInputError: its steps have another length or lie on another grid, or a rate is negative or not finite.
        """
        self._check_import(history)
        self.commit()
        starts_s = np.arange(history.start_s, history.end_s, self.step_s, dtype=np.int64)
        new = ~np.isin(starts_s, self._observed_starts_s())
        if new.any():
            self._table.append_history(history, new)
            window = StepWindow(self.step_s, self._limits.hot_steps, self._limits.hot_cells)
            self._pending = replay(window, self._table.read(), self._pending)
            window.arrivals = self._window.arrivals
            self._window = window
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

    def _keep(self, steps: list[Step]) -> None:
        """Write steps to the log, and have them committed when there are enough."""
        with self._lock:
            self._log.write(steps)
            self._pending.extend(steps)
        if len(self._pending) >= self._limits.commit_steps:
            self._commit_in_background()

    def _observed_starts_s(self) -> NDArray[np.int64]:
        pending = [step.start_s for step in self._pending if not step.revision]
        return np.concatenate([self._table.observed_starts_s(), np.array(pending, dtype=np.int64)])

    def _check_import(self, history: RateHistory) -> None:
        if history.step_s != self.step_s:
            raise BadInputError(
                f"history: the steps to import are {history.step_s} s long, the store's {self.step_s} s; convert them first"
            )
        if (history.start_s - (self._window.end_s or 0)) % self.step_s:
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
            self._maintain(int(max(step.start_s for step in steps) - self._limits.keep_s))

    def _maintain(self, keep_from_s: int) -> None:
        try:
            self._table.maintain(keep_from_s)
        except Exception as error:  # noqa: BLE001 - the table is whole without it; the next round tries again
            self._note_failure("compaction", error)

    def _note_failure(self, what: str, error: Exception) -> None:
        self.commit_error = f"{what}: {type(error).__name__}: {error}"
        LOG.warning("history: %s failed, nothing is lost: %s", what, error)


def _outcome(fates: NDArray[np.int8]) -> PushOutcome:
    counts = np.bincount(fates, minlength=len(Fate)).tolist()
    return PushOutcome(
        new=counts[Fate.NEW],
        late=counts[Fate.LATE],
        duplicate=counts[Fate.DUPLICATE],
        replaced=counts[Fate.REPLACED],
        too_late=counts[Fate.TOO_LATE],
    )


def _rows(cells: Cells, kept: NDArray[np.bool_], revision: int) -> list[Step]:
    """Return those cells that are `kept` (N,), a row per step."""
    rates: dict[int, dict[str, float]] = {}
    chosen = zip(cells.starts_s[kept].tolist(), cells.columns[kept].tolist(), cells.rates[kept].tolist(), strict=True)
    for start_s, column, rate in chosen:
        rates.setdefault(start_s, {})[cells.names[column]] = rate
    return [Step(start_s, of_step, revision) for start_s, of_step in rates.items()]


def _check_step(path: Path, step_s: int) -> None:
    """Refuse a folder whose history has another step; note the step in a new one."""
    if not path.exists():
        path.write_text(f"{step_s}\n")
    stored = path.read_text().strip()
    if stored != str(step_s):
        raise BadInputError(
            f"history in {path.parent}: its steps are {stored} s long, asked for are {step_s} s; use another folder"
        )
