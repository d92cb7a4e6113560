"""What a plan says: reasons, order of moves."""

import numpy as np
from plan_builders import problem

from optimizer.packing import pack
from optimizer.planner import CpSatPlanner
from optimizer.sequencing import sequence


def test_a_move_says_what_would_overload_when_and_what_becomes_of_the_destination():
    """The reason names level, time in UTC, source, utilisation, resource, limit, and the destination's worst."""
    plan = CpSatPlanner().plan(problem([[0.3, 0.5], [0.4, 0.7], [0.1, 0.1]], [0, 0, 1], headroom=0.8))
    assert plan.moves[0].reason.startswith(
        "p90 at 22:30 would put shard shard-0 at 120 % of CPU (limit 80 %); shard-1 stays at"
    )


def test_a_swap_partner_says_for_whom_it_makes_room():
    """An order param that leaves a shard that is fine is moved for another's sake, and says for whose."""
    pinned = [False, True, False, True]
    plan = CpSatPlanner().plan(problem([0.8, 0.3, 0.6, 0.15], [0, 0, 1, 1], movable=pinned))
    reasons = {move.order_param: move.reason for move in plan.moves}
    assert set(reasons) == {"op-1", "op-3"}
    assert reasons["op-3"].startswith("makes room on shard-1 for order param op-1, which leaves shard-0; shard-0 stays at")


def test_room_is_made_before_it_is_used():
    """What leaves a full shard goes before what comes to it, though what comes is from the shard that overloads."""
    packing = pack(problem([0.9, 0.3, 0.5, 0.4], [0, 0, 1, 1], shards=3))
    assert sequence(packing, np.array([0, 1, 2, 1])) == [2, 1]


def test_the_earliest_overload_is_relieved_first():
    """Of two hot shards the one that overloads first comes first, though the other overloads more."""
    load = [[0.6, 0.6], [0.6, 0.6], [0.1, 0.9], [0.1, 0.9], [0.0, 0.0]]
    packing = pack(problem(load, [0, 0, 1, 1, 2], shards=4))
    moved = packing.current.copy()
    moved[[1, 3]] = [2, 3]
    assert sequence(packing, moved) == [1, 3]
