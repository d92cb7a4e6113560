"""Keeps the learned costs over restarts: one file, replaced as a whole, every so often and at the end.

A crash loses what was learned since the last write, at most `every_s` of it. A file that cannot be read is set aside under
another name, never deleted and never overwritten, and learning begins anew; `error` says so until the next write is done.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from plb_ray.durable import write_synced
from plb_ray.errors import BadInputError
from plb_ray.estimate.cost import CostModel
from plb_ray.estimate.cost_file import SavedCosts, from_bytes, to_bytes

if TYPE_CHECKING:
    from pathlib import Path

LOG = logging.getLogger("plb.costs")
EVERY_S = 600.0


class CostKeeper:
    """The only writer of one file. Use from one event loop: `recall` once, `note` once a tick, at last `close`.

    Args:
        path: of the file; its folder is made.
        every_s: of the loop's clock, between two writes.

    Attributes:
        error: what went wrong the last time, in one sentence; empty if nothing did.
        set_aside: where a damaged file was put; None if none was.
    """

    def __init__(self, path: Path, every_s: float = EVERY_S) -> None:
        self.error = ""
        self.set_aside: Path | None = None
        self._path = path
        self._every_s = every_s
        self._newest: SavedCosts | None = None
        self._written_at_s: float | None = None
        self._writing: asyncio.Task[None] | None = None

    async def recall(self) -> CostModel:
        """Return what was kept; what is new where nothing was, or nothing that can be read."""
        return await asyncio.to_thread(self._read)

    def note(self, cost: CostModel, at_s: float) -> None:
        """Take what is known now, and start to write it if that is due; returns at once."""
        self._newest = SavedCosts(cost, at_s)
        if self._written_at_s is None:
            self._written_at_s = at_s
        if at_s - self._written_at_s >= self._every_s and (self._writing is None or self._writing.done()):
            self._written_at_s = at_s
            self._writing = asyncio.create_task(asyncio.to_thread(self._write, self._newest), name="write the costs")

    async def close(self) -> None:
        """Write what is not written yet; again does nothing."""
        if self._writing is not None:
            await self._writing
        if self._newest is not None:
            await asyncio.to_thread(self._write, self._newest)
            self._newest = None

    def _read(self) -> CostModel:
        try:
            return from_bytes(self._path.read_bytes(), str(self._path)).cost
        except FileNotFoundError:
            return CostModel()
        except (BadInputError, OSError) as error:
            self._put_aside(error)
            return CostModel()

    def _put_aside(self, why: Exception) -> None:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        try:
            self._path.rename(aside)
        except OSError as error:
            self.error = f"learned costs: {why}; it cannot be set aside: {error.strerror}; costs are learned anew"
        else:
            self.set_aside = aside
            self.error = f"learned costs: {why}; it is set aside as {aside.name}, and costs are learned anew"
        LOG.error("%s", self.error)

    def _write(self, saved: SavedCosts) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(self._path, to_bytes(saved))
        except OSError as error:
            self.error = f"learned costs: {self._path}: cannot be written: {error.strerror or error}"
            LOG.warning("%s; a restart would learn them anew", self.error)
            return
        self.error = ""
