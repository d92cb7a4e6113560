"""Where the first answers to requests with idempotency keys are kept: in memory, or in a folder, a file each.

Both hold to the same contract, and a test holds them to it. The folder is for one service; several processes of it may use
it at once, since a file is made by one of them only.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from service.api.messages import Answer
from service.auth.private_files import private_folder, write_private

if TYPE_CHECKING:
    from pathlib import Path

KEPT_MAX = 10_000
SWEEP_EVERY = 500


@dataclass(frozen=True)
class Kept:
    """A request and its answer.

    Attributes:
        asked: hash of what was asked.
        at_s: wall time.
        answer: None while it is being made.
    """

    asked: str
    at_s: float
    answer: Answer | None = None

    def counts(self, not_before_s: float, stuck_s: float) -> bool:
        """Return whether it is recent enough; one without an answer must be younger than `stuck_s`."""
        return self.at_s >= (stuck_s if self.answer is None else not_before_s)


class RepeatStore(Protocol):
    """Keeps requests under a name."""

    async def begin(self, place: str, mine: Kept, *, not_before_s: float, stuck_s: float) -> Kept | None:
        """Keep a request, unless there is one that counts: then return that. Of several at once one gets None."""
        ...

    async def end(self, place: str, mine: Kept) -> None:
        """Keep the answer."""
        ...

    async def forget(self, place: str) -> None:
        """Free the place."""
        ...


class MemoryRepeats:
    """Implements `RepeatStore` for one process; forgets the oldest of more than `KEPT_MAX`."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    async def begin(self, place: str, mine: Kept, *, not_before_s: float, stuck_s: float) -> Kept | None:
        """See `RepeatStore`."""
        present = self._kept.pop(place, None)
        if present is not None and present.counts(not_before_s, stuck_s):
            self._kept[place] = present
            return present
        self._kept[place] = mine
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return None

    async def end(self, place: str, mine: Kept) -> None:
        """See `RepeatStore`."""
        self._kept[place] = mine

    async def forget(self, place: str) -> None:
        """See `RepeatStore`."""
        self._kept.pop(place, None)


class FolderRepeats:
    """Implements `RepeatStore` with a file per request, which only the owner can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._numbers = itertools.count(1)  # threads take one each

    async def begin(self, place: str, mine: Kept, *, not_before_s: float, stuck_s: float) -> Kept | None:
        """See `RepeatStore`."""
        return await asyncio.to_thread(self._begin, place, mine, not_before_s, stuck_s)

    async def end(self, place: str, mine: Kept) -> None:
        """See `RepeatStore`."""
        await asyncio.to_thread(write_private, self._path(place), _document(mine))

    async def forget(self, place: str) -> None:
        """See `RepeatStore`."""
        await asyncio.to_thread(self._path(place).unlink, missing_ok=True)

    def _begin(self, place: str, mine: Kept, not_before_s: float, stuck_s: float) -> Kept | None:
        number = next(self._numbers)
        if number % SWEEP_EVERY == 1:
            self._sweep(not_before_s)
        path, made = self._path(place), self._folder / f".{place}.{os.getpid()}.{number}"
        made.write_text(_document(mine), encoding="utf-8")
        try:
            while True:
                try:
                    path.hardlink_to(made)  # whole at once, and for one only
                except FileExistsError:
                    present = _read(path)
                    if present is not None and present.counts(not_before_s, stuck_s):
                        return present
                    path.unlink(missing_ok=True)
                else:
                    return None
        finally:
            made.unlink(missing_ok=True)

    def _sweep(self, not_before_s: float) -> None:
        """Remove what is too old, and the oldest of too many."""
        ages = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # somebody else's, removed meanwhile
                ages.append((path.stat().st_mtime, path))
        surplus = max(0, len(ages) - KEPT_MAX)
        for number, (mtime, path) in enumerate(sorted(ages)):
            if number < surplus or mtime < not_before_s:
                path.unlink(missing_ok=True)

    def _path(self, place: str) -> Path:
        return self._folder / f"{place}.json"


def _read(path: Path) -> Kept | None:
    """Return what a file holds; None if it has gone or is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:  # cut off by a power failure
        return None
    if found["status"] is None:
        return Kept(found["asked"], found["at_s"])
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found["headers"]]
    return Kept(found["asked"], found["at_s"], Answer(found["status"], raw, b64decode(found["body"])))


def _document(kept: Kept) -> str:
    answer = kept.answer or Answer()
    return json.dumps(
        {
            "asked": kept.asked,
            "at_s": kept.at_s,
            "status": answer.status if kept.answer else None,
            "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw],
            "body": b64encode(answer.body).decode(),
        }
    )
