"""The JSON of API v1. These types exist at this edge only; each is read off a domain dataclass by `model_validate`.

Times are RFC 3339 in UTC. In a replay they are trace time. Fields carry their unit in the name; utilisations are shares of
capacity (1.0 = full), so 1.12 is 12 % more than the shard can do.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from plb_ray.control.views import Admission, Basis, Mode
from plb_ray.domain.migration import MigrationMode, MigrationStep
from plb_ray.domain.plan import PlanStatus, Termination
from service.api import examples
from service.api.fleet_schemas import Fleet
from service.api.load_schemas import PlannedLoads
from service.api.out import KnownTime, Out, UtcTime, utc

__all__ = ["KnownTime", "Out", "UtcTime", "utc"]


class Resources(Out):
    """An amount of each resource."""

    cpu_cores: float | None
    memory_bytes: float | None = Field(description="null: not limited")
    io_bytes_per_s: float | None = Field(description="null: not limited")


class Training(Out):
    """How far the training of one horizon's networks is."""

    horizon: str
    done: int = Field(description="groups that have a network")
    total: int
    fraction: float = Field(description="0 to 1, epochs included")
    failed: int
    message: str


class Band(Out):
    """A shard's load to come on one resource, as shares of its capacity; one entry per step."""

    starts: list[UtcTime] = Field(validation_alias="starts_s")
    expected: list[float] = Field(description="median")
    target: list[float] = Field(description="the quantile that plans are made with, `level` of the status")


class Shard(Out):
    """One shard now, lately and soon."""

    shard_id: str
    endpoint: str
    capacity: Resources
    utilisation: dict[str, float] = Field(description="arriving load / capacity by resource, over the last step")
    arrival_messages_per_s: float
    served_messages_per_s: float
    backlog: int = Field(description="messages waiting or in flight")
    oldest_age_s: float = Field(description="age of the oldest message that is not acknowledged")
    order_params: int
    history_at: list[UtcTime] = Field(validation_alias="history_s", description="times of `history`, oldest first")
    history: list[float] = Field(description="past CPU utilisation")
    bands: dict[str, Band] = Field(description="forecast by resource")
    congestion_at: UtcTime | None = Field(
        validation_alias="congestion_at_s", description="first step whose target load exceeds capacity x headroom"
    )
    error: str = Field(description="why the shard does not answer; empty if it does")
    draining: bool = Field(description="it takes nothing and is being emptied; without order params and backlog it is empty")


class PushResult(Out):
    """What became of pushed samples. A cell is one order param in one step."""

    new: int = Field(description="cells of steps after the last one that was known")
    late: int = Field(description="cells of earlier steps that nobody had told yet")
    duplicate: int = Field(description="cells that say what is known already")
    replaced: int = Field(description="cells that say something else than before; the later word counts")
    too_late: int = Field(description="cells of steps older than what is kept in memory; not stored")
    refused: int = Field(description="samples that make no sense")
    repeated: int = Field(description="samples with the time of another one of their order param; the last one counts")
    resets: int = Field(description="how often a counter started anew")
    reasons: list[str] = Field(description="why samples were refused: the first few")


class History(Out):
    """The observed rates that are in memory, and what others have told."""

    step_s: int
    steps: int
    end: UtcTime | None = Field(validation_alias="end_s", description="end of the last step; null while there is none")
    order_params: int = Field(description="how many were ever seen")
    pushed: PushResult = Field(description="since the control loop's process started")
    source_error: str = Field(description="why samples could not be fetched the last time; empty if they could")


class Experience(Out):
    """What moves have promised, kept and cost so far; old ones count less."""

    ratio: float = Field(description="how much of what is foreseen counts: overload taken away / promised, within bounds")
    move_cost_s: float = Field(description="what a move has cost on average: seconds of a whole shard")
    moves: float = Field(description="ended moves that this stands on")
    taken_s: float = Field(description="overload taken away by moves that were sent on a forecast: shard-seconds")
    promised_s: float = Field(description="what had been promised of it")


class Status(Out):
    """The whole at a glance."""

    mode: Mode = Field(description="in force; never auto")
    mode_why: str = Field(description="why, in a sentence")
    paused: bool = Field(description="nothing is planned or sent until the operator resumes")
    approval: bool = Field(description="a tick's plan waits until somebody approves it")
    plans_awaiting: int = Field(description="plans that wait for approval: GET /v1/plans?state=awaiting")
    ready: bool
    at: UtcTime | None = Field(validation_alias="at_s", description="time of the last tick; null before the first")
    ticks: int
    headroom: float = Field(description="usable share of every capacity")
    level: float = Field(description="quantile level of the target loads")
    shards: list[Shard]
    order_params: int
    migrations_active: int
    migrations_done: int
    migrations_rolled_back: int
    training: list[Training]
    queue_endpoint: str
    last_error: str
    restarts: int = Field(description="how often the control loop took over from a predecessor")
    history: History
    experience: Experience
    fleet: Fleet | None = Field(description="how many shards there should be; null where the balancer starts none")


class ForecastStep(Out):
    """One step of a forecast."""

    at: UtcTime
    messages_per_s: list[float] = Field(description="one value per quantile level, ascending")


class RatePoint(Out):
    """One observed step."""

    at: UtcTime
    messages_per_s: float


class Forecast(Out):
    """The forecast of one order param, with its recent history for comparison."""

    order_param: str
    horizon: str
    source: str = Field(description="which forecaster made it")
    step_s: int
    levels: list[float] = Field(description="quantile levels, ascending")
    steps: list[ForecastStep]
    history: list[RatePoint] = Field(description="oldest first")


