"""A plan: which order params should move where, why, and how good that is proven to be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plb_ray.domain.load import LoadEstimate, Shard


@dataclass(frozen=True, eq=False)
class PlanProblem:
    """What a planner is given.

    Attributes:
        estimate: load of K order params over T steps and R resources.
        shards: S shards.
        current: (K,) index into `shards` of the shard that owns each order param.
        movable: (K,) False for an order param that is pinned, in migration or cooling down.
        headroom: usable share of every capacity, in (0, 1].
        move_cost: (K,) cost of moving each order param, > 0.
        budget_moves: most moves in this plan.
        budget_s: solver time in seconds.
    """

    estimate: LoadEstimate
    shards: tuple[Shard, ...]
    current: NDArray[np.int64]
    movable: NDArray[np.bool_]
    headroom: float
    move_cost: NDArray[np.float64]
    budget_moves: int
    budget_s: float


class PlanStatus(StrEnum):
    """How far a plan may be trusted, and why planning stopped."""

    NOT_NEEDED = "not_needed"  # no shard is over capacity x headroom: the empty plan is optimal
    OPTIMAL = "optimal"  # least overload, and proven to need the fewest migrations for it
    FEASIBLE = "feasible"  # ends the overload as far as it knows; the gap says how far from proven
    GREEDY = "greedy"  # the solver had no answer in its budget; this is the fallback's
    REFUSED = "refused"  # the checker found a fault; nothing may be executed


@dataclass(frozen=True)
class Move:
    """One order param's planned way from shard to shard, with its reason in words."""

    order_param: str
    source: str
    destination: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The planner's answer.

    Attributes:
        moves: in the order in which they should be carried out (most urgent first).
        cost: sum of the move costs.
        bound: proven lower bound on the cost of any plan with as little overload.
        gap: (cost - bound) / cost, 0 when the cost is 0.
        overload_before, overload_after: sum over shards, steps and resources of the load above capacity x headroom, as
            a share of capacity.
        unresolved: why some overload stays, in words; empty if none does.
        solve_s: time spent.
    """

    status: PlanStatus
    moves: tuple[Move, ...]
    cost: float
    bound: float
    overload_before: float
    overload_after: float
    unresolved: tuple[str, ...]
    solve_s: float

    @property
    def gap(self) -> float:
        """Relative distance to the bound; 0 for an optimal plan."""
        return 0.0 if self.cost <= self.bound else (self.cost - self.bound) / self.cost
