"""What the balancer shows to the service: one frozen picture per question, and the port by which they are asked for.

The pictures are made once a tick and handed out as they are; reading them costs the loop nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from plb_ray.control.looks_port import LookKeeping
from plb_ray.control.loop_meter import LoopCounts
from plb_ray.control.migration_meter import MigrationTotals
from plb_ray.control.orders_port import OrderKeeping
from plb_ray.control.record_port import RecordKeeping
from plb_ray.domain.effects import Experience
from plb_ray.domain.samples import PushOutcome

if TYPE_CHECKING:
    from plb_ray.control.capacity_basis import CapacityBasis
    from plb_ray.control.fleet_view import FleetView
    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.inputs import Inputs
    from plb_ray.control.order_param_table import OrderParamTable
    from plb_ray.control.ports import TrainingStatus
    from plb_ray.control.shard_loads import ShardLoads
    from plb_ray.domain.events import CalendarChange, Event, EventCalendar
    from plb_ray.domain.load import ResourceVector
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest
    from plb_ray.domain.outcomes import Distance, OrderParamOutcomes
    from plb_ray.domain.plan import Move, Plan
    from plb_ray.domain.rates import OrderParamForecast
    from plb_ray.domain.samples import SampleBatch


class Mode(StrEnum):
    """What the balancer may do. AUTO is only ever ordered; it comes to one of two others, as `control.auto_mode` says."""

    AUTO = "auto"  # forecast_only until the forecasts have proved themselves, predictive from then on
    PREDICTIVE = "predictive"  # plans on the forecast and migrates
    BALANCE = "balance"  # the same, and evens the load out when nothing is over
    RELIEF = "relief"  # relieves only what is over, or is about to be, with the fewest moves
    FORECAST_ONLY = "forecast_only"  # plans and shows the plan, migrates nothing
    STATIC = "static"  # observes only

    @property
    def acts(self) -> bool:
        """Whether moves may be sent."""
        return self in (Mode.PREDICTIVE, Mode.BALANCE, Mode.RELIEF)


class Admission(StrEnum):
    """Why a planned move was sent or not."""

    ADMITTED = "admitted"
    DRY_RUN = "dry_run"
    MODE_FORBIDS = "mode_forbids"
    PLAN_REFUSED = "plan_refused"
    PAUSED = "paused"  # the operator has paused the balancer
    AWAITS_APPROVAL = "awaits_approval"  # the operator wants to see it first
    DEFERRED = "deferred"  # its congestion is far off, and a quieter time comes before it
    NOT_WORTH_IT = "not_worth_it"  # the plan takes away less overload than its moves cost
    TICK_BUDGET = "tick_budget"
    HOUR_BUDGET = "hour_budget"
    SHARD_BUDGET = "shard_budget"  # enough moves touch one of its shards in this tick
    DESTINATION_FULL = "destination_full"  # by what was measured, whatever is foreseen
    WAITS_FOR_WAVE = "waits_for_wave"  # moves that make room for it come first


class Basis(StrEnum):
    """What a decision was made on."""

    FORECAST = "forecast"  # the load foreseen, and what was measured
    MEASURED = "measured"  # what was measured alone: the reactive floor


@dataclass(frozen=True)
class AdmittedMove:
    """A planned move and what became of it in this tick.

    Attributes:
        until_s: when a deferred move is to be sent; None for all others.
    """

    move: Move
    admission: Admission
    until_s: float | None = None


@dataclass(frozen=True)
class Decision:
    """The complete record of one tick: what was decided, on what, and why.

    Attributes:
        number: counts ticks since the journal was made.
        at_s: time of the decision (trace time in a replay).
        faults: what the checker found wrong with the plan; not empty = nothing was executed.
        basis: whether the forecast was planned on, or what was measured alone.
        notes: why the forecast was not, and what else people should know.
        thrash: share of all moves so far that brought an order param back to where it had been within hours.
        sources: how many order params were forecast by which forecaster.
        tick_s: duration of the tick, wall time.
        inputs: what it was made from; None in decisions of earlier releases.
        loads: what the plan does to the load of each shard; None in decisions of earlier releases.
    """

    number: int
    at_s: float
    mode: Mode
    plan: Plan
    moves: tuple[AdmittedMove, ...]
    faults: tuple[str, ...]
    sources: dict[str, int]
    tick_s: float
    basis: Basis = Basis.FORECAST
    notes: tuple[str, ...] = ()
    thrash: float = 0.0
    inputs: Inputs | None = None
    loads: ShardLoads | None = None

    @property
    def sent(self) -> tuple[Move, ...]:
        """The moves that are sent."""
        return tuple(each.move for each in self.moves if each.admission is Admission.ADMITTED)


@dataclass(frozen=True)
class ForecastBand:
    """A shard's load to come on one resource, as shares of its capacity; one entry per step."""

    starts_s: tuple[int, ...]
    expected: tuple[float, ...]
    target: tuple[float, ...]


@dataclass(frozen=True)
class ShardView:
    """One shard now, lately and soon. Utilisations are shares of capacity (1.0 = full).

    Attributes:
        utilisation: arriving load / capacity per resource over the last step (may exceed 1).
        history_s, history: past (time, CPU utilisation) points, oldest first, at most a day.
        bands: forecast per resource.
        congestion_at_s: first step whose target load exceeds capacity x headroom; None if there is none.
        error: why the shard does not answer; empty if it does.
        draining: it takes nothing and is being emptied; with no order params and no backlog it is empty.
    """

    shard_id: str
    endpoint: str
    capacity: ResourceVector
    utilisation: dict[str, float]
    arrival_messages_per_s: float
    served_messages_per_s: float
    backlog: int
    oldest_age_s: float
    order_params: int
    history_s: tuple[float, ...] = ()
    history: tuple[float, ...] = ()
    bands: dict[str, ForecastBand] = field(default_factory=dict)
    congestion_at_s: float | None = None
    error: str = ""
    draining: bool = False


