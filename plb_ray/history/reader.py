"""Reading a history from another process, without any lock, also while it is being written: for training and for people.

Why it is a consistent picture: the log is read before the table. The writer puts a step into the log, then into the table,
then deletes the log. So what is missing from the log when it is read is in the table when that is read afterwards; what is
in both counts once. The table is read as of one commit, and files that compaction replaces stay for `READERS_HAVE_HOURS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake.exceptions import DeltaError

from plb_ray.errors import BadInputError, RetryableError
from plb_ray.history.log import read_log
from plb_ray.history.replay import replay
from plb_ray.history.table import StepTable
from plb_ray.history.window import StepWindow

if TYPE_CHECKING:
    from pathlib import Path

    from plb_ray.domain.rates import RateHistory
    from plb_ray.history.table import StoredSteps

STEPS_MAX = 10**9  # whatever there is; who reads says since when
TRIES = 5


@dataclass(frozen=True, eq=False)
class HistoryPicture:
    """A history as it was at one moment.

    Attributes:
        history: all steps from the first to the last one.
        gap_steps: how many of them were not observed and repeat the last values.
        pushed_cells: how many cells were pushed, by whomever.
    """

    history: RateHistory
    gap_steps: int
    pushed_cells: int


def read_history(folder: Path, since_s: int | None = None) -> RateHistory:
    """Return the rates of the steps that start at `since_s` or later (None: all), as of now.

    Order params without arrivals since then may be missing. It costs memory for the dense (K, T) array.

    Raises:
        BadInputError: there is no history in the folder.
        RetryableError: the table could not be read, several times.
    """
    return read_picture(folder, since_s).history


def read_picture(folder: Path, since_s: int | None = None) -> HistoryPicture:
    """Return the same with what is known about it."""
    window = StepWindow(_step_s(folder), STEPS_MAX)
    logged = [step for step in read_log(folder / "log") if since_s is None or step.start_s >= since_s]
    stored = _read_table(StepTable(folder / "steps"), since_s)
    replay(window, stored, logged)
    return HistoryPicture(window.last(), window.gap_steps, window.pushed_cells)


def _step_s(folder: Path) -> int:
    path = folder / "step_s"
    if not path.is_file():
        raise BadInputError(f"history in {folder}: there is none; it is the folder `history` in a balancer's state folder")
    return int(path.read_text())


def _read_table(table: StepTable, since_s: int | None) -> StoredSteps:
    """Read the table; once more when its log was tidied up between listing and reading it."""
    for _ in range(TRIES - 1):
        try:
            return table.read(since_s)
        except (DeltaError, OSError, pa.ArrowException):
            continue
    try:
        return table.read(since_s)
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise RetryableError(f"history: the table cannot be read now: {error}; try again") from error
