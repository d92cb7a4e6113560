"""Hand-made plans: sound ones that the checker must accept, and for each fault one that it must refuse for that fault."""

from __future__ import annotations

import ast
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from plan_builders import problem, zipf_problem

from optimizer.checker import PlanVerifier
from plb_ray.domain.plan import Move, Plan, PlanMode, PlanStatus, Termination

INF = float("inf")


def move(order_param, source, destination, **more):
    """Build a move; numbers are positions, a source of None is no shard."""
    via = f"shard-{more.pop('via')}" if "via" in more else ""
    names = f"op-{order_param}", "" if source is None else f"shard-{source}", f"shard-{destination}"
    return Move(*names, **{"reason": "because", "via": via, **more})


def plan(
    *moves, status=PlanStatus.OPTIMAL, cost=1.0, bound=None, broken=(0, 0), overload=(0.0, 0.0), top=0.0, unresolved=()
):
    """Build a plan. `broken` and `overload` are before and after, `top` is the highest utilisation."""
    return Plan(
        status=status,
        termination=Termination.PROVEN,
        moves=moves,
        cost=cost,
        bound=cost if bound is None else bound,
        broken_before=broken[0],
        broken_after=broken[1],
        overload_before=overload[0],
        overload_after=overload[1],
        max_utilisation=top,
        unresolved=unresolved,
        solve_s=0.1,
    )


def faults(plan_problem, a_plan):
    return PlanVerifier().check(plan_problem, a_plan)


# shard-0 holds 6 + 5 of 10, shard-1 3, shard-2 nothing: one of the two must go
HOT = problem([6, 5, 3], [0, 0, 1], 3, capacity=10, weight=np.ones((3, 3)))
RELIEF = plan(move(1, 0, 2), overload=(1.0, 0.0), top=0.6)


def hot(**more):
    return problem([6, 5, 3], [0, 0, 1], 3, **{"capacity": 10, "weight": np.ones((3, 3)), **more})


def relief(**changes):
    return replace(RELIEF, **changes)


def relief_move(**changes):
    return relief(moves=(replace(RELIEF.moves[0], **changes),))


PARTIAL = PlanStatus.PARTIAL
TWO_AT_ONCE = (move(1, 0, 2), move(2, 1, 2))
# 8 of 10 on each of two shards, to be swapped; shard-2 has room for either
SWAP = problem([8, 8], [0, 1], 3, capacity=10, forbidden=[(0, 0), (1, 1)])
BY_WAY = (move(0, 0, 1, via=2, via_wave=1, wave=3), move(1, 1, 0, wave=2))
# one order param of 18 fits no shard of 10; two or three parts do
GIANT = problem([18, 1], [0, 1], 4, capacity=10, weight=np.ones((4, 3)), segments=3)
HALVES = (move(0, 0, 2, segment=1), move(0, 0, 3, segment=2))
GONE = problem([4, 4], [0, 0], 2, capacity=10, draining=[0])

