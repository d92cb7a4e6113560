"""What the control loop is given (`service.wiring` does the giving), and what it offers to the service.

All calls are async because every real implementation crosses a process border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Sequence
    from pathlib import Path

    from plb_ray.domain.audit import AuditEntry, AuditQuery, DecisionQuery
    from plb_ray.domain.champions import ChampionStanding
    from plb_ray.domain.effects import EffectQuery, MoveEffect
    from plb_ray.domain.events import CalendarChange, Event, EventCalendar
    from plb_ray.domain.load import LoadSnapshot, Shard
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest
    from plb_ray.domain.plan import Move, Plan, PlanProblem
    from plb_ray.domain.rates import Forecast, Horizon, RateHistory


class Queue(Protocol):
    """The queue system: `QueueControl`, in this process or over gRPC."""

    async def shards(self) -> tuple[Shard, ...]: ...
    async def mapping(self) -> Mapping: ...
    async def load_metrics(self) -> LoadSnapshot: ...
    def migrate(self, request: MigrationRequest) -> AsyncGenerator[MigrationRecord, None]:
        """Start or join a migration and follow it; the last record is terminal. Raises the errors of `plb_ray.errors`."""
        ...

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        """Return the most recent migrations, newest first."""
        ...

    async def migration(self, migration_id: str) -> MigrationRecord:
        """Return one migration as it is now, whatever its age.

        Raises:
            UnknownMigrationError: there is none with this id, or it was pruned.
        """
        ...

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """Return every record of one migration, in order: when it reached which step. Raises UnknownMigrationError."""
        ...

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """Roll a migration back and return its last record; again: the same answer.

        Raises:
            UnknownMigrationError.
            StaleEpochError: it is (or may be) past its commit point and goes on.
        """
        ...


@dataclass(frozen=True)
class TrainingStatus:
    """How far training is: `done` of `total` groups have a network; `message` is for people."""

    horizon: str
    done: int
    total: int
    fraction: float
    failed: int = 0
    message: str = ""


class Forecaster(Protocol):
    """History in, forecast out, for one horizon: a network, a baseline, or one that wraps others. Synchronous, CPU-bound.

    `predict` may run in one thread while `fit` of another instance runs in a second one; one instance is never shared.
    """

    @property
    def lookback_s(self) -> int:
        """How much history `predict` makes use of; more is ignored, less is fine."""
        ...

    @property
    def training_s(self) -> int:
        """How much history `fit` makes use of; more is ignored, less is fine."""
        ...

    def fit(
        self,
        history: RateHistory,
        horizon: Horizon,
        on_progress: Callable[[float], None] | None = None,
        parent: Path | None = None,
    ) -> None:
        """Learn from a history; `on_progress` is told the fraction done, rising to 1.

        With `parent`, the folder of another artifact, it goes on from what that one has learnt, if it can be read and was
        made for this horizon; otherwise it begins from nothing.

        Raises:
            NoForecastError: the history is too short to learn from.
        """
        ...

    def predict(self, history: RateHistory) -> Forecast:
        """Return quantiles for every order param of `history`, whether it was seen by `fit` or not.

        Raises:
            NoForecastError: the history is empty, or `fit` or `load` did not come first.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the artifact. A crash leaves the older artifact in place."""
        ...

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            NoForecastError: there is no artifact, it is damaged, or it was made for other settings.
        """
        ...


class ForecasterPool(Protocol):
    """Forecasts for all order params. Training runs elsewhere and never blocks `forecast`."""

    async def forecast(self, history: RateHistory, horizon: Horizon) -> Forecast:
        """Return quantiles for every order param of `history`; rows without a ready network come from the baseline.

        Raises:
            NoForecastError: the history is too short even for the baseline.
        """
        ...

    def start_training(self, history: RateHistory, horizons: tuple[Horizon, ...]) -> None:
        """Begin to train in the background, on a copy of this history; returns at once."""
        ...

    async def training(self) -> tuple[TrainingStatus, ...]:
        """Return one status per horizon in training or trained."""
        ...

    async def close(self) -> None:
        """Stop what was started."""
        ...


class Planner(Protocol):
    """Load estimate and mapping in, plan out. Pure, synchronous, CPU-bound; called off the event loop."""

    def plan(self, problem: PlanProblem) -> Plan: ...
    def restated(self, problem: PlanProblem, moves: Sequence[Move]) -> Plan:
        """Return the plan of just these moves in a problem that they may not have been made for, with what they do there.

        Waves are made anew, reasons are kept. What is wrong with the moves is for the checker to find: those that cannot be
        meant in this problem are returned as they are.
        """
        ...


