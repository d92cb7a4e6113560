"""`[balancer]`: what may be done, and how cautiously."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from plb_ray.settings.kinds import STRICT_KEYS, Cost, Count, Seconds, Share


@dataclass(frozen=True)
class MarginSettings:
    """How cautious to be: what a unit of a resource costs where it lacks, against one that lies idle. Only the ratio counts.

    The load that must fit is its quantile at overload / (overload + idle): the newsvendor's answer to what to keep ready.

    Attributes:
        planned: what moves are planned on: the mean of the forecast, whose margin is the headroom, or that quantile on top.
        cpu_overload, cpu_idle: of CPU.
        memory_overload, memory_idle: of memory.
        io_overload, io_idle: of I/O.
    """

    __pydantic_config__ = STRICT_KEYS

    planned: Literal["mean", "quantile"] = "mean"
    cpu_overload: Cost = 9.0
    cpu_idle: Cost = 1.0
    memory_overload: Cost = 9.0
    memory_idle: Cost = 1.0
    io_overload: Cost = 9.0
    io_idle: Cost = 1.0

    @property
    def levels(self) -> tuple[float, float, float]:
        """(R,) quantile level of each resource, in the order of `plb_ray.domain.load.RESOURCES`."""
        return (
            self.cpu_overload / (self.cpu_overload + self.cpu_idle),
            self.memory_overload / (self.memory_overload + self.memory_idle),
            self.io_overload / (self.io_overload + self.io_idle),
        )


@dataclass(frozen=True)
class DampingSettings:
    """What keeps the balancer from wandering.

    Attributes:
        inner_margin: share of capacity below the headroom that a shard is relieved to once it is, or will be, above it.
        cooldown_s: how long an order param stays where it was moved to.
        moves_per_hour: most moves in an hour.
        moves_per_shard: most moves onto or off one shard in one tick.
        move_cost_s: what a move must be worth, in seconds of a whole shard's capacity that no longer exceed the headroom.
        hedge_gain_s: the same for a move that prepares for what came before and for surges, over as long as `hedge_days`.
    """

    __pydantic_config__ = STRICT_KEYS

    inner_margin: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    cooldown_s: Annotated[float, Field(ge=0)] = 1800.0
    moves_per_hour: Count = 120
    moves_per_shard: Count = 8
    move_cost_s: Annotated[float, Field(ge=0)] = 1.0
    hedge_gain_s: Annotated[float, Field(ge=0)] = 60.0


@dataclass(frozen=True)
class BalancerSettings:
    """What the control loop may do and how cautiously.

    Attributes:
        mode: auto (forecast_only until the forecasts have proved themselves, then predictive), predictive (plans on the
            forecast and migrates), balance (the same, and evens the load out), relief (only what is over, or soon will be),
            forecast_only (plans, migrates nothing), static (observes only). An order given at run time comes before it.
        approval_expires_s: how long a plan waits for approval while that is ordered.
        step_s: length of a tick and of a history step.
        headroom: usable share of each shard's capacity; what is left absorbs what no forecast sees.
        medium_hours: how many hours of the medium horizon a plan must also fit; 0 plans on the short horizon alone.
        hedge_days: how many days of the past a mapping should also stand, and surges beyond them; 0 prepares for the
            forecast alone.
        budget_moves: most moves in one tick.
        solver_budget_s: time for the solver in one tick.
        migrations_in_flight: most migrations at once; they share disks and the coordinator, so more make each pause longer.
        lease_ms: how long a source stays paused if the balancer dies; must cover the copy of a migration's tail.
        margin, damping: see there.
    """

    __pydantic_config__ = STRICT_KEYS

    mode: Literal["auto", "predictive", "balance", "relief", "forecast_only", "static"] = "auto"
    approval_expires_s: Seconds = 3600.0
    step_s: Annotated[int, Field(ge=60, le=3600)] = 60
    headroom: Share = 0.9
    medium_hours: Annotated[int, Field(ge=0, le=24)] = 0
    hedge_days: Annotated[float, Field(ge=0, le=28)] = 7.0
    budget_moves: Count = 16
    solver_budget_s: Seconds = 0.3
    migrations_in_flight: Count = 2
    lease_ms: Annotated[int, Field(ge=100, le=600_000)] = 5000
    margin: MarginSettings = field(default_factory=MarginSettings)
    damping: DampingSettings = field(default_factory=DampingSettings)

    @property
    def level(self) -> float:
        """Quantile level of a shard's load that must fit; the highest, if resources differ."""
        return max(self.margin.levels)
