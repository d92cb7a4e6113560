"""A queue in memory for tests of the control loop: counters that the test moves, and instant migrations."""

from dataclasses import dataclass, field

from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ResourceVector, Shard, ShardLoad
from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.errors import RolledBackError, StaleEpochError, UnknownMigrationError

BYTES_PER_MESSAGE = 100


class HandClock:
    """A clock that the test moves."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s

    def now_s(self) -> float:
        return self.at_s

    async def sleep_until(self, at_s: float) -> None:
        self.at_s = max(self.at_s, at_s)


@dataclass
class MemoryQueue:
    """Implements `plb_ray.control.ports.Queue`. `rate_per_shard` messages per second fill one shard's CPU."""

    clock: HandClock
    owners: dict[str, str]
    shard_ids: tuple[str, ...]
    rate_per_shard: float
    totals: dict[str, int] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)
    served_before: dict[str, int] = field(default_factory=dict)
    before_s: float | None = None
    silent: set[str] = field(default_factory=set)
    refuse_migrations: bool = False
    records: list[MigrationRecord] = field(default_factory=list)

    def arrive(self, messages: dict[str, int]) -> None:
        """Let messages arrive and be served at once."""
        for order_param, count in messages.items():
            self.totals[order_param] = self.totals.get(order_param, 0) + count
            owner = self.owners[order_param]
            self.served[owner] = self.served.get(owner, 0) + count

    async def shards(self) -> tuple[Shard, ...]:
        capacity = ResourceVector(1.0, 1e12, 1e12)
        return tuple(Shard(shard_id, f"memory:{shard_id}", capacity) for shard_id in self.shard_ids)

    async def mapping(self) -> Mapping:
        placements = {name: Placement(name, (owner,), 1) for name, owner in self.owners.items()}
        return Mapping(len(self.records), placements)

    async def load_metrics(self) -> LoadSnapshot:
        now_s = self.clock.now_s()
        elapsed_s = max(1e-9, now_s - self.before_s) if self.before_s is not None else 1.0
        reports = tuple(self._report(s, now_s, elapsed_s) for s in self.shard_ids if s not in self.silent)
        self.before_s, self.served_before = now_s, dict(self.served)
        return LoadSnapshot(now_s, reports, dict.fromkeys(self.silent, "it was told to be silent"))

    async def migrate(self, request):
        if self.refuse_migrations:
            raise RolledBackError(request.request_id, "paused", "told to refuse")
        self.owners[request.order_param] = request.destination
        now_s = self.clock.now_s()
        record = MigrationRecord(
            request.request_id,
            request.order_param,
            request.source,
            request.destination,
            epoch=1,
            step=MigrationStep.DONE,
            reason=request.reason,
            started_s=now_s,
            finished_s=now_s,
            pause_ms=1.0,
        )
        self.records.insert(0, record)
        yield record

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        return tuple(self.records[:limit])

    async def migration(self, migration_id: str) -> MigrationRecord:
        found = next((record for record in self.records if record.migration_id == migration_id), None)
        if found is None:
            raise UnknownMigrationError(migration_id)
        return found

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        return (await self.migration(migration_id),)

    async def cancel(self, migration_id: str) -> MigrationRecord:
        record = await self.migration(migration_id)
        raise StaleEpochError(record.order_param, given=record.epoch, current=record.epoch + 1)

    def _report(self, shard_id: str, now_s: float, elapsed_s: float) -> ShardLoad:
        served = self.served.get(shard_id, 0)
        share = (served - self.served_before.get(shard_id, 0)) / elapsed_s / self.rate_per_shard
        loads = tuple(self._load(name) for name, owner in self.owners.items() if owner == shard_id)
        return ShardLoad(shard_id, now_s, ResourceVector(share, 0.0, 0.0), 0.0, served, 0.0, loads)

    def _load(self, name: str) -> OrderParamLoad:
        total = self.totals.get(name, 0)
        return OrderParamLoad(name, 1, total, total * BYTES_PER_MESSAGE, total, 0, 0, 0.0)
