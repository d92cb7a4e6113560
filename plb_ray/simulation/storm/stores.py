"""Journal and mapping in memory, as durable as the objects themselves: what is written stays, whoever dies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.errors import RetryableError, StaleEpochError

if TYPE_CHECKING:
    from plb_ray.domain.migration import MigrationRecord, MigrationStep
    from plb_ray.migration.ports import SealRecord


class MemoryJournal:
    """Implements `JournalPort`; keeps every record ever written. `refusals`: how many writes to refuse next."""

    def __init__(self) -> None:
        self.written: list[MigrationRecord] = []
        self.refusals = 0
        self._latest: dict[str, MigrationRecord] = {}
        self._open: dict[str, None] = {}
        self._seals: dict[str, SealRecord] = {}

    async def write(self, record: MigrationRecord, sealed: SealRecord | None = None) -> None:
        """See `JournalPort`."""
        if self.refusals:
            self.refusals -= 1
            raise RetryableError("disk full")
        self.written.append(record)
        self._latest[record.migration_id] = record
        if record.step.terminal:
            self._open.pop(record.migration_id, None)
        else:
            self._open[record.migration_id] = None
        if sealed is not None:
            self._seals[record.migration_id] = replace(sealed, tail=())

    async def sealed(self, migration_id: str) -> SealRecord | None:
        """See `JournalPort`."""
        return self._seals.get(migration_id)

    async def get(self, migration_id: str) -> MigrationRecord | None:
        """See `JournalPort`."""
        return self._latest.get(migration_id)

    async def unfinished(self) -> tuple[MigrationRecord, ...]:
        """See `JournalPort`. Oldest first."""
        return tuple(self._latest[migration_id] for migration_id in self._open)

    async def recent(self, limit: int) -> tuple[MigrationRecord, ...]:
        """See `JournalPort`. Newest first."""
        newest = sorted(self._latest.values(), key=lambda record: (record.started_s, record.migration_id), reverse=True)
        return tuple(newest[:limit])

    async def history(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """See `JournalPort`."""
        return tuple(record for record in self.written if record.migration_id == migration_id)

    def latest(self) -> tuple[MigrationRecord, ...]:
        """Return the newest record of every migration."""
        return tuple(self._latest.values())

    def steps(self, migration_id: str) -> list[MigrationStep]:
        """Return the steps of all records of a migration."""
        return [record.step for record in self.written if record.migration_id == migration_id]


class MemoryMapping:
    """Implements `MappingPort`."""

    def __init__(self) -> None:
        self.placements: dict[str, Placement] = {}
        self.generation = 0
        self._surveyed: frozenset[str] = frozenset()

    async def load(self) -> Mapping:
        """See `MappingPort`."""
        return Mapping(self.generation, dict(self.placements))

    async def create(self, placement: Placement) -> Placement:
        """See `MappingPort`."""
        if placement.order_param not in self.placements:
            self._store(placement)
        return self.placements[placement.order_param]

    async def compare_and_set(self, order_param: str, expected_epoch: int, placement: Placement) -> Placement:
        """See `MappingPort`."""
        present = self.placements.get(order_param)
        if present == placement:
            return placement
        current = present.epoch if present else 0
        if current != expected_epoch or present is None:
            raise StaleEpochError(order_param, expected_epoch, current)
        self._store(placement)
        return placement

    async def reshape(self, placement: Placement) -> Placement:
        """See `MappingPort`."""
        present = self.placements[placement.order_param]
        if present.epoch != placement.epoch:
            return present
        if present != placement:
            self._store(placement)
        return placement

    async def surveyed(self) -> frozenset[str]:
        """See `MappingPort`."""
        return self._surveyed

    async def note_surveyed(self, shards: frozenset[str]) -> None:
        """See `MappingPort`."""
        self._surveyed |= shards

    def _store(self, placement: Placement) -> None:
        self.placements[placement.order_param] = placement
        self.generation += 1
