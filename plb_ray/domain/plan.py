"""A plan: which order params should move where, why, and how good that is proven to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOWHERE = -1  # the current shard of an order param that has none yet; also "no spread group" and "any zone"


class PlanMode(StrEnum):
    """What a plan is for."""

    RELIEF = "relief"  # end what overloads and what breaks a rule, with the fewest migrations; touch nothing else
    BALANCE = "balance"  # the same, then lower the highest utilisation to a band, as far as the cost limit allows
    DRAIN = "drain"  # relief, with the shards named by `PlanProblem.focus` emptied
    ADD = "add"  # balance, with moves only onto the shards named by `PlanProblem.focus`
    CONSOLIDATE = "consolidate"  # relief, and as many shards emptied as the others can hold
    ALLOCATE = "allocate"  # forget the current mapping: place every order param that is not pinned anew


@dataclass(frozen=True, eq=False)
class PlacementRules:
    """What an allocation must keep whatever the load. Indices are positions in the problem's order params and shards.

    Attributes:
        pinned: (K,) True for an order param that may not leave its shard (pinned, in migration, cooling down).
        draining: (S,) True for a shard that takes no order params and is to be emptied.
        closed: (S,) True for a shard that takes no order params but keeps what it has (silent, or not to be used now).
        zone: (S,) zone number of each shard.
        zone_sets: sets of zone numbers that order params may be limited to.
        zone_set: (K,) position in `zone_sets`, or -1 for any zone.
        forbidden: (F, 2) pairs (order param, shard) that may not be.
        spread_group: (K,) number of the group whose members must be on different shards, or -1.
    """

    pinned: NDArray[np.bool_]
    draining: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    zone: NDArray[np.int64]
    zone_sets: tuple[frozenset[int], ...]
    zone_set: NDArray[np.int64]
    forbidden: NDArray[np.int64]
    spread_group: NDArray[np.int64]

    @classmethod
    def none(cls, order_params: int, shards: int) -> PlacementRules:
        """Return rules that forbid nothing."""
        return cls(
            pinned=np.zeros(order_params, dtype=np.bool_),
            draining=np.zeros(shards, dtype=np.bool_),
            closed=np.zeros(shards, dtype=np.bool_),
            zone=np.zeros(shards, dtype=np.int64),
            zone_sets=(),
            zone_set=np.full(order_params, NOWHERE, dtype=np.int64),
            forbidden=np.zeros((0, 2), dtype=np.int64),
            spread_group=np.full(order_params, NOWHERE, dtype=np.int64),
        )


@dataclass(frozen=True)
class PlanBudget:
    """What planning may spend, and what a plan may.

    Attributes:
        wall_s: seconds until the best plan found so far is returned.
        work: search steps; given, the plan depends on problem and seed alone, unless `wall_s` ends it first. None = no
            limit.
        seed: of every random choice.
        moves: most moves in the plan.
        cost: highest migration cost that goal 3 (balance) may add up to; goals 1 and 2 ignore it.
        gap: stop when the cost is within this share of its proven lower bound.
    """

    wall_s: float = 10.0
    work: int | None = None
    seed: int = 1
    moves: int = 1_000_000_000
    cost: float = float("inf")
    gap: float = 0.005


@dataclass(frozen=True)
class PlanWords:
    """What explanations call things.

    Attributes:
        steps: (T,) a name for each step, e.g. "12:10".
        load: what the load is, e.g. "p90".
        resources: words for resources, e.g. {"cpu_cores": "CPU"}; others are called by their name.
    """

    steps: tuple[str, ...] = ("now",)
    load: str = "load"
    resources: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PlanProblem:
    """What a planner is given: K order params, S shards, R resources, T steps.

    Attributes:
        order_params: (K,) names.
        shards: (S,) names.
        resources: (R,) names.
        load: (K, T, R) >= 0, in units of each resource.
        capacity: (S, R) >= 0; infinite where a shard states no limit.
        headroom: (S,) usable share of every capacity of a shard, > 0.
        current: (K,) index of the shard that owns each order param; -1 for one that has no shard yet.
        move_cost: (K,) cost of moving each order param, >= 0; placing one that has no shard costs nothing.
        rules: what an allocation must keep.
        overload_weight: (S, R) what one unit of load above capacity x headroom counts in the overload.
        in_flight: (S, T, R) load that running migrations hold on shards besides the load of the order params that `current`
            puts there; None = no migration runs.
        mode: what the plan is for.
        focus: (F,) indices of the shards that DRAIN empties and ADD fills.
        band: BALANCE and ADD lower the highest utilisation to this much above the mean's highest.
        segments: most shards that one order param may be split over; 1 = never split.
        budget: what may be spent.
        words: for explanations.
    """

    order_params: tuple[str, ...]
    shards: tuple[str, ...]
    resources: tuple[str, ...]
    load: NDArray[np.float64]
    capacity: NDArray[np.float64]
    headroom: NDArray[np.float64]
    current: NDArray[np.int64]
    move_cost: NDArray[np.float64]
    rules: PlacementRules
    overload_weight: NDArray[np.float64]
    in_flight: NDArray[np.float64] | None = None
    mode: PlanMode = PlanMode.RELIEF
    focus: tuple[int, ...] = ()
    band: float = 0.05
    segments: int = 1
    budget: PlanBudget = field(default_factory=PlanBudget)
    words: PlanWords = field(default_factory=PlanWords)


class PlanStatus(StrEnum):
    """How far a plan may be trusted. Why planning stopped is `Termination`."""

    NOT_NEEDED = "not_needed"  # nothing overloads, no rule is broken, nothing to balance: the empty plan is optimal
    OPTIMAL = "optimal"  # no overload, no broken rule (or proven least), and proven to need the least migration cost for it
    FEASIBLE = "feasible"  # no overload, no broken rule; the gap says how far the cost is from proven
    PARTIAL = "partial"  # some overload or broken rule stays; `Plan.unresolved` says which and why
    REFUSED = "refused"  # the checker found a fault; nothing may be executed


class Termination(StrEnum):
    """Why planning stopped."""

    PROVEN = "proven"  # nothing better exists
    GAP = "gap"  # the cost is within the asked gap of its proven bound
    WORK = "work"  # the work budget is used
    DEADLINE = "deadline"  # the time is used
    EXHAUSTED = "exhausted"  # every stage has run to its end


@dataclass(frozen=True)
class Move:
    """One order param's planned way from shard to shard, with its reason in words.

    Attributes:
        source: empty for an order param that had no shard.
        wave: moves of one wave may run together; wave n+1 starts when wave n is done.
        segment: which segment of a split order param this is, from 1; 0 for an order param that is not split.
        via: a third shard that it goes to first, in wave `via_wave`, because its destination has no room until others have
            left (a cycle of full shards); empty for the straight way.
    """

    order_param: str
    source: str
    destination: str
    reason: str
    wave: int = 1
    segment: int = 0
    via: str = ""
    via_wave: int = 0


@dataclass(frozen=True)
class Plan:
    """The planner's answer.

    Attributes:
        moves: in the order in which they should be carried out: by wave, most urgent first.
        cost: sum of the move costs of what leaves a shard; a segment's is its share of its order param's.
        bound: proven lower bound on the cost of any plan with as few broken rules and as little overload; 0 = nothing
            proven.
        broken_before, broken_after: order params that are where a rule forbids (a draining or forbidden shard, a wrong zone,
            beside a member of their spread group, on no shard).
        overload_before, overload_after: sum over shards, steps and resources of the load above capacity x headroom, times
            `PlanProblem.overload_weight`.
        max_utilisation: highest load / capacity on any shard, step and resource after the plan.
        unresolved: why some overload or broken rule stays, in words; empty if none does.
        solve_s: time spent.
        first_sound_s: time until the first plan without overload and without broken rule was known; None if none was.
    """

    status: PlanStatus
    termination: Termination
    moves: tuple[Move, ...]
    cost: float
    bound: float
    broken_before: int
    broken_after: int
    overload_before: float
    overload_after: float
    max_utilisation: float
    unresolved: tuple[str, ...]
    solve_s: float
    first_sound_s: float | None = None

    @property
    def gap(self) -> float:
        """Relative distance to the bound; 0 for an optimal plan."""
        return 0.0 if self.cost <= self.bound else (self.cost - self.bound) / self.cost