SOUND = {
    "relief": (HOT, RELIEF),
    "nothing to do": (hot(headroom=1.1), plan(status=PlanStatus.NOT_NEEDED, cost=0.0, top=1.1)),
    "no order params": (problem(np.zeros((0, 1, 3)), [], 2), plan(status=PlanStatus.NOT_NEEDED, cost=0.0)),
    "no shards": (
        problem([1.0], [-1], 0),
        plan(status=PARTIAL, cost=0.0, broken=(1, 1), unresolved=("op-0 has no shard: there is none",)),
    ),
    "first placement costs nothing": (
        problem([4, 4], [-1, 0], 2, capacity=10),
        plan(move(0, None, 1), cost=0.0, broken=(1, 0), top=0.4),
    ),
    "a pinned order param without a shard is placed": (
        problem([4, 4], [-1, 0], 2, capacity=10, pinned=[0]),
        plan(move(0, None, 1), cost=0.0, broken=(1, 0), top=0.4),
    ),
    "drained rule": (GONE, plan(move(0, 0, 1), move(1, 0, 1), cost=2.0, broken=(2, 0), top=0.8)),
    "drain mode": (
        replace(GONE, rules=HOT.rules.none(2, 2), mode=PlanMode.DRAIN, focus=(0,)),
        plan(move(0, 0, 1), move(1, 0, 1), cost=2.0, broken=(2, 0), top=0.8),
    ),
    "add mode": (hot(mode=PlanMode.ADD, focus=(2,)), RELIEF),
    "allocate may be worse than what it forgets": (
        hot(mode=PlanMode.ALLOCATE),
        plan(
            *(move(0, 0, 2), move(1, 0, 2), move(2, 1, 2)),
            status=PARTIAL,
            cost=3.0,
            overload=(1.0, 4.0),
            top=1.4,
            unresolved=("shard shard-2 stays over",),
        ),
    ),
    "what stays is said": (
        hot(pinned=[0, 1]),
        plan(
            status=PARTIAL, cost=0.0, overload=(1.0, 1.0), top=1.1, unresolved=("shard shard-0 stays at 110 %: all pinned",)
        ),
    ),
    "the least is optimal, and said": (
        hot(pinned=[0, 1]),
        plan(cost=0.0, overload=(1.0, 1.0), top=1.1, unresolved=("shard shard-0 stays at 110 %",)),
    ),
    "a shard of capacity 0 in use": (
        problem([1.0], [0], 2, capacity=[0, 0], pinned=[0]),
        plan(status=PARTIAL, cost=0.0, overload=(1.0, 1.0), top=INF, unresolved=("shard-0 has no capacity",)),
    ),
    "an unlimited shard": (
        problem([50.0, 1.0], [0, 1], 2, capacity=[INF, 10]),
        plan(status=PlanStatus.NOT_NEEDED, cost=0.0, top=0.1),
    ),
    "a running migration's load": (
        hot(in_flight=[0, 0, 2]),
        plan(move(1, 0, 2), overload=(1.0, 0.0), top=0.7),
    ),
    "a swap by way of a third shard": (SWAP, plan(*BY_WAY, cost=2.0, broken=(2, 0), top=0.8)),
    "a swap over the limit that is said": (
        SWAP,
        plan(
            *(move(0, 0, 1), move(1, 1, 0)),
            cost=2.0,
            broken=(2, 0),
            top=0.8,
            unresolved=("order params op-0, op-1 must go over the limit on its way: no third shard has room",),
        ),
    ),
    "halves on two shards": (GIANT, plan(*HALVES, overload=(8.0, 0.0), top=0.9)),
    "thirds of which one stays": (
        GIANT,
        plan(move(0, 0, 2, segment=2), move(0, 0, 3, segment=3), cost=2 / 3, overload=(8.0, 0.0), top=0.6),
    ),
    "the planner may count the parts of a giant": (
        GIANT,
        plan(
            move(0, 0, 2, segment=3),
            cost=1 / 3,
            status=PARTIAL,
            broken=(2, 1),
            overload=(8.0, 2.0),
            top=1.2,
            unresolved=("op-0 stays in two parts on shard-0: the moves are used up",),
        ),
    ),
    "a group kept apart": (
        hot(group=[0, 1, 1]),
        RELIEF,
    ),
    "a member that leaves in time": (
        hot(group=[-1, 7, 7]),
        plan(move(2, 1, 2), move(1, 0, 1, wave=2), cost=2.0, overload=(1.0, 0.0), top=0.6),
    ),
    "a group that stays crowded, and is said": (
        problem([1, 1], [0, 0], 2, capacity=10, group=[0, 0], pinned=[0, 1]),
        plan(status=PARTIAL, cost=0.0, broken=(1, 1), top=0.2, unresolved=("op-1 is pinned beside op-0",)),
    ),
    "broken rules may fall at the price of overload": (
        problem([6, 6], [0, 1], 2, capacity=10, weight=np.ones((2, 3)), draining=[0]),
        plan(
            move(0, 0, 1),
            status=PARTIAL,
            broken=(1, 0),
            overload=(0.0, 2.0),
            top=1.2,
            unresolved=("shard-1 stays at 120 %",),
        ),
    ),
    "rounding is no overload": (
        problem([0.5, 0.5000002], [0, 0], 2),
        plan(status=PlanStatus.NOT_NEEDED, cost=0.0, top=1.0000002),
    ),
    "a planner may take rounding for overload": (
        problem([0.5, 0.5000002], [0, 0], 2, pinned=[0, 1]),
        plan(status=PARTIAL, cost=0.0, overload=(2e-7, 2e-7), top=1.0000002, unresolved=("shard-0 stays over",)),
    ),
}