class Allocation(Out):
    """The shards of one order param, in the order in which they are to be consumed; the last one takes the appends."""

    order_param: str
    shards: list[str]
    epoch: int = Field(description="ownership number; only grows")


class AllocationPage(Out):
    """A page of the mapping, sorted by order param."""

    items: list[Allocation]
    total: int = Field(description="how many match the filters")
    limit: int
    offset: int
    generation: int = Field(description="grows with each change of the mapping")


class PlannedMove(Out):
    """A planned move, its reason, and what became of it in this tick."""

    order_param: str
    source: str
    destination: str
    reason: str
    wave: int = Field(description="moves of one wave may run together")
    via: str = Field(description="a third shard that it goes to first, in wave `via_wave`; empty for the straight way")
    via_wave: int
    segment: int = Field(description="which segment of a split order param, from 1; 0 if it is not split")
    admission: Admission
    until: UtcTime | None = Field(description="when a deferred move is to be sent; null for all others")


class Plan(Out):
    """One tick's plan: what should move where, why, and how good that is proven to be."""

    number: int = Field(description="number of the tick")
    at: UtcTime
    mode: Mode
    status: PlanStatus
    termination: Termination = Field(description="why planning stopped")
    moves: list[PlannedMove] = Field(description="by wave, most urgent first")
    cost: float
    bound: float = Field(description="proven lower bound on the cost of any plan with as little overload")
    gap: float = Field(description="(cost - bound) / cost")
    broken_before: int = Field(description="order params that are where a rule forbids")
    broken_after: int
    overload_before: float = Field(description="load above capacity x headroom, summed over shards, steps and resources")
    overload_after: float
    max_utilisation: float = Field(description="highest load / capacity of any shard, step and resource after the plan")
    unresolved: list[str] = Field(description="why some overload or broken rule stays")
    faults: list[str] = Field(description="what the independent checker found; not empty: nothing was executed")
    sources: dict[str, int] = Field(description="how many order params were forecast by which forecaster")
    basis: Basis = Field(description="forecast: what is foreseen and what was measured; measured: that alone")
    notes: list[str] = Field(description="why the forecast was not planned on, and what else people should know")
    solve_s: float
    tick_s: float
    loads: PlannedLoads | None = Field(description="what it does to the load of each shard")


class Migration(Out):
    """One migration. `done` and `aborted` are final; before `sealed` every failure rolls back."""

    migration_id: str
    order_param: str
    source: str
    destination: str
    epoch: int = Field(description="ownership number before the migration")
    step: MigrationStep
    finished: bool
    reason: str
    started_at: UtcTime = Field(validation_alias="started_s", description="wall time")
    finished_at: UtcTime | None = Field(validation_alias="finished_s", description="wall time")
    messages_copied: int
    bytes_copied: int
    pause_ms: float | None = Field(description="how long appends were refused; null while not known")
    error: str = Field(description="why it was rolled back; empty otherwise")
    mode: MigrationMode = Field(description="copy: the backlog moves too; chain: it is consumed where it is")
    at: KnownTime = Field(validation_alias="at_s", description="when `step` was reached, wall time; null in old records")
    lag_messages: int = Field(description="left to copy when last looked")
    eta_s: float | None = Field(description="seconds until the destination serves; null if that cannot be told")


class MigrationMoment(Out):
    """One step of a migration, or a failure at it, as it was noted then."""

    step: MigrationStep
    at: KnownTime = Field(validation_alias="at_s", description="when it was reached, wall time; null in old records")
    messages_copied: int
    bytes_copied: int
    lag_messages: int
    pause_ms: float | None
    eta_s: float | None
    error: str = Field(description="why it failed here; empty if it did not")


class MigrationDetail(Migration):
    """One migration and its timeline."""

    timeline: list[MigrationMoment] = Field(description="every step in order, rollback included")


class MigrationList(Out):
    """The most recent migrations, newest first."""

    items: list[Migration]
    limit: int
    looked_at: int = Field(description="how many of the most recent migrations were looked at")
    complete: bool = Field(description="false: older ones, or more of those that were looked at, may fit as well")


class MigrationStart(BaseModel):
    """Move one order param to another shard."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [dict(examples.START)]})

    order_param: str = Field(min_length=1)
    destination: str = Field(min_length=1, description="shard to move to")
    source: str | None = Field(None, min_length=1, description="shard it must be on now; left out: wherever it is")
    request_id: str | None = Field(
        None,
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="makes the call idempotent, as the header Idempotency-Key does: a repeat joins the same migration",
    )
    reason: str = Field("asked for through the API", max_length=500)
    mode: MigrationMode = Field(
        MigrationMode.COPY,
        description="copy: the backlog moves too; chain: it stays, is consumed where it is, and new messages go to the "
        "destination, which takes milliseconds whatever the backlog",
    )


class Health(Out):
    """The process answers."""

    status: str


class Readiness(Out):
    """The balancer does its work."""

    status: str
    shards_answering: int
    shards: int


class FieldFault(BaseModel):
    """One field of a request that does not fit."""

    where: str
    what: str


class Problem(BaseModel):
    """RFC 9457 problem details. `reason` is a stable code, `detail` one sentence: what, where, what to do."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    reason: str
    retry_after_s: int | None = None
    errors: list[FieldFault] | None = None
