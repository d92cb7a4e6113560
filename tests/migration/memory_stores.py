"""Journal and mapping in memory, as durable as the objects themselves."""

from __future__ import annotations

from plb_ray.domain.mapping import Mapping
from plb_ray.errors import RetryableError, StaleEpochError


class MemoryJournal:
    """Implements `JournalPort`; keeps every record ever written. `refusals`: how many writes to refuse next."""

    def __init__(self):
        self.written = []
        self.refusals = 0
        self._latest = {}
        self._seals = {}

    async def write(self, record, sealed=None):
        if self.refusals:
            self.refusals -= 1
            raise RetryableError("disk full")
        self.written.append(record)
        self._latest[record.migration_id] = record
        if sealed is not None:
            self._seals[record.migration_id] = sealed

    async def sealed(self, migration_id):
        return self._seals.get(migration_id)

    async def get(self, migration_id):
        return self._latest.get(migration_id)

    async def unfinished(self):
        return tuple(record for record in self._latest.values() if not record.step.terminal)

    async def recent(self, limit):
        return tuple(sorted(self._latest.values(), key=lambda r: (r.started_s, r.migration_id), reverse=True)[:limit])

    def steps(self, migration_id):
        return [record.step for record in self.written if record.migration_id == migration_id]


class MemoryMapping:
    """Implements `MappingPort`."""

    def __init__(self):
        self.placements = {}
        self.generation = 0

    async def load(self):
        return Mapping(self.generation, dict(self.placements))

    async def create(self, placement):
        if placement.order_param not in self.placements:
            self._store(placement)
        return self.placements[placement.order_param]

    async def compare_and_set(self, order_param, expected_epoch, placement):
        present = self.placements.get(order_param)
        if present == placement:
            return placement
        current = present.epoch if present else 0
        if current != expected_epoch or present is None:
            raise StaleEpochError(order_param, expected_epoch, current)
        self._store(placement)
        return placement

    def _store(self, placement):
        self.placements[placement.order_param] = placement
        self.generation += 1
