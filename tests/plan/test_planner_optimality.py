"""The planner against brute force, on problems small enough to try every allocation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plan_builders import brute_force, problem, zipf_problem

from optimizer.checker import PlanVerifier
from optimizer.eviction import evict, settle
from optimizer.packing import pack
from optimizer.planner import CompositePlanner
from plb_ray.domain.plan import NOWHERE, PlanBudget, PlanMode, PlanStatus, Termination

PLANNER = CompositePlanner()
SMALL = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tiny_problems(draw):
    """Up to 6 order params, 3 shards, 2 steps, every rule; loads of whole hundredths so that ties occur, or of any float."""
    count, shards, steps = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    hundredths = st.integers(0, 70).map(lambda units: units / 100)
    floats = st.integers(0, 10**6).map(lambda millionths: 0.7 * millionths / 10**6)
    numbers = draw(st.sampled_from([hundredths, floats]))
    resources = draw(st.sampled_from([1, 3]))
    load = draw(st.lists(numbers, min_size=count * steps * resources, max_size=count * steps * resources))
    load = np.array(load).reshape(count, steps, resources)
    load = np.concatenate([load, np.zeros((count, steps, 3 - resources))], axis=2)
    costs = draw(st.sampled_from([st.just(1.0), st.integers(0, 5).map(float), st.floats(0.5, 3.0)]))
    lowest = draw(st.sampled_from([0, 0, 0, NOWHERE]))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, shards - 1))
    return problem(
        load,
        draw(st.lists(st.integers(lowest, shards - 1), min_size=count, max_size=count)),
        shards,
        capacity=draw(st.lists(st.sampled_from([1.0, 2.0]), min_size=shards, max_size=shards)),
        headroom=draw(st.sampled_from([1.0, 0.8])),
        cost=draw(st.lists(costs, min_size=count, max_size=count)),
        pinned=draw(st.just([False] * count) | st.lists(st.booleans(), min_size=count, max_size=count)),
        draining=draw(st.just(()) | st.sets(st.integers(0, shards - 1), max_size=1).map(tuple)),
        group=draw(st.none() | st.lists(st.integers(-1, 1), min_size=count, max_size=count)),
        forbidden=draw(st.just(()) | st.sets(pairs, max_size=2).map(tuple)),
        moves_max=draw(st.just(6) | st.integers(0, 6)),
        wall_s=5.0,
    )


@SMALL
@given(tiny_problems())
@example(problem([0.2] * 5, [0, 0, 0, 0, 0], headroom=0.8))
def test_the_plan_is_optimal_at_every_goal(plan_problem):
    """Broken rules, overload and cost are exactly the least that brute force finds, and the checker finds no fault."""
    plan = PLANNER.plan(plan_problem)
    broken, overload, cost = brute_force(plan_problem)
    assert PlanVerifier().check(plan_problem, plan) == ()
    assert plan.broken_after == broken
    assert plan.overload_after == pytest.approx(overload, abs=1e-5)
    assert plan.cost == pytest.approx(cost, rel=1e-6, abs=1e-9)


@SMALL
@given(tiny_problems())
def test_the_bound_is_never_above_the_optimum(plan_problem):
    """The lower bound that a plan reports holds for the cheapest plan with as little overload."""
    plan = PLANNER.plan(plan_problem)
    _, _, cost = brute_force(plan_problem)
    assert plan.bound <= cost + 1e-6
    if plan.status is PlanStatus.OPTIMAL:
        assert plan.bound == pytest.approx(cost, rel=1e-5)


@SMALL
@given(tiny_problems())
def test_the_eviction_bound_holds_wherever_everything_can_be_mended(plan_problem):
    """LB0 is at most the cost of the cheapest plan that ends all overload and all broken rules, if there is one."""
    broken, overload, cost = brute_force(plan_problem)
    if broken == 0 and overload == 0:
        eviction = evict(pack(plan_problem))
        assert not eviction.cannot.any()
        assert eviction.bound <= cost + 1e-9


def test_deciding_an_open_knapsack_only_raises_the_bound():
    """Settling a shard keeps LB0 below the cost of a plan that is known, and not below what it was."""
    packing = pack(zipf_problem(600, 6, 2, seed=4, utilisation=0.7))
    eviction = evict(packing)
    hot = int(np.argmax(eviction.lower))
    settled = settle(packing, eviction, hot)
    assert eviction.bound <= settled.bound <= float(packing.cost[settled.leaves].sum()) + 1e-9
    relieved = packing.use_now[hot] - packing.load[settled.leaves & (packing.current == hot)].sum(axis=0)
    assert (relieved <= packing.limit[hot]).all()


def test_a_swap_is_found_where_no_single_move_helps():
    """Two full shards, hot on different resources: only swapping a CPU-heavy with an I/O-heavy order param ends it."""
    cpu, io = [0.6, 0.0, 0.2], [0.2, 0.0, 0.6]
    plan = PLANNER.plan(problem(np.array([cpu, cpu, io, io])[:, None, :], [0, 0, 1, 1]))
    assert (plan.overload_after, len(plan.moves), plan.status) == (0, 2, PlanStatus.OPTIMAL)


def test_swaps_are_found_on_shards_too_many_for_the_exact_model():
    """Forty pairs of full shards, each pair hot on two resources: eighty moves, two a pair, without the exact stage."""
    pairs = 40
    rng = np.random.default_rng(5)
    cpu, io = [0.6, 0.0, 0.2], [0.2, 0.0, 0.6]
    noise = rng.uniform(0.98, 1.0, (4 * pairs, 3))
    load = np.tile(np.array([cpu, cpu, io, io]), (pairs, 1)) * noise
    current = np.repeat(np.arange(2 * pairs), 2)
    crumbs = np.full((600, 3), 1e-4)  # too many choices for the exact model
    plan_problem = problem(
        np.concatenate([load, crumbs])[:, None, :], [*current, *rng.integers(0, 2 * pairs, 600)], 2 * pairs, moves_max=10**6
    )
    plan = PLANNER.plan(plan_problem)
    assert plan.overload_after == 0
    assert len(plan.moves) <= 1.1 * 2 * pairs
    assert PlanVerifier().check(plan_problem, plan) == ()


@pytest.mark.parametrize("utilisation", [0.72, 0.8])
def test_the_same_work_gives_the_same_plan(utilisation):
    """With a work budget and no wall limit in sight, two runs agree in every move, bound and reason."""
    plan_problem = zipf_problem(900, 40, 2, seed=5, utilisation=utilisation)
    plan_problem = replace(plan_problem, budget=PlanBudget(wall_s=600.0, work=4_000, gap=0.0, moves=10**6))
    first, second = PLANNER.plan(plan_problem), PLANNER.plan(plan_problem)
    assert first.moves
    assert replace(first, solve_s=0, first_sound_s=0) == replace(second, solve_s=0, first_sound_s=0)


def test_another_seed_searches_elsewhere_and_is_no_less_sound():
    """The seed may change the moves, never the verdict: both plans end the overload within their bounds."""
    plan_problem = zipf_problem(900, 40, 2, seed=5, utilisation=0.8)
    for seed in (1, 2):
        plan = PLANNER.plan(replace(plan_problem, budget=PlanBudget(wall_s=60.0, work=2_000, seed=seed)))
        assert (plan.overload_after, plan.bound <= plan.cost) == (0, True)


@pytest.mark.parametrize(("order_params", "shards", "steps"), [(224, 4, 4), (2000, 20, 4), (10_000, 100, 1)])
def test_large_problems_end_their_overload_near_the_bound(order_params, shards, steps):
    """At the demo's size and far above it the overload ends, at most at 1.35 times the bound, and the checker agrees."""
    plan_problem = zipf_problem(order_params, shards, steps, seed=3, wall_s=2.0)
    plan = PLANNER.plan(plan_problem)
    assert plan.overload_before > 0
    assert plan.overload_after == 0
    assert plan.cost <= 1.35 * plan.bound
    assert PlanVerifier().check(plan_problem, plan) == ()


@pytest.mark.parametrize("mode", [PlanMode.BALANCE, PlanMode.CONSOLIDATE, PlanMode.ALLOCATE])
def test_a_mode_that_spends_on_more_claims_no_more_than_relief(mode):
    """What balance, consolidation or a fresh allocation cost beyond relief is not said to be needed to end the overload."""
    stated = zipf_problem(200, 8, 1, seed=3, utilisation=0.5, wall_s=2.0)
    relief, more = PLANNER.plan(stated), PLANNER.plan(replace(stated, mode=mode))
    assert PlanVerifier().check(replace(stated, mode=mode), more) == ()
    assert more.cost > relief.cost
    assert more.bound <= relief.cost + 1e-9
    assert (more.status, more.termination) != (PlanStatus.OPTIMAL, Termination.PROVEN)
