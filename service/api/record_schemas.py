"""The JSON of the record: decisions and what they were made from, effects of moves, the audit log, learned costs."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from plb_ray.control.views import Admission, Basis, Mode
from plb_ray.domain.effects import EffectState
from plb_ray.domain.plan import PlanStatus, Termination
from service.api.load_schemas import PlannedLoads
from service.api.schemas import Out, UtcTime
from service.words import ADMISSION_WORDS


class DecidedMove(Out):
    """A planned move, why it was planned, and what became of it."""

    order_param: str
    source: str
    destination: str
    reason: str = Field(description="why it was planned")
    wave: int = Field(description="moves of one wave may run together")
    via: str = Field(description="a third shard that it goes to first; empty for the straight way")
    segment: int = Field(description="which segment of a split order param, from 1; 0 if it is not split")
    admission: Admission
    admission_words: str = Field(description="what the code of `admission` means")
    until: UtcTime | None = Field(None, validation_alias="until_s", description="when a deferred move is to be sent")

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Take a move as the journal holds it: the planned form within what became of it."""
        if isinstance(value, dict) and "move" in value:
            more = {key: each for key, each in value.items() if key != "move"}
            return {**value["move"], **more, "admission_words": ADMISSION_WORDS[Admission(value["admission"])]}
        return value


class DecisionHead(Out):
    """One tick's decision in short."""

    number: int
    at: UtcTime = Field(validation_alias="at_s", description="trace time in a replay")
    mode: Mode
    basis: Basis = Field(Basis.FORECAST, description="whether the forecast was planned on, or what was measured alone")
    status: PlanStatus
    termination: Termination
    moves: list[DecidedMove] = Field(description="all that were planned, by wave, most urgent first")
    sent: int = Field(description="how many were sent")
    faults: list[str] = Field(description="what the independent checker found; not empty: nothing was sent")
    notes: list[str] = Field(default_factory=list, description="what the operator should know")

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Take a decision as the journal holds it: its plan's figures beside its own."""
        if isinstance(value, dict) and "plan" in value:
            sent = sum(each["admission"] == Admission.ADMITTED.value for each in value["moves"])
            return {**{key: each for key, each in value["plan"].items() if key != "moves"}, **value, "sent": sent}
        return value


class Decisions(Out):
    """Decisions, newest first. `next_before`: ask with `before` for the page after this; null on the last one."""

    items: list[DecisionHead]
    next_before: int | None


class SomeNames(Out):
    """Names, of which there may be more than are kept."""

    some: list[str]
    count: int


class ShardInput(Out):
    """The load of one shard that a decision was made on: shares of capacity of the worst resource."""

    shard_id: str
    now: float = Field(description="as measured")
    peak: float = Field(description="highest of now and all steps that were planned on")
    peak_at: UtcTime


class OrdersInput(Out):
    """What the operator had ordered."""

    paused: bool
    approval: bool
    pinned: SomeNames
    forbidden: SomeNames
    draining: SomeNames
    filling: SomeNames
    spread_groups: int


class MemoryInput(Out):
    """What was remembered of earlier moves and forecasts."""

    sent_last_hour: int
    moves: int = Field(description="since the process started")
    returns: int = Field(description="of them, those that brought an order param back")
    cooling: SomeNames = Field(description="order params that might not move again yet")
    forecast_trusted: bool
    forecast_loss: float
    persistence_loss: float = Field(description="of the last step taken for the next; the forecast must not be worse")
    ratio: float = Field(description="how much of what was foreseen counts: overload taken away / promised, so far")
    move_cost_s: float = Field(description="what a move has cost so far: seconds of a whole shard")


class DecisionInputs(Out):
    """What a decision was made from."""

    step_end: UtcTime = Field(validation_alias="step_end_s", description="end of the last step that was measured")
    order_params: int
    headroom: float
    level: float | None = Field(description="quantile level of what was foreseen; null where nothing was")
    first_step: UtcTime = Field(validation_alias="first_step_s")
    last_step: UtcTime = Field(validation_alias="last_step_s")
    steps: int = Field(description="that were planned on, the measured one included")
    shards: list[ShardInput] = Field(description="the fullest first, and those that moves touch")
    shards_left_out: int
    shards_left_out_peak: float = Field(description="the highest peak of those that are left out")
    silent: SomeNames
    moving: SomeNames
    lead_s: float = Field(description="how long a migration was taken to last")
    orders: OrdersInput
    memory: MemoryInput

    @model_validator(mode="before")
    @classmethod
    def _rows(cls, value: Any) -> Any:
        """Take the shards as the journal holds them: in columns."""
        if not isinstance(value, dict) or not isinstance(value["shards"], dict):
            return value
        columns = value["shards"]
        rows = zip(columns["shard_ids"], columns["now"], columns["peak"], columns["peak_at_s"], strict=True)
        shards = [{"shard_id": name, "now": now, "peak": peak, "peak_at": at} for name, now, peak, at in rows]
        left_out = {"shards_left_out": columns["left_out"], "shards_left_out_peak": columns["left_out_peak"]}
        return {**value, "shards": shards, **left_out}


