"""The log of steps that are not in the table yet: one line of JSON per step, written at once, so that SIGKILL loses nothing.

    log/00000007.jsonl      closed: its steps are being committed; deleted when they are
    log/00000008.jsonl      open: new steps go here

Lines reach the operating system before `write` returns and are not forced to disk: a power cut may cost the steps since the
last commit. A line that was torn by a crash is skipped.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from plb_ray.history.table import Step

if TYPE_CHECKING:
    from pathlib import Path


class StepLog:
    """Append-only log in numbered files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._number = max((int(path.stem) for path in folder.glob("*.jsonl")), default=0) + 1
        self._file = self._open()

    def write(self, step: Step) -> None:
        """Append one step."""
        line = json.dumps([step.start_s, dict(step.messages_per_s)], separators=(",", ":")) + "\n"
        os.write(self._file, line.encode())

    def read(self) -> list[Step]:
        """Return all steps of all files, oldest first."""
        return [step for path in sorted(self._folder.glob("*.jsonl")) for step in _steps(path)]

    def rotate(self) -> int:
        """Start a new file; returns the number of the one that is now closed."""
        os.close(self._file)
        closed = self._number
        self._number += 1
        self._file = self._open()
        return closed

    def forget(self, number: int) -> None:
        """Delete the files up to this number; their steps are in the table."""
        for path in self._folder.glob("*.jsonl"):
            if int(path.stem) <= number:
                path.unlink()

    def close(self) -> None:
        """Close the open file."""
        os.close(self._file)

    def _open(self) -> int:
        path = self._folder / f"{self._number:08d}.jsonl"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _steps(path: Path) -> list[Step]:
    steps = []
    for line in path.read_bytes().splitlines():
        try:
            start_s, rates = json.loads(line)
        except ValueError:  # torn by a crash
            continue
        steps.append(Step(int(start_s), {name: float(rate) for name, rate in rates.items()}))
    return steps