class PlanChecker(Protocol):
    """Independent of every planner: recompute what a plan does.

    Returns the faults found, in words; an empty tuple means the plan may be executed.
    """

    def check(self, problem: PlanProblem, plan: Plan) -> tuple[str, ...]: ...


class EventStore(Protocol):
    """The event calendar, kept. Synchronous and blocks on the disk; called off the event loop."""

    def read(self) -> EventCalendar:
        """Return the calendar as it is now. Raises BadInputError if it is damaged."""
        ...

    def put(self, events: EventCalendar) -> CalendarChange:
        """Add events, or replace those with the same ids; durable on return. A repeat changes nothing."""
        ...

    def remove(self, event_id: str) -> Event:
        """Take one event out and return it; durable on return. Raises UnknownEventError."""
        ...


class DecisionLog(Protocol):
    """Durable record of the decisions, one JSON document each. `append` returns when it is synced."""

    async def append(self, number: int, at_s: float, document: dict[str, object]) -> None: ...
    async def count(self) -> int:
        """Return how many decisions there are; the next number."""
        ...

    async def find(self, query: DecisionQuery) -> tuple[dict[str, Any], ...]:
        """Return a page of decisions as they were appended, newest first."""
        ...

    async def get(self, number: int) -> dict[str, Any] | None:
        """Return one decision; None if there is none, or it was pruned."""
        ...


class EffectLog(Protocol):
    """Durable record of what moves promised and what came of them. `put` returns when it is synced."""

    async def put(self, changed: Sequence[MoveEffect]) -> None:
        """Store effects, in place of those of the same migrations."""
        ...

    async def pending(self) -> tuple[MoveEffect, ...]:
        """Return those whose horizon is not over, in the order of sending."""
        ...

    async def find(self, query: EffectQuery) -> tuple[MoveEffect, ...]:
        """Return a page of them, newest first."""
        ...


class AuditLog(Protocol):
    """Durable record of who did what; entries are only ever added. `append` returns when it is synced."""

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries, in their order; each gets its number."""
        ...

    async def find(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """Return a page of entries."""
        ...


class Champions(Protocol):
    """Who serves the horizons. Synchronous and looks at the disk; called off the event loop."""

    def standing(self, horizon: str) -> ChampionStanding:
        """Return who serves a horizon now, whoever has changed it."""
        ...


class OrdersStore(Protocol):
    """The standing orders as one JSON document, durable. `write` returns when it is synced."""

    async def read(self) -> dict[str, Any] | None:
        """Return what was written last; None if nothing ever was."""
        ...

    async def write(self, document: dict[str, Any]) -> None: ...


class PlanStore(Protocol):
    """Plans that wait for people, and ended ones: a JSON document each, durable. Calls return when it is synced."""

    async def add(self, state: str, at_s: float, document: dict[str, Any]) -> int:
        """Keep a new plan and return its number; numbers only grow."""
        ...

    async def put(self, number: int, state: str, at_s: float, document: dict[str, Any]) -> None:
        """Keep a plan in place of the one with its number."""
        ...

    async def get(self, number: int) -> dict[str, Any] | None:
        """Return one plan; None if there is none, or it was pruned."""
        ...

    async def find(self, states: Collection[str], limit: int, offset: int) -> tuple[tuple[int, dict[str, Any]], ...]:
        """Return a page of plans with their numbers, newest first, in these states; none named: in any."""
        ...


@dataclass(frozen=True)
class ProvidedShard:
    """A shard that a provider started and may remove.

    Attributes:
        draining: it takes nothing and is to leave.
        starting: it has not joined the queue yet.
    """

    shard_id: str
    shard_type: str
    draining: bool = False
    starting: bool = False


class ShardProvider(Protocol):
    """Starts and removes shards while the queue runs. Every call may be repeated after a crash."""

    async def shards(self) -> tuple[ProvidedShard, ...]:
        """Return the shards that were started here and have not left; those that others started are not among them."""
        ...

    async def scale_out(self, count: int, shard_type: str) -> tuple[str, ...]:
        """Start shards and let them join the queue; return their names. They may be given order params on return.

        Raises:
            BadInputError: there is no such type.
            ShardUnavailableError: one does not start; those before it have joined.
        """
        ...

    async def drain(self, shard_id: str) -> None:
        """Let nothing new onto a shard, so that the next plans empty it.

        Raises:
            UnknownShardError: none that was started here.
            MigrationConflictError: it must stay, and why.
        """
        ...

    async def keep(self, shard_id: str) -> None:
        """Take `drain` back. Raises UnknownShardError."""
        ...

    async def remove(self, shard_id: str) -> bool:
        """Let a drained shard leave and stop it; return False if something is on it still. One that has left: True."""
        ...