@dataclass(frozen=True)
class HistoryView:
    """The observed rates that are in memory, and what others have told.

    Attributes:
        step_s: length of a step.
        steps: how many there are.
        end_s: end of the last one; None while there is none.
        order_params: how many were ever seen.
        pushed: what became of pushed samples since the control loop's process started.
        source_error: why samples could not be fetched the last time; empty if they could.
    """

    step_s: int = 60
    steps: int = 0
    end_s: int | None = None
    order_params: int = 0
    pushed: PushOutcome = field(default_factory=PushOutcome)
    source_error: str = ""


@dataclass(frozen=True)
class BalancerStatus:
    """The whole at a glance.

    Attributes:
        at_s: time of the last tick; None before the first.
        ready: the mapping is recovered and a first tick is done.
        training: per horizon.
        last_error: what went wrong in the last tick, in one sentence; empty if nothing did.
        migrations_active, migrations_done, migrations_rolled_back: of the most recent 1,000.
        restarts: how often the control actor took over from a predecessor on this journal.
        totals: over all migrations since the control loop's process started.
        counts: what the loop counts of itself.
        experience: what moves have promised and kept so far, and have cost.
        mode: in force; never AUTO.
        mode_why: why, in a sentence.
        paused, approval: as ordered; see `Orders`.
        plans_awaiting: plans that wait for approval.
        fleet: how many shards there should be, where they are started and drained by the balancer; else None.
    """

    mode: Mode
    ready: bool
    at_s: float | None
    ticks: int
    headroom: float
    level: float
    shards: tuple[ShardView, ...]
    order_params: int
    migrations_active: int
    migrations_done: int
    migrations_rolled_back: int
    training: tuple[TrainingStatus, ...]
    queue_endpoint: str
    last_error: str = ""
    restarts: int = 0
    totals: MigrationTotals = field(default_factory=MigrationTotals)
    history: HistoryView = field(default_factory=HistoryView)
    counts: LoopCounts = field(default_factory=LoopCounts)
    experience: Experience = field(default_factory=Experience)
    mode_why: str = ""
    paused: bool = False
    approval: bool = False
    plans_awaiting: int = 0
    fleet: FleetView | None = None


class Balancer(RecordKeeping, OrderKeeping, LookKeeping, Protocol):
    """What the service asks of the control loop: the control actor, or the loop itself in one process."""

    async def status(self) -> BalancerStatus: ...
    async def forecast(self, order_param: str, horizon: str) -> OrderParamForecast:
        """Return the newest forecast of one order param; `horizon` is "short" or "medium".

        Raises:
            UnknownOrderParamError, NoForecastError.
        """
        ...

    async def history(self, order_param: str, steps: int) -> tuple[tuple[float, float], ...]:
        """Return the last observed (start_s, messages_per_s) of one order param. Raises UnknownOrderParamError."""
        ...

    async def order_params(self) -> OrderParamTable:
        """Return what the last look saw of every order param. Raises NotReadyError before the first tick."""
        ...

    async def forecast_quality(self) -> tuple[ForecastQuality, ...]:
        """Return how good the forecasts of the last week were, by horizon and forecaster; one without pairs is left out."""
        ...

    async def outcomes(self, order_param: str, horizon: str, steps: int, distance: Distance) -> OrderParamOutcomes:
        """Return what was foreseen of one order param in the last steps of the history, and what came.

        Args:
            order_param: whose.
            horizon: "short" or "medium".
            steps: how far back, in steps of the history.
            distance: how far ahead it was foreseen.

        Raises:
            UnknownOrderParamError.
        """
        ...

    async def push_samples(self, batch: SampleBatch) -> PushOutcome:
        """Take samples of arrivals into the history; kept on return. Samples that are known already change nothing.

        Raises:
            BadInputError: the history's steps do not start at multiples of their length.
        """
        ...

    async def mapping(self) -> Mapping: ...
    async def latest_decision(self) -> Decision | None: ...
    async def dry_run(self) -> Decision:
        """Make a tick's plan from what is known now, and act on nothing."""
        ...

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]: ...
    async def migration(self, migration_id: str) -> MigrationRecord:
        """Return one migration as it is now, whatever its age. Raises UnknownMigrationError."""
        ...

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """Return one migration's records in order, one per step and failure, at least one. Raises UnknownMigrationError."""
        ...

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """Roll a migration back; return its last record when that is done.

        Raises:
            UnknownMigrationError.
            StaleEpochError: it is past its commit point and goes on.
        """
        ...

    async def migrate(self, request: MigrationRequest) -> MigrationRecord:
        """Start a migration (or join it) and return its first record; it goes on by itself.

        Raises:
            UnknownOrderParamError, UnknownShardError, MigrationConflictError, TooManyMigrationsError.
        """
        ...

    async def events(self) -> EventCalendar: ...
    async def put_events(self, events: EventCalendar) -> CalendarChange:
        """Add events to the calendar, or replace those with the same ids; kept on return. A repeat changes nothing."""
        ...

    async def remove_event(self, event_id: str) -> Event:
        """Take one event out of the calendar and return it. Raises UnknownEventError."""
        ...

    async def fleet(self) -> FleetView:
        """Return how many shards there should be now and will be needed in the coming day. Raises NotReadyError."""
        ...

    async def capacity_basis(self) -> CapacityBasis:
        """Return what capacity questions are answered from. Raises NotReadyError before the first tick."""
        ...
