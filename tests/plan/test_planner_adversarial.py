"""Problems made to be awkward: what the planner does, and what it says about it."""

import numpy as np
import pytest
from plan_builders import problem

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.domain.plan import PlanStatus, Termination

PLANNER = CompositePlanner()


def planned(plan_problem):
    """Plan, and let the checker agree."""
    plan = PLANNER.plan(plan_problem)
    assert PlanVerifier().check(plan_problem, plan) == ()
    return plan


def test_without_overload_there_is_nothing_to_plan():
    """Shards exactly at their limit are not over it: the empty plan, at once, even with a budget of no time."""
    plan = planned(problem([0.4, 0.4, 0.8], [0, 0, 1], headroom=0.8, wall_s=0.0))
    assert (plan.status, plan.moves, plan.bound, plan.gap) == (PlanStatus.NOT_NEEDED, (), 0, 0)


def test_zero_loads_need_nothing():
    """Order params without load overload nothing."""
    assert planned(problem(np.zeros((3, 2)), [0, 0, 1])).status is PlanStatus.NOT_NEEDED


def test_an_empty_cluster_needs_nothing():
    """No shards and no order params make an empty plan, not an error."""
    assert planned(problem(np.zeros((0, 1)), [], shards=0)).status is PlanStatus.NOT_NEEDED


def test_all_shards_full_says_how_much_is_missing():
    """Where the sum of all loads exceeds all shards, nothing moves and the words say what is lacking."""
    plan = planned(problem([0.6] * 4, [0, 0, 1, 1]))
    assert plan.moves == ()
    assert plan.overload_after == pytest.approx(plan.overload_before)
    assert "all shards together lack 20 % of CPU; about 1 more shard needed" in plan.unresolved[0]
    assert plan.bound == 0


def test_a_giant_order_param_is_named():
    """An order param larger than any shard stays where it is, is named, and the others still leave its shard."""
    plan = planned(problem([1.3, 0.2, 0.1], [0, 0, 1]))
    assert [move.order_param for move in plan.moves] == ["op-1"]
    assert plan.overload_after == pytest.approx(0.3)
    assert "order param op-0 alone needs 130 % of the CPU of the largest shard" in plan.unresolved[0]


def test_equal_sizes_move_as_few_as_must():
    """Of twelve equal order params on one of four shards the least number leaves that ends the overload."""
    plan = planned(problem([0.1] * 12, [0] * 12, shards=4, headroom=0.8))
    assert (len(plan.moves), plan.status, plan.overload_after) == (4, PlanStatus.OPTIMAL, 0)


def test_immovable_order_params_stay():
    """With everything pinned the plan is empty and says so."""
    plan = planned(problem([0.7, 0.7], [0, 0], pinned=[True, True]))
    assert plan.moves == ()
    assert "none of its order params with load may move now" in plan.unresolved[0]


def test_draining_shards_receive_nothing():
    """The only shard with room is draining, so the overload stays, with that reason."""
    plan = planned(problem([0.7, 0.7], [0, 0], draining=(1,)))
    assert plan.moves == ()
    assert "no other shard that takes order params" in plan.unresolved[0]


def test_a_lone_shard_has_nowhere_to_send():
    """One shard alone cannot be relieved."""
    assert planned(problem([0.7, 0.7], [0, 0], shards=1)).overload_after == pytest.approx(0.4)


def test_the_move_budget_takes_the_best_subset():
    """Three moves would be needed and one is allowed: the one that takes most away, and the rest is explained."""
    plan = planned(problem([0.5, 0.4, 0.3, 0.6], [0, 0, 0, 0], shards=4, headroom=0.6, moves_max=1))
    assert [move.order_param for move in plan.moves] == ["op-3"]
    assert plan.overload_after == pytest.approx(0.6)
    assert "this plan may have only 1 moves and uses them all" in plan.unresolved[0]


def test_a_budget_of_no_moves_moves_nothing():
    """With no moves allowed the current mapping stays and is explained."""
    plan = planned(problem([0.7, 0.7], [0, 0], moves_max=0))
    assert plan.moves == ()
    assert plan.unresolved


def test_no_time_still_gives_the_first_plan():
    """With no budget at all the first stages run to their end: the answer is sound, and proven or out of time."""
    plan = planned(problem([0.7, 0.7], [0, 0], wall_s=0.0))
    assert (plan.overload_after, len(plan.moves)) == (0, 1)
    assert plan.termination in (Termination.DEADLINE, Termination.PROVEN)


def test_loads_at_different_steps_are_not_added_up():
    """Two order params that peak at different times share a shard: the sum counts, not the sum of peaks."""
    assert planned(problem([[0.9, 0.1], [0.1, 0.9]], [0, 0])).status is PlanStatus.NOT_NEEDED


def test_an_infinite_capacity_is_no_limit_and_a_capacity_of_zero_is_one():
    """A shard without a limit takes any load; one with a capacity of 0 holds nothing, and what is there leaves it."""
    load = [[[0.1, 0.0, 50.0]]]
    assert planned(problem(load, [0], shards=1, capacity=np.array([[1.0, np.inf, np.inf]]))).status is PlanStatus.NOT_NEEDED
    plan = planned(problem(load, [0], shards=2, capacity=np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 60.0]])))
    assert [move.destination for move in plan.moves] == ["shard-1"]


def test_larger_shards_hold_more():
    """Loads are shares of each shard's own capacity: the giant goes to the shard of twice the size."""
    plan = planned(problem([1.3, 0.2], [0, 0], capacity=[1.0, 2.0]))
    assert [(move.order_param, move.destination) for move in plan.moves] == [("op-0", "shard-1")]
    assert plan.overload_after == 0


def test_among_equal_costs_the_plan_leaves_most_margin():
    """Of two shards with room the emptier one receives, so that the next tick does not move it again."""
    plan = planned(problem([0.6, 0.6, 0.3, 0.1], [0, 0, 1, 2], shards=3))
    assert [move.destination for move in plan.moves] == ["shard-2"]


def test_companions_leave_a_giant_though_moves_are_few():
    """Beside an order param larger than a shard only those stay that the budget of moves does not reach, the small ones."""
    load = [1.5, *np.linspace(0.01, 0.04, 12), 0.6, 0.6]
    plan = planned(problem(load, [0] * 13 + [1, 2], shards=3, pinned=[13, 14], moves_max=4, wall_s=0.05))
    assert {move.order_param for move in plan.moves} == {"op-9", "op-10", "op-11", "op-12"}
    assert plan.overload_after == pytest.approx(0.5 + sum(load[1:9]))
