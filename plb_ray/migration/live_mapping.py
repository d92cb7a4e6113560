"""The mapping in memory, in front of its store: read without IO, written through, watched by any number of readers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.errors import StaleEpochError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plb_ray.migration.ports import MappingPort

QUEUED_CHANGES_MAX = 10_000


@dataclass(frozen=True)
class MappingChange:
    """Placements that are new or have changed; `complete` means that these are all there are."""

    generation: int
    placements: tuple[Placement, ...]
    complete: bool


class LiveMapping:
    """A `MappingPort` over another one, which nobody else may write. Call `load` before anything else.

    The generation counts the store's changes: the store's at load time, plus one per change made here since.

    Attributes:
        on_change: called with each placement that is new or has changed; set it before `load`, or leave it.
    """

    def __init__(self, store: MappingPort) -> None:
        self.on_change: Callable[[Placement], None] = lambda _: None
        self._store = store
        self._placements: dict[str, Placement] = {}
        self._generation = 0
        self._watchers: set[asyncio.Queue[MappingChange]] = set()

    async def load(self) -> Mapping:
        """Read the store anew."""
        mapping = await self._store.load()
        self._placements, self._generation = dict(mapping.placements), mapping.generation
        return mapping

    async def create(self, placement: Placement) -> Placement:
        """See `MappingPort`. Costs no IO where the order param is known."""
        present = self._placements.get(placement.order_param)
        return present or self._keep(await self._store.create(placement))

    async def compare_and_set(self, order_param: str, expected_epoch: int, placement: Placement) -> Placement:
        """See `MappingPort`. Where the store knows better, what was known here is forgotten."""
        try:
            return self._keep(await self._store.compare_and_set(order_param, expected_epoch, placement))
        except StaleEpochError:
            self._placements.pop(order_param, None)
            raise

    async def reshape(self, placement: Placement) -> Placement:
        """See `MappingPort`."""
        return self._keep(await self._store.reshape(placement))

    async def surveyed(self) -> frozenset[str]:
        """See `MappingPort`."""
        return await self._store.surveyed()

    async def note_surveyed(self, shards: frozenset[str]) -> None:
        """See `MappingPort`."""
        await self._store.note_surveyed(shards)

    def get(self, order_param: str) -> Placement | None:
        """Return an order param's placement; None if it has none."""
        return self._placements.get(order_param)

    def current(self) -> Mapping:
        """Return all placements; the caller's copy."""
        return Mapping(self._generation, dict(self._placements))

    async def watch(self) -> AsyncIterator[MappingChange]:
        """Yield the whole mapping, then each change as it happens.

        A watcher that falls far behind is given the whole mapping again instead of what it missed.
        """
        queue: asyncio.Queue[MappingChange] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield self._everything()
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    def _everything(self) -> MappingChange:
        return MappingChange(self._generation, tuple(self._placements.values()), complete=True)

    def _keep(self, placement: Placement) -> Placement:
        present = self._placements.get(placement.order_param)
        if present is None or present.epoch < placement.epoch or (present.epoch == placement.epoch and present != placement):
            self._placements[placement.order_param] = placement
            self._generation += 1
            change = MappingChange(self._generation, (placement,), complete=False)
            for queue in self._watchers:
                self._offer(queue, change)
            self.on_change(placement)
        return placement

    def _offer(self, queue: asyncio.Queue[MappingChange], change: MappingChange) -> None:
        if queue.qsize() >= QUEUED_CHANGES_MAX:
            while not queue.empty():
                queue.get_nowait()
            change = self._everything()
        queue.put_nowait(change)
