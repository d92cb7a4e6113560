"""The coordinator: fronts a set of shards as one queue, with one mapping, one journal, and all migrations between them.

It is the control plane only: producers and consumers ask it where an order param lives, then talk to the shard. When it is
away, they go on with what they know; when it comes back, `start` asks the shards what is true (see `migration.recovery`).
It implements `plb_ray.control.ports.Queue`; `plb_ray.rpc.queue_control` puts it on the network.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from plb_ray.domain.load import LoadSnapshot, Shard, ShardLoad
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import BadInputError, PlbError, UnknownShardError
from plb_ray.migration import recovery
from plb_ray.migration.hands import Surroundings
from plb_ray.migration.late_survey import LateSurvey
from plb_ray.migration.live_mapping import LiveMapping, MappingChange
from plb_ray.migration.runner import Runner, RunnerLimits
from plb_ray.migration.settings import MigrationSettings
from plb_ray.migration.switching import switch
from plb_ray.queues.allocator import Allocator
from plb_ray.queues.chain_keeper import ChainKeeper, ChainSettings
from plb_ray.queues.closing import Closing
from plb_ray.queues.roster import Roster

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from plb_ray.clock import Clock
    from plb_ray.domain.mapping import Mapping, Placement
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest
    from plb_ray.migration.ports import JournalPort, MappingPort, ShardPort

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class CoordinatorSettings:
    """Limits of a coordinator.

    Attributes:
        migrations_in_flight: most migrations that move something at once, in [1, 1000]. Each copies a backlog, which costs
            its two shards the service rate of their other order params.
        migrations_per_shard: most of them that one shard takes part in, as source or destination, in [1, 1000].
        answer_s: how long a shard may take to describe itself or to report its load, > 0.
        survey_s: how long a shard may take at start to list all its order params, > 0.
        opens_in_flight: how many first placements are opened at the same time, in [1, 10 000].
        migration: parameters of each migration.
        chains: when segments rotate.
    """

    migrations_in_flight: int = 16
    migrations_per_shard: int = 8
    answer_s: float = 2.0
    survey_s: float = 20.0
    opens_in_flight: int = 64
    migration: MigrationSettings = field(default_factory=MigrationSettings)
    chains: ChainSettings = field(default_factory=ChainSettings)

    def __post_init__(self) -> None:
        for name, ok, want in (
            ("migrations_in_flight", 1 <= self.migrations_in_flight <= 1000, "from 1 to 1000"),
            ("migrations_per_shard", 1 <= self.migrations_per_shard <= 1000, "from 1 to 1000"),
            ("answer_s", self.answer_s > 0, "above 0"),
            ("survey_s", self.survey_s > 0, "above 0"),
            ("opens_in_flight", 1 <= self.opens_in_flight <= 10_000, "from 1 to 10000"),
        ):
            if not ok:
                raise BadInputError(f"coordinator setting {name}: must be {want}")


class Coordinator:
    """See the module. Belongs to one event loop; call `start` first and `close` last.

    Args:
        shards: their connections stay the caller's to close.
        journal, mapping: durable, and written by nobody else.
        clock: wall time, for records and load snapshots.
        settings: limits.
        sleep: waits between attempts of a migration.

    Attributes:
        roster: lets shards join and leave while it runs.
    """

    def __init__(
        self,
        shards: Iterable[ShardPort],
        journal: JournalPort,
        mapping: MappingPort,
        clock: Clock,
        settings: CoordinatorSettings | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shards = {shard.shard_id: shard for shard in shards}
        self._journal = journal
        self._mapping = LiveMapping(mapping)
        self._clock = clock
        self._settings = settings or CoordinatorSettings()
        limits = self._settings
        around = Surroundings(self._shards, journal, self._mapping, limits.migration, now_s=clock.now_s, sleep=sleep)
        in_flight = RunnerLimits(limits.migrations_in_flight, limits.migrations_per_shard)
        self._closing = Closing()
        self._runner = Runner(around, self._mapping, in_flight, self._closing.require_open)
        self._chains = ChainKeeper(self._shards, self._mapping, self._runner, limits.chains, sleep)
        self._late_survey = LateSurvey(self._shards.values(), limits.answer_s, self._learn)
        self._allocator = Allocator(
            self._shards, self._mapping, self._late_survey, self._open_to_new, limits.opens_in_flight, self._closing
        )
        self.roster = Roster(self._shards, self._closing, self._mapping, self._runner, limits.survey_s, self._learn_of_new)
        self._described: dict[str, Shard] = {}

    @property
    def endpoints(self) -> dict[str, str]:
        """Shard id -> endpoint."""
        return {shard_id: shard.endpoint for shard_id, shard in self._shards.items()}

    async def start(self) -> None:
        """Recover: repair the mapping from the shards, then go on with every unfinished migration in the background.

        Shards that are away do not hold the start up for longer than `survey_s`; their migrations wait for them.
        """
        await self._mapping.load()
        found = await recovery.survey(self._shards.values(), self._settings.survey_s)
        for shard_id, why in found.silent.items():
            log.warning("shard %s did not answer at start: %s", shard_id, why)
        await self._note_surveyed(found)
        repaired = await recovery.repair_mapping(self._mapping, found)
        unfinished = [*await self._journal.unfinished(), *await self._orphans(found)]
        log.info("recovered: %d placements repaired, %d migrations to finish", repaired, len(unfinished))
        await self._clean_up(found, {record.migration_id for record in unfinished})
        for record in unfinished:
            self._runner.recover(record)
        self._allocator.note_opened(found.states)
        await self.shards()
        unopened = recovery.unopened(self._mapping.current(), found)
        await asyncio.gather(*(self._answer(self._allocator.open(placement)) for placement in unopened))
        self._chains.start()

    async def close(self) -> None:
        """Drop what runs, as a crash would; the next start finishes it."""
        self._late_survey.close()
        await self._chains.close()
        await self._runner.close()

    async def settled(self) -> None:
        """Return when no migration runs."""
        await self._runner.settled()

    # Shards and load

    async def shards(self) -> tuple[Shard, ...]:
        """Return the shards that have described themselves at least once, in the order in which they were given."""
        answers = await asyncio.gather(*(self._answer(shard.describe()) for shard in self._shards.values()))
        self._described.update({answer.shard_id: answer for answer in answers if isinstance(answer, Shard)})
        described = (self._described[shard_id] for shard_id in self._shards if shard_id in self._described)
        return tuple(self.roster.described(shard) for shard in described)

    async def load_metrics(self, shards: Sequence[str] = ()) -> LoadSnapshot:
        """Return the load of the named shards (none named: all); those that do not answer in time are in `missing`.

        Raises:
            UnknownShardError.
        """
        asked = [self._shard(shard_id) for shard_id in shards or self._shards]
        answers = await asyncio.gather(*(self._answer(shard.load()) for shard in asked))
        loads = tuple(answer for answer in answers if isinstance(answer, ShardLoad))
        missing = {shard.shard_id: why for shard, why in zip(asked, answers, strict=True) if isinstance(why, str)}
        return LoadSnapshot(self._clock.now_s(), loads, missing)

    # Mapping

    async def mapping(self) -> Mapping:
        """Return where everything lives."""
        return self._mapping.current()

    def watch_mapping(self) -> AsyncIterator[MappingChange]:
        """Yield the whole mapping, then each change."""
        return self._mapping.watch()

    async def resolve(self, order_param: str, *, create: bool = False) -> Placement:
        """See `Allocator.resolve`."""
        return await self._allocator.resolve(order_param, create=create)

    async def ensure(self, order_params: Iterable[str]) -> tuple[Placement, ...]:
        """See `Allocator.ensure`."""
        return await self._allocator.ensure(order_params)

    async def allocate(self, order_param: str, shards: Sequence[str]) -> Placement:
        """See `Allocator.allocate`."""
        return await self._allocator.allocate(order_param, shards)

    # Migrations

    async def migrate(self, request: MigrationRequest) -> AsyncGenerator[MigrationRecord, None]:
        """See `plb_ray.control.ports.Queue`. Begins with the first iteration; leaving the iterator cancels nothing."""
        trail = await self._runner.start(request)
        async for record in trail.follow():
            yield record

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        """Return the most recent migrations, newest first."""
        return await self._runner.recent(limit)

    def active_migrations(self) -> tuple[MigrationRecord, ...]:
        """Return the migrations that have not ended, newest first."""
        return self._runner.active()

    async def migration(self, migration_id: str) -> MigrationRecord:
        """Return one migration's newest record, progress included. Raises UnknownMigrationError."""
        return await self._runner.get(migration_id)

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """Return every record of one migration, in order. Raises UnknownMigrationError."""
        return await self._runner.timeline(migration_id)

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """See `Runner.cancel`."""
        return await self._runner.cancel(migration_id)

    # Parts

    async def _orphans(self, found: recovery.Survey) -> list[MigrationRecord]:
        """Return the committed migrations that the journal lacks, now written to it, with the mapping that they led to.

        One that it has as ABORTED is committed all the same: the sealed source is believed before the journal.
        """
        taken = []
        for orphan in recovery.orphans(found, self._clock.now_s()):
            known = await self._journal.get(orphan.migration_id)
            if known is None or known.step is MigrationStep.ABORTED:
                await self._journal.write(orphan)
                await switch(self._mapping, orphan)
                taken.append(orphan)
        return taken

    async def _clean_up(self, found: recovery.Survey, unfinished: set[str]) -> None:
        """Abort imports of migrations that are over (their destination was away when they were undone)."""
        aborts = [
            self._answer(self._shards[shard_id].abort(state.order_param, state.migration_id))
            for shard_id, state in recovery.leftovers(found, unfinished)
        ]
        await asyncio.gather(*aborts)

    async def _note_surveyed(self, found: recovery.Survey) -> None:
        """Remember who has told all that it owns; what nobody ever asked may own order params that are not known here.

        A mapping from before this was remembered has placements and no list: it is trusted for the shards of today.
        """
        asked = await self._mapping.surveyed()
        is_old = not asked and bool(self._mapping.current().placements)
        told = frozenset(self._shards) if is_old else frozenset(self._shards) - found.silent.keys()
        if told - asked:
            await self._mapping.note_surveyed(told)
        self._late_survey.begin(self._shards.keys() - asked - told)

    async def _open_to_new(self) -> Sequence[str]:
        """Return the shards that may take order params that are new."""
        known = [self.roster.described(shard) for shard in self._described.values() if shard.shard_id in self._shards]
        open_now = [shard.shard_id for shard in known if not shard.draining]
        return open_now or [shard.shard_id for shard in await self.shards() if not shard.draining]

    async def _learn(self, found: recovery.Survey) -> None:
        """Take up what shards that were away at the start know: what they own, and what they have given away."""
        await self._mapping.note_surveyed(frozenset(self._shards) - found.silent.keys())
        await recovery.repair_mapping(self._mapping, found, self._mapping.current())
        for orphan in await self._orphans(found):
            self._runner.recover(orphan)

    async def _learn_of_new(self, found: recovery.Survey, shard_id: str) -> None:
        """Take up what a shard that joins owns: it may have been here before."""
        await self._mapping.note_surveyed(frozenset({shard_id}))
        await recovery.repair_mapping(self._mapping, found, self._mapping.current())
        self._allocator.note_opened(found.states)
        for orphan in await self._orphans(found):
            self._runner.recover(orphan)
        await self._clean_up(found, {record.migration_id for record in self._runner.active()})
        await self.shards()

    def _shard(self, shard_id: str) -> ShardPort:
        shard = self._shards.get(shard_id)
        if shard is None:
            raise UnknownShardError(shard_id)
        return shard

    async def _answer(self, call: Awaitable[T]) -> T | str:
        """Return a shard's answer, or in words why there is none."""
        try:
            async with asyncio.timeout(self._settings.answer_s):
                return await call
        except TimeoutError:
            return f"no answer in {self._settings.answer_s:g} s"
        except PlbError as error:
            return str(error)