BAD_MOVE = {
    "no such order param": (HOT, relief_move(order_param="op-9"), "there is no such order param"),
    "no such destination": (HOT, relief_move(destination="shard-9"), "there is no such destination"),
    "wrong source": (HOT, relief_move(source="shard-1"), "it is on shard-0"),
    "no source": (HOT, relief_move(source=""), "it is on shard-0"),
    "a source for what has none": (
        problem([4, 4], [-1, 0], 2, capacity=10),
        plan(move(0, 0, 1), broken=(1, 0), top=0.4),
        "it is on no shard",
    ),
    "to itself": (HOT, relief_move(destination="shard-0"), "source and destination are the same"),
    "no reason": (HOT, relief_move(reason=" "), "no reason is given"),
    "wave 0": (HOT, relief_move(wave=0), "its wave is 0"),
    "pinned": (hot(pinned=[1]), RELIEF, "it is pinned"),
    "draining": (hot(draining=[2]), RELIEF, "shard shard-2 is to be emptied"),
    "drained by the mode": (hot(mode=PlanMode.DRAIN, focus=(2,)), RELIEF, "shard shard-2 is to be emptied"),
    "closed": (hot(closed=[2]), RELIEF, "shard shard-2 takes no order params now"),
    "not added": (hot(mode=PlanMode.ADD, focus=(1,)), RELIEF, "shard shard-2 is none of the added shards"),
    "zone": (hot(zones=[1, 1, 2], allowed_zones={1: {1}}), RELIEF, "shard shard-2 is in a zone that it may not be in"),
    "forbidden": (hot(forbidden=[(1, 2)]), RELIEF, "shard shard-2 is forbidden to it"),
    "twice": (HOT, relief(moves=(move(1, 0, 2), move(1, 0, 1))), "order param op-1 is moved 2 times"),
    "whole and split": (
        GIANT,
        plan(move(0, 0, 2), move(0, 0, 3, segment=2)),
        "order param op-0 is moved 2 times",
    ),
    "beside a member": (
        hot(group=[-1, 3, 3]),
        relief(moves=(move(1, 0, 1),)),
        "another member of its spread group is there",
    ),
    "together": (hot(group=[-1, 3, 3]), relief(moves=TWO_AT_ONCE), "another member of its spread group is there"),
    "budget": (hot(moves_max=1), relief(moves=TWO_AT_ONCE), "the plan has 2 moves, the budget is 1"),
    "same segment": (GIANT, plan(move(0, 0, 2, segment=1), move(0, 0, 3, segment=1)), "each needs a number of its own"),
    "negative segment": (GIANT, plan(move(0, 0, 2, segment=-1), move(0, 0, 3, segment=2)), "each needs a number of its own"),
    "too many segments": (
        GIANT,
        plan(move(0, 0, 2, segment=1), move(0, 0, 3, segment=4)),
        "is split into 4 segments; 2 to 3",
    ),
    "one segment": (GIANT, plan(move(0, 0, 2, segment=1)), "is split into 1 segments; 2 to 3"),
    "no splitting": (replace(GIANT, segments=1), plan(*HALVES), "is split into 2 segments; 2 to 1"),
    "segments together": (GIANT, plan(move(0, 0, 2, segment=1), move(0, 0, 2, segment=2)), "segments go to the same shard"),
    "by way of nothing": (HOT, relief_move(via="shard-9", via_wave=1, wave=2), "there is no shard shard-9 to go by"),
    "by way of itself": (HOT, relief_move(via="shard-0", via_wave=1, wave=2), "which is one of the two"),
    "by way of the destination": (HOT, relief_move(via="shard-2", via_wave=1, wave=2), "which is one of the two"),
    "by way of it too late": (HOT, relief_move(via="shard-1", via_wave=2, wave=2), "to go on in wave 2"),
    "by way of it never": (HOT, relief_move(via="shard-1", via_wave=0, wave=2), "in wave 0"),
    "by way of a closed one": (hot(closed=[1]), relief_move(via="shard-1", via_wave=1, wave=2), "shard shard-1 takes no"),
    "by way of a forbidden one": (
        hot(forbidden=[(1, 1)]),
        relief_move(via="shard-1", via_wave=1, wave=2),
        "shard shard-1 is forbidden",
    ),
}

