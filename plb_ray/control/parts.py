"""What the control loop is made of, and what it is told of where it runs. `service.wiring` does the telling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.clock import wall_time_s
from plb_ray.control.feedback import Feedback
from plb_ray.control.loop_meter import LoopMeter
from plb_ray.control.memory_orders import MemoryOrders, MemoryPlans
from plb_ray.control.memory_record import MemoryAudit, MemoryEffects
from plb_ray.control.migration_meter import MigrationMeter
from plb_ray.control.scribe import Scribe

if TYPE_CHECKING:
    from plb_ray.clock import Clock
    from plb_ray.control.past_loads import PastLoads
    from plb_ray.control.ports import (
        Champions,
        DecisionLog,
        EffectLog,
        EventStore,
        ForecasterPool,
        OrdersStore,
        PlanChecker,
        Planner,
        PlanStore,
        Queue,
    )
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.domain.rates import Forecast
    from plb_ray.estimate.cost_keeper import CostKeeper
    from plb_ray.history.store import HistoryStore


@dataclass(frozen=True)
class Parts:
    """What the loop is made of; `service.wiring` chooses the implementations."""

    queue: Queue
    pool: ForecasterPool
    planner: Planner
    checker: PlanChecker
    history: HistoryStore
    decisions: DecisionLog
    clock: Clock
    events: EventStore
    meter: MigrationMeter = field(default_factory=lambda: MigrationMeter(wall_time_s))
    feedback: Feedback = field(default_factory=Feedback)
    counts: LoopMeter = field(default_factory=LoopMeter)
    effects: EffectLog = field(default_factory=MemoryEffects)
    scribe: Scribe = field(default_factory=lambda: Scribe(MemoryAudit(), wall_time_s))
    costs: CostKeeper | None = None
    orders: OrdersStore = field(default_factory=MemoryOrders)
    plans: PlanStore = field(default_factory=MemoryPlans)
    champions: Champions | None = None


@dataclass(frozen=True)
class Surroundings:
    """What the loop should know about where it runs.

    Attributes:
        queue_endpoint: where producers and consumers find QueueControl.
        lookback_steps: how much history the forecasters make use of.
        retrain_every_s: time between trainings.
        min_history_steps: training starts when the history is this long.
        restarts: how often the journal changed its owner.
        speed: seconds of the loop's clock in a second of wall time; above 1 in a replay.
    """

    queue_endpoint: str
    lookback_steps: int
    retrain_every_s: float
    min_history_steps: int
    restarts: int = 0
    speed: float = 1.0


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is foreseen at one moment, forecasts by horizon name; and what a mapping should stand, by the past."""

    forecasts: dict[str, Forecast]
    estimate: LoadEstimate
    past: PastLoads | None = None
