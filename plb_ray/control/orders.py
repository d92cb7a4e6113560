"""What the operator has ordered: it stands until it is withdrawn, and every decision keeps to it. Plain values, no IO."""

from __future__ import annotations

from dataclasses import dataclass, field

from plb_ray.control.views import Mode


@dataclass(frozen=True)
class Orders:
    """Standing orders.

    Attributes:
        mode: what the balancer may do.
        paused: nothing is planned or sent until the operator resumes; migrations under way go on.
        approval: moves wait until the operator approves the plan they are of.
        pinned: order params that stay where they are.
        forbidden: shards that an order param may not be on, by order param.
        spread_groups: sets of order params of which no two may share a shard.
        draining: shards that are to be emptied and take nothing.
    """

    mode: Mode = Mode.PREDICTIVE
    paused: bool = False
    approval: bool = False
    pinned: frozenset[str] = frozenset()
    forbidden: dict[str, frozenset[str]] = field(default_factory=dict)
    spread_groups: tuple[frozenset[str], ...] = ()
    draining: frozenset[str] = frozenset()