BAD_PLAN = {
    "a split that leaves two parts together": (
        replace(GIANT, load=GIANT.load / 3),
        plan(move(0, 0, 2, segment=3), status=PARTIAL, cost=1 / 3, broken=(0, 1), top=0.4, unresolved=("op-0 stays",)),
        "the plan breaks more rules: 0 order params before, 1 after",
    ),
    "worse": (
        hot(headroom=1.1),
        relief(moves=(move(2, 1, 0),), overload_before=0.0, overload_after=3.0, max_utilisation=1.4, status=PARTIAL),
        "the plan makes the overload worse: 0 before, 3 after",
    ),
    "worse by one unit of whole numbers": (
        problem([2_000_000, 1], [0, 1], 2, capacity=2_000_000, weight=np.ones((2, 3))),
        plan(move(1, 1, 0), status=PARTIAL, overload=(0.0, 1.0), top=1.0000005, unresolved=("shard-0 op-1",)),
        "the plan makes the overload worse: 0 before, 1 after",
    ),
    "cost": (HOT, relief(cost=2.0, bound=2.0), "claims a cost of 2, it is 1"),
    "cost of a part": (
        GIANT,
        plan(move(0, 0, 2, segment=2), move(0, 0, 3, segment=3), overload=(8.0, 0.0), top=0.6),
        "claims a cost of 1, it is 0.666667",
    ),
    "cost of a placement": (
        problem([4, 4], [-1, 0], 2, capacity=10),
        plan(move(0, None, 1), broken=(1, 0), top=0.4),
        "claims a cost of 1, it is 0",
    ),
    "overload before": (HOT, relief(overload_before=2.0), "claims a overload before of 2, it is 1"),
    "overload after": (HOT, relief(overload_after=0.5), "claims a overload after of 0.5, it is 0"),
    "overload NaN": (HOT, relief(overload_after=float("nan")), "claims a overload after of nan"),
    "broken before": (HOT, relief(broken_before=1), "number of broken rules before of 1, it is 0"),
    "broken after": (HOT, relief(broken_after=1), "number of broken rules after of 1, it is 0"),
    "utilisation": (HOT, relief(max_utilisation=0.5), "highest utilisation of 0.5, it is 0.6"),
    "utilisation of nothing": (
        problem([1.0], [0], 1, capacity=[0], pinned=[0]),
        plan(status=PARTIAL, cost=0.0, overload=(1.0, 1.0), top=1.0, unresolved=("shard-0 has no capacity",)),
        "highest utilisation of 1, it is inf",
    ),
    "a running migration's load": (hot(in_flight=[0, 0, 6]), RELIEF, "claims a overload after of 0, it is 1"),
    "bound above cost": (HOT, relief(bound=1.5, status=PlanStatus.FEASIBLE), "a lower bound of 1.5 on a cost of 1"),
    "bound below 0": (HOT, relief(bound=-0.5, status=PlanStatus.FEASIBLE), "a lower bound of -0.5 on a cost of 1"),
    "bound NaN": (HOT, relief(bound=float("nan"), status=PlanStatus.FEASIBLE), "a lower bound of nan"),
    "not optimal": (HOT, relief(bound=0.5), "claims to be optimal at a cost of 1, but proves only 0.5"),
    "needed": (HOT, relief(status=PlanStatus.NOT_NEEDED), "says it is not needed, but has 1 moves"),
    "overload left, not needed": (
        HOT,
        plan(status=PlanStatus.NOT_NEEDED, cost=0.0, overload=(1.0, 1.0), top=1.1),
        "says it is not needed, but has 0 moves and leaves 0 broken rules and an overload of 1",
    ),
    "overload left, feasible": (
        HOT,
        plan(status=PlanStatus.FEASIBLE, cost=0.0, overload=(1.0, 1.0), top=1.1, unresolved=("shard-0 stays",)),
        "claims to be feasible, but leaves 0 broken rules and an overload of 1",
    ),
    "overload left, optimal": (
        HOT,
        plan(cost=0.0, overload=(1.0, 1.0), top=1.1),
        "claims to be optimal, but leaves 0 broken rules and an overload of 1 and does not say so",
    ),
    "nothing left, partial": (HOT, relief(status=PARTIAL), "says that something stays unresolved, but nothing"),
    "exactly full, partial": (
        problem([6, 4], [0, 0], 2, capacity=10),
        plan(status=PARTIAL, cost=0.0, top=1.0, unresolved=("shard-0 stays",)),
        "says that something stays unresolved, but nothing",
    ),
    "refused": (HOT, relief(status=PlanStatus.REFUSED), "the plan was refused before"),
    "silent about a shard": (
        hot(pinned=[0, 1]),
        plan(status=PARTIAL, cost=0.0, overload=(1.0, 1.0), top=1.1, unresolved=("shard shard-01 stays",)),
        "shard shard-0 stays over its limit and `unresolved` does not name it",
    ),
    "silent about a broken rule": (
        replace(GONE, rules=replace(GONE.rules, pinned=np.ones(2, dtype=bool))),
        plan(status=PARTIAL, cost=0.0, broken=(2, 2), top=0.8, unresolved=("order param op-1 is pinned",)),
        "order param op-0 stays on shard-0, where it may not be, and `unresolved` does not name it",
    ),
    "silent about no shard": (
        problem([1.0], [-1], 0),
        plan(status=PARTIAL, cost=0.0, broken=(1, 1)),
        "order param op-0 has no shard and `unresolved` does not name it",
    ),
    "silent about a crowd": (
        problem([1, 1], [0, 0], 2, capacity=10, group=[0, 0], pinned=[0, 1]),
        plan(status=PARTIAL, cost=0.0, broken=(1, 1), top=0.2, unresolved=("shard-1 is fine",)),
        "beside a member of its spread group and `unresolved` does not name it",
    ),
    "a zone broken": (
        problem([1, 1], [0, 1], 2, capacity=10, zones=[1, 2], allowed_zones={0: {2}}),
        plan(status=PlanStatus.NOT_NEEDED, cost=0.0, top=0.1),
        "says it is not needed, but has 0 moves and leaves 1 broken rules",
    ),
    "a swap at once": (
        SWAP,
        plan(move(0, 0, 1), move(1, 1, 0), cost=2.0, broken=(2, 0), top=0.8),
        "in wave 1 shard shard-0 is over its limit of cpu_cores at step 1 while order params are on their way",
    ),
    "a swap in two waves": (
        SWAP,
        plan(move(0, 0, 1), move(1, 1, 0, wave=2), cost=2.0, broken=(2, 0), top=0.8),
        "in wave 1 shard shard-1 is over its limit",
    ),
    "a third shard left too late": (
        SWAP,
        plan(move(0, 0, 1, via=2, via_wave=1, wave=2), move(1, 1, 0, wave=2), cost=2.0, broken=(2, 0), top=0.8),
        "in wave 2 shard shard-1 is over its limit",
    ),
    "a third shard that is full": (
        replace(SWAP, in_flight=np.full((3, 1, 3), 3.0) * np.array([0, 0, 1])[:, None, None]),
        plan(*BY_WAY, cost=2.0, broken=(2, 0), top=0.8),
        "in wave 1 shard shard-2 is over its limit",
    ),
    "more on the way than the plan leaves": (
        problem([6, 6, 3], [0, 1, 1], 3, capacity=10, draining=[0], weight=np.ones((3, 3))),
        plan(
            *(move(0, 0, 1), move(2, 1, 2)),
            status=PARTIAL,
            cost=2.0,
            broken=(1, 0),
            overload=(0.0, 2.0),
            top=1.2,
            unresolved=("shard-1 stays",),
        ),
        "in wave 1 shard shard-1 is over its limit",
    ),
    "a member that leaves too late": (
        problem([6, 5, 3], [0, 0, 1], 3, capacity=10, group=[-1, 7, 7], weight=np.ones((3, 3))),
        plan(move(1, 0, 1), move(2, 1, 2, wave=2), cost=2.0, bound=2.0, overload=(1.0, 0.0), top=0.6),
        "order param op-1 rests on shard-1 after wave 1 beside another member of its spread group",
    ),
    "a third shard with a member": (
        problem([8, 8, 1], [0, 1, 2], 3, capacity=10, group=[5, -1, 5]),
        plan(*BY_WAY, cost=2.0, top=0.8),
        "order param op-0 rests on shard-2 after wave 1 beside another member",
    ),
    "an excuse for another": (
        SWAP,
        plan(
            *(move(0, 0, 1), move(1, 1, 0, wave=2)),
            cost=2.0,
            broken=(2, 0),
            top=0.8,
            unresolved=("op-1 must go over the limit on its way",),
        ),
        "in wave 1 shard shard-1 is over its limit",
    ),
    "a shard over at a later step only": (
        problem([[1, 8], [8, 1], [1, 8]], [0, 0, 1], 3, capacity=10),
        plan(move(0, 0, 1), move(2, 1, 2), cost=2.0, top=0.8),
        "in wave 1 shard shard-1 is over its limit of cpu_cores at step 2",
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_plan_has_no_fault(name):
    """A plan that keeps every rule and claims only what is true is accepted."""
    assert faults(*SOUND[name]) == ()


@pytest.mark.parametrize("name", BAD_MOVE)
def test_a_move_that_makes_no_sense_is_refused(name):
    """Each way in which a move may be wrong is found, and said in a sentence of its own."""
    plan_problem, bad, words = BAD_MOVE[name]
    assert any(words in fault for fault in faults(plan_problem, bad)), faults(plan_problem, bad)


@pytest.mark.parametrize("name", BAD_PLAN)
def test_a_plan_that_does_harm_or_claims_what_is_not_is_refused(name):
    """Each false claim, each harm and each overload on the way is found, and said in a sentence of its own."""
    plan_problem, bad, words = BAD_PLAN[name]
    assert any(words in fault for fault in faults(plan_problem, bad)), faults(plan_problem, bad)


def test_one_wrong_thing_is_one_fault():
    """A plan with a single false claim has a single fault, so that the sentence leads to it."""
    assert faults(HOT, relief(max_utilisation=0.5)) == ("the plan claims a highest utilisation of 0.5, it is 0.6",)


@pytest.mark.parametrize("module", ["checker", "checker_moves", "checker_state", "checker_waves"])
def test_the_checker_shares_no_code_with_the_planner(module):
    """What checks a plan imports nothing of what makes one: the fault of a planner cannot hide itself."""
    source = Path(import_module(f"optimizer.{module}").__file__).read_text(encoding="utf-8")
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in imported if name.startswith(("optimizer", "plb_ray"))}
    assert ours <= {"optimizer.checker_moves", "optimizer.checker_state", "optimizer.checker_waves", "plb_ray.domain.plan"}


def test_many_moves_are_checked_fast():
    """20,000 order params with 2,000 moves are checked in well under a second: there is no loop over order params."""
    large = zipf_problem(20_000, 200, 3, seed=3, utilisation=0.4, headroom=1.0)
    rng = np.random.default_rng(1)
    rows = np.sort(rng.choice(20_000, 2_000, replace=False))
    current = large.current[rows]
    moves = [
        move(row, at, (at + 1) % 200, wave=wave // 100 + 1) for wave, (row, at) in enumerate(zip(rows, current, strict=True))
    ]
    started_s = perf_counter()
    found = faults(large, plan(*moves, cost=2_000.0))
    assert perf_counter() - started_s < 1.0
    assert not any("move of" in fault or "cost" in fault for fault in found)
