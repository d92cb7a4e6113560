"""An independent verdict on an allocation, from the problem's own numbers; shares no code with the optimizer.

`PlanVerifier` is the product's checker; this one exists so that a benchmark does not rest on the product alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-8  # a limit counts as kept up to this share of it: the product states 1e-9 and its rounding below


@dataclass(frozen=True)
class Verdict:
    """What an allocation is worth.

    Attributes:
        overload: weighted sum of load above capacity x headroom.
        hot: shards above some limit.
        broken: order params where no rule lets them be, and members too many of a spread group on one shard.
        forbidden_moves: moves of pinned order params, or onto a draining or closed shard.
        cost, moves: of the migrations.
        max_utilisation: highest load / capacity.
    """

    overload: float
    hot: int
    broken: int
    forbidden_moves: int
    cost: float
    moves: int
    max_utilisation: float

    @property
    def sound(self) -> bool:
        """No overload, nothing broken, nothing moved that may not."""
        return self.overload == 0 and self.broken == 0 and self.forbidden_moves == 0


def judge(problem, owner) -> Verdict:
    """Return the verdict on `owner` (K,), the shard of each order param."""
    rules = problem.rules
    limit = (problem.capacity * problem.headroom[:, None])[:, None, :]  # (S, 1, R)
    use = _use(problem, owner)
    beyond = np.where(use > limit * (1 + ROUNDING), use - limit, 0.0)
    moved = owner != problem.current
    onto = owner[moved]
    return Verdict(
        overload=float((beyond * problem.overload_weight[:, None, :]).sum()),
        hot=int((beyond > 0).any(axis=(1, 2)).sum()),
        broken=int(_misplaced(problem, owner).sum()) + _crowded(rules.spread_group, owner),
        forbidden_moves=int(
            (rules.pinned[moved] & (problem.current[moved] >= 0)).sum() + (rules.draining | rules.closed)[onto].sum()
        ),
        cost=float(problem.move_cost[moved].sum()),
        moves=int(moved.sum()),
        max_utilisation=float((use / problem.capacity[:, None, :]).max()),
    )


def owner_after(problem, plan):
    """Return (K,): the shard of each order param after a plan's moves.

    Raises:
        ValueError: a move starts where its order param is not, or an order param moves twice.
    """
    row = {name: k for k, name in enumerate(problem.order_params)} if plan.moves else {}
    shard = {name: s for s, name in enumerate(problem.shards)}
    owner = problem.current.copy()
    for move in plan.moves:
        k = row.pop(move.order_param, None)
        if k is None or shard.get(move.source, -1) != owner[k]:
            raise ValueError(f"{move} does not start from the mapping")
        owner[k] = shard[move.destination]
    return owner


def _use(problem, owner):
    """Return (S, T, R)."""
    use = np.zeros((len(problem.shards), *problem.load.shape[1:]))
    for step in range(use.shape[1]):
        for resource in range(use.shape[2]):
            use[:, step, resource] = np.bincount(owner, weights=problem.load[:, step, resource], minlength=len(use))
    return use if problem.in_flight is None else use + problem.in_flight


def _misplaced(problem, owner):
    """Return (K,): on a draining or forbidden shard, or in a wrong zone."""
    rules = problem.rules
    bad = rules.draining[owner]
    for number, zones in enumerate(rules.zone_sets):
        bad |= (rules.zone_set == number) & ~np.isin(rules.zone[owner], list(zones))
    if len(rules.forbidden):
        rows, shards = rules.forbidden.T
        bad[rows] |= owner[rows] == shards
    return bad


def _crowded(group, owner):
    """Return how many members of spread groups are beside another, all but one of each place."""
    inside = group >= 0
    places = np.stack([group[inside], owner[inside]], axis=1)
    return len(places) - len(np.unique(places, axis=0))
