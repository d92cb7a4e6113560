"""A plan made elsewhere, stated anew in another problem: the checker agrees with what it is said to do there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builders import problem

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.domain.plan import Move, PlanMode, PlanStatus

PLANNER, VERIFIER = CompositePlanner(), PlanVerifier()


def move(row, source, destination):
    return Move(f"op-{row}", f"shard-{source}", f"shard-{destination}", f"because of {row}")


def test_a_plan_in_its_own_problem_is_the_same():
    """Moves, reasons and figures of a plan that was just made come out again."""
    at = problem([0.6, 0.5, 0.3], [0, 0, 1])
    made = PLANNER.plan(at)
    again = PLANNER.restated(at, made.moves)
    assert VERIFIER.check(at, again) == ()
    assert again.moves == made.moves
    assert (again.cost, again.overload_after, again.max_utilisation) == pytest.approx(
        (made.cost, made.overload_after, made.max_utilisation)
    )


def test_another_load_is_what_it_is_held_against():
    """What relieved then does harm now: the checker says so."""
    now = problem([0.6, 0.1, 0.9], [0, 0, 1])
    again = PLANNER.restated(now, [move(0, 0, 1)])
    assert again.overload_after > 0
    assert any("overload worse" in fault for fault in VERIFIER.check(now, again))


@pytest.mark.parametrize(
    ("moves", "fault"),
    [
        ([move(0, 1, 0)], "it is on shard-0"),
        ([move(9, 0, 1)], "no such order param"),
        ([move(0, 0, 9)], "no such destination"),
        ([move(0, 0, 1), move(0, 0, 1)], "moved 2 times"),
    ],
)
def test_moves_that_cannot_be_meant_are_left_to_the_checker(moves, fault):
    """They are returned as they are, and the checker names them."""
    now = problem([0.6, 0.5], [0, 0])
    assert any(fault in found for found in VERIFIER.check(now, PLANNER.restated(now, moves)))


@settings(max_examples=30, deadline=None)
@given(
    load=st.lists(st.floats(0, 1, width=16), min_size=6, max_size=6),
    current=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    wanted=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    mode=st.sampled_from([PlanMode.RELIEF, PlanMode.BALANCE]),
)
def test_what_it_claims_is_so(load, current, wanted, mode):
    """For any moves at all the figures are right: the checker finds fault with what they do, never with what they claim."""
    at = problem(np.array(load), current, shards=3, mode=mode, work=10)
    moves = [move(row, now, then) for row, (now, then) in enumerate(zip(current, wanted, strict=True)) if now != then]
    again = PLANNER.restated(at, moves)
    assert {(each.order_param, each.destination) for each in again.moves} == {(m.order_param, m.destination) for m in moves}
    assert {each.reason for each in again.moves} == {m.reason for m in moves}
    faults = VERIFIER.check(at, again)
    assert not [fault for fault in faults if "claims" in fault or "does not name it" in fault]
    assert again.status is not PlanStatus.OPTIMAL or not again.moves
    assert replace(again, solve_s=0.0) == replace(PLANNER.restated(at, moves), solve_s=0.0)
