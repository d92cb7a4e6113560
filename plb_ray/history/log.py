"""The log of steps that are not in the table yet: one line of JSON per step, written at once, so that SIGKILL loses nothing.

    log/00000007.jsonl      closed: its steps are being committed; deleted when they are
    log/00000008.jsonl      open: new steps go here

A line is `[start_s, {order param: messages_per_s}]`, of pushed cells with their revision as a third item. Lines reach the
operating system before `write` returns and are not forced to disk: a power cut may cost the steps since the last commit. A
line that was torn by a crash, or is just being written, is skipped.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from plb_ray.history.table import Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class StepLog:
    """Append-only log in numbered files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._number = max((int(path.stem) for path in folder.glob("*.jsonl")), default=0) + 1
        self._file = self._open()

    def write(self, steps: Sequence[Step]) -> None:
        """Append steps, all at once."""
        left = memoryview("".join(_line(step) for step in steps).encode())
        while left:
            left = left[os.write(self._file, left) :]

    def read(self) -> list[Step]:
        """Return all steps of all files, oldest first."""
        return read_log(self._folder)

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


def read_log(folder: Path) -> list[Step]:
    """Return all steps of all files, oldest first. Needs no lock: what is deleted meanwhile is in the table already."""
    return [step for path in sorted(folder.glob("*.jsonl")) for step in _steps(path)]


def _line(step: Step) -> str:
    fields: list[object] = [step.start_s, dict(step.messages_per_s)]
    if step.revision:
        fields.append(step.revision)
    return json.dumps(fields, separators=(",", ":")) + "\n"


def _steps(path: Path) -> list[Step]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [step for line in lines if (step := _step(line)) is not None]


def _step(line: bytes) -> Step | None:
    try:
        start_s, rates, *revision = json.loads(line)
    except ValueError:  # torn
        return None
    return Step(int(start_s), {name: float(rate) for name, rate in rates.items()}, *revision)
