"""Negative controls of the checker: each fault, planted into a sound plan, is found and named."""

from dataclasses import replace

import numpy as np
import pytest
from plan_builders import problem

from optimizer.checker import PlanVerifier
from optimizer.planner import CpSatPlanner
from plb_ray.domain.plan import Move, PlanStatus

PROBLEM = problem([0.7, 0.6, 0.2, 0.1], [0, 0, 1, 2], shards=4, movable=[True, True, True, False], draining={3})
SOUND = CpSatPlanner().plan(PROBLEM)
MOVE = SOUND.moves[0]


def check(plan, plan_problem=PROBLEM):
    """Return all faults as one text."""
    return "; ".join(PlanVerifier().check(plan_problem, plan))


def test_a_sound_plan_has_no_faults():
    """The control of the controls."""
    assert SOUND.status is PlanStatus.OPTIMAL
    assert check(SOUND) == ""


@pytest.mark.parametrize(
    ("moves", "words"),
    [
        ((replace(MOVE, order_param="nobody"),), "there is no such order param"),
        ((replace(MOVE, source="shard-2"),), "it is on shard-0"),
        ((replace(MOVE, destination="shard-9"),), "there is no such destination"),
        ((replace(MOVE, destination=MOVE.source),), "source and destination are the same"),
        ((replace(MOVE, destination="shard-3"),), "the destination is draining"),
        ((replace(MOVE, reason=""),), "no reason is given"),
        ((MOVE, MOVE), "is moved 2 times"),
        ((MOVE, Move("op-3", "shard-2", "shard-1", "why not")), "it may not move now"),
    ],
)
def test_moves_that_make_no_sense_are_found(moves, words):
    """Each malformed move is named."""
    assert words in check(replace(SOUND, moves=moves))


def test_too_many_moves_are_found():
    """The move budget is counted by the checker itself."""
    assert "the budget is 0" in check(SOUND, replace(PROBLEM, budget_moves=0))


def test_a_newly_overloaded_shard_is_found():
    """Moving an order param onto a shard that then overloads is a fault though the total falls."""
    crowded = problem([0.9, 0.8, 0.5], [0, 0, 1])
    plan = replace(SOUND, moves=(Move("op-1", "shard-0", "shard-1", "r"),), cost=1.0)
    assert "the plan overloads shard shard-1, which was fine" in check(plan, crowded)


def test_more_overload_in_total_is_found():
    """A plan that only makes things worse is a fault."""
    crowded = problem([0.9, 0.8, 0.9], [0, 0, 1])
    plan = replace(SOUND, moves=(Move("op-2", "shard-1", "shard-0", "r"),), cost=1.0)
    assert "the plan makes the overload worse" in check(plan, crowded)


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"cost": 0.5}, "claims a cost of 0.5, it is 1"),
        ({"overload_before": 0.1}, "claims a overload before of 0.1"),
        ({"overload_after": 0.2}, "claims a overload after of 0.2"),
        ({"bound": 2.0}, "claims a lower bound of 2 on a cost of 1"),
        ({"bound": -1.0}, "claims a lower bound of -1"),
        ({"bound": 0.5}, "claims to be optimal"),
        ({"status": PlanStatus.NOT_NEEDED}, "says it is not needed"),
        ({"status": PlanStatus.REFUSED}, "was refused before"),
        ({"cost": float("nan")}, "claims a cost of nan"),
    ],
)
def test_untrue_claims_are_found(lie, words):
    """Each claim of a plan is recomputed."""
    assert words in check(replace(SOUND, **lie))


def test_silence_about_remaining_overload_is_found():
    """A plan that leaves overload must say why."""
    full = problem([0.7, 0.7], [0, 0], shards=1)
    plan = CpSatPlanner().plan(full)
    assert check(plan, full) == ""
    assert "does not say why" in check(replace(plan, unresolved=()), full)


def test_a_load_that_is_not_finite_is_found():
    """Nothing can be said about a plan on numbers that are none."""
    broken = problem([np.inf, 0.1, 0.1, 0.1], [0, 0, 1, 2], shards=4)
    assert "not finite" in check(SOUND, broken)