class PromisedStep(Out):
    """What was promised of one step."""

    start: UtcTime
    seconds: float
    load: float = Field(description="of the order param, that was planned on, in units of `resource`")
    expected_load: float = Field(description="its mean")
    taken_s: float = Field(description="overload taken away: seconds of a whole shard above the headroom")


class Promised(Out):
    """What a move was sent for. Utilisations are the highest over the horizon, of the worst resource."""

    resource: str = Field(description="what binds on the source")
    taken_s: float = Field(description="overload taken away over the whole horizon: seconds of a whole shard")
    source_before: float
    source_after: float
    destination_before: float
    destination_after: float
    duration_s: float = Field(description="how long the migration should take; 0 where none was measured before")
    steps: list[PromisedStep]


class Realised(Out):
    """What came, over the steps that were compared; what had been promised of the same steps beside it."""

    steps: int
    taken_s: float = Field(description="what there would have been without the move, less what there was")
    promised_taken_s: float
    load_s: float = Field(description="sum of the order param's load x seconds, in units of `resource`")
    promised_load_s: float
    source_without: float = Field(description="highest utilisation of the source had the order param stayed")
    source: float
    destination: float
    duration_s: float | None = Field(description="of the migration; null until it has ended")
    pause_ms: float | None
    bytes_copied: int
    messages_copied: int
    cost_s: float | None = Field(description="what the migration cost: seconds of a whole shard")


class Effect(Out):
    """One move that was sent: promised against realised."""

    migration_id: str
    decision: int
    at: UtcTime = Field(validation_alias="at_s")
    order_param: str
    source: str
    destination: str
    foreseen: bool = Field(description="the promise stands on a forecast; else on what was measured")
    state: EffectState
    why: str = Field(description="why it was rolled back; empty otherwise")
    promised: Promised
    realised: Realised


class Effects(Out):
    """Effects of moves, newest first."""

    items: list[Effect]
    limit: int


class DecisionDetail(DecisionHead):
    """One decision with all that was written down of it."""

    cost: float
    bound: float
    broken_before: int
    broken_after: int
    overload_before: float
    overload_after: float
    max_utilisation: float
    unresolved: list[str]
    sources: dict[str, int] = Field(description="how many order params were forecast by which forecaster")
    solve_s: float
    tick_s: float
    thrash: float = Field(0.0, description="share of all moves so far that brought an order param back within hours")
    inputs: DecisionInputs | None = Field(None, description="null in decisions of earlier releases")
    loads: PlannedLoads | None = Field(
        None, description="what the plan does to the load of each shard; null in decisions of earlier releases"
    )
    effects: list[Effect] = Field(description="of the moves that were sent, promised against realised")


class AuditItem(Out):
    """One act."""

    number: int = Field(description="only grows")
    at: UtcTime = Field(validation_alias="at_s", description="wall time")
    who: str = Field(description='name of the caller; "balancer" for what it does by itself')
    role: str
    action: str
    target: str
    outcome: str
    detail: str


class AuditPage(Out):
    """Entries, newest first. `next_before`: ask with `before` for the page after this; null on the last one."""

    items: list[AuditItem]
    next_before: int | None


class MessageCost(Out):
    """An amount of each resource that one message takes."""

    cpu_core_s: float = Field(validation_alias="cpu_cores", description="core-seconds")
    memory_bytes: float = Field(description="while it waits")
    io_bytes: float = Field(validation_alias="io_bytes_per_s")


class CostItem(Out):
    """What a message of one order param costs, as learned so far; the cost lies in the band nine times in ten."""

    order_param: str
    cost: MessageCost
    lower: MessageCost
    upper: MessageCost
    messages: float = Field(description="delivered, old ones counting less, that this stands on; 0 for a new order param")
    payload_bytes: float


class Costs(Out):
    """A page of costs, sorted by order param."""

    items: list[CostItem]
    total: int
    limit: int
    offset: int
