"""The planner against brute force, on problems small enough to try every allocation."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plan_builders import brute_force, problem, zipf_problem

from optimizer.bound import cover_bound, eviction_bound
from optimizer.checker import PlanVerifier
from optimizer.greedy import relieve
from optimizer.packing import pack
from optimizer.planner import CpSatPlanner
from plb_ray.domain.plan import PlanStatus

PLANNER = CpSatPlanner()
SMALL = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tiny_problems(draw):
    """Up to 6 order params, 3 shards, 2 steps; loads of whole hundredths so that ties occur, or of any float."""
    count, shards, steps = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    hundredths = st.integers(0, 70).map(lambda units: units / 100)
    floats = st.integers(0, 10**6).map(lambda millionths: 0.7 * millionths / 10**6)
    numbers = draw(st.sampled_from([hundredths, floats]))
    resources = draw(st.sampled_from([1, 3]))
    load = draw(st.lists(numbers, min_size=count * steps * resources, max_size=count * steps * resources))
    load = np.array(load).reshape(count, steps, resources)
    load = np.concatenate([load, np.zeros((count, steps, 3 - resources))], axis=2)
    costs = draw(st.sampled_from([st.just(1.0), st.integers(1, 5).map(float), st.floats(0.5, 3.0)]))
    return problem(
        load,
        draw(st.lists(st.integers(0, shards - 1), min_size=count, max_size=count)),
        shards,
        capacity=draw(st.lists(st.sampled_from([1.0, 2.0]), min_size=shards, max_size=shards)),
        headroom=draw(st.sampled_from([1.0, 0.8])),
        cost=draw(st.lists(costs, min_size=count, max_size=count)),
        movable=draw(st.just([True] * count) | st.lists(st.booleans(), min_size=count, max_size=count)),
        draining=draw(st.just(set()) | st.sets(st.integers(0, shards - 1), max_size=1)),
        budget_moves=draw(st.just(6) | st.integers(0, 6)),
        budget_s=5.0,
    )


@SMALL
@given(tiny_problems())
@example(problem([0.2] * 5, [0, 0, 0, 0, 0], headroom=0.8))
def test_the_plan_is_optimal_at_both_goals(plan_problem):
    """Overload and then cost are exactly the least that brute force finds, and the checker finds no fault."""
    plan = PLANNER.plan(plan_problem)
    overload, cost = brute_force(plan_problem)
    assert PlanVerifier().check(plan_problem, plan) == ()
    assert plan.overload_after == pytest.approx(overload, abs=1e-5)
    assert plan.cost == pytest.approx(cost, rel=1e-6)


@SMALL
@given(tiny_problems())
def test_the_bound_is_never_above_the_optimum(plan_problem):
    """The lower bound that a plan reports holds for the cheapest plan with as little overload."""
    plan = PLANNER.plan(plan_problem)
    _, cost = brute_force(plan_problem)
    assert plan.bound <= cost + 1e-6
    if plan.status is PlanStatus.OPTIMAL:
        assert plan.bound == pytest.approx(cost, rel=1e-5)


@SMALL
@given(tiny_problems())
def test_the_eviction_bound_holds_wherever_overload_can_be_ended(plan_problem):
    """LB0 is at most the cost of the cheapest plan that ends all overload, if there is one."""
    overload, cost = brute_force(plan_problem)
    bound = eviction_bound(pack(plan_problem))
    if overload == 0:
        assert bound.possible
        assert bound.total <= cost + 1e-9


@SMALL
@given(tiny_problems())
def test_greedy_is_allowed_and_never_worse_than_staying(plan_problem):
    """Greedy relief keeps every rule and never adds overload."""
    packing = pack(plan_problem)
    shard_of = relieve(packing, in_time=lambda: True)
    assert packing.allows(shard_of)
    assert packing.score(shard_of).overload <= packing.score(packing.current).overload


@SMALL
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=8),
    st.integers(1, 30),
    st.sampled_from([1.0, 0.37]),
)
def test_the_covering_bound_is_below_every_cover(items, excess, scale):
    """No subset of items covers the excess at less than the bound, with whole and with broken costs."""
    load, cost = np.array(items, dtype=float).T * np.array([[1.0], [scale]])
    bound, moves = cover_bound(load, cost, float(excess))
    chosen = ((np.arange(2 ** len(items))[:, None] >> np.arange(len(items))) & 1).astype(bool)  # every subset
    covers = chosen @ load >= excess
    assert np.isfinite(bound) == bool(covers.any())
    if covers.any():
        assert bound <= (chosen @ cost)[covers].min() + 1e-9
        assert moves <= chosen.sum(axis=1)[covers].min()


def test_a_swap_is_found_where_no_single_move_helps():
    """Two full shards, hot on different resources: only swapping a CPU-heavy with an I/O-heavy order param ends it."""
    cpu, io = [0.6, 0.0, 0.2], [0.2, 0.0, 0.6]
    load = np.array([cpu, cpu, io, io])[:, None, :]
    plan_problem = problem(load, [0, 0, 1, 1])
    for shard_of in (relieve(pack(plan_problem), in_time=lambda: True),):
        assert pack(plan_problem).score(shard_of).overload == 0
    plan = PLANNER.plan(plan_problem)
    assert (plan.overload_after, len(plan.moves), plan.status) == (0, 2, PlanStatus.OPTIMAL)


def test_the_same_problem_gets_the_same_plan():
    """With the search cut short by deterministic time and never by the clock, two runs agree in every move."""
    plan_problem = zipf_problem(80, 4, 2, seed=5, utilisation=0.72)
    planner = CpSatPlanner(now_s=lambda: 0.0)  # the wall clock stands still
    first, second = planner.plan(plan_problem), planner.plan(plan_problem)
    assert first.moves
    assert first == second


@pytest.mark.parametrize(("order_params", "shards", "budget_s"), [(224, 4, 0.3), (2000, 20, 1.0)])
def test_large_problems_are_answered_within_the_budget(order_params, shards, budget_s):
    """At the demo's size and at ten times it the overload ends, the answer is verified, and time is kept."""
    plan_problem = zipf_problem(order_params, shards, 4, seed=3, budget_s=budget_s)
    plan = PLANNER.plan(plan_problem)
    assert plan.overload_before > 0
    assert plan.overload_after == 0
    assert PlanVerifier().check(plan_problem, plan) == ()
    assert plan.solve_s < 3 * budget_s + 1  # generous: the machine may be busy


def test_beyond_the_exact_models_size_the_bound_is_the_evictions():
    """A part model proves nothing about the whole: the bound that is reported is the eviction bound alone."""
    plan_problem = zipf_problem(2000, 20, 4, seed=3)
    plan = PLANNER.plan(plan_problem)
    assert plan.overload_after == 0
    assert plan.bound == pytest.approx(eviction_bound(pack(plan_problem)).total)
