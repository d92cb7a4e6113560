"""What a plan does to the load of each shard: worked out by hand, beside the planner's own figure, and after a restart."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from lives import ADA, Lives

from plb_ray.control.inputs import SHARDS_MOST
from plb_ray.control.orders_port import PlanAct, PlanQuery, PlanSave
from plb_ray.control.record import decision_document
from plb_ray.control.saved_plans import PlanState, plan_document, plan_of
from plb_ray.control.shard_loads import loads_of, shard_loads
from plb_ray.control.situation import Situation
from plb_ray.control.stating import course_of
from plb_ray.control.views import Mode
from plb_ray.domain.load import LoadEstimate, ResourceVector, Shard
from plb_ray.domain.plan import Move

NAMES = ("a", "b", "c")
FOREVER = 1e6


def situation(shards=2, moving=None, capacity=None):
    """On shard s0 are a and b, on s1 is c; b's load doubles in the second of two foreseen steps."""
    measured = np.array([[0.3, 100.0, 10.0], [0.2, 50.0, 20.0], [0.1, 10.0, 5.0]])
    target = np.stack([measured, measured * np.array([[1.0], [2.0], [1.0]])], axis=1)
    return Situation(
        at_s=600.0,
        step_s=60,
        order_params=NAMES,
        shards=tuple(Shard(f"s{row}", "", capacity or ResourceVector(1.0, 0.0, 100.0)) for row in range(shards)),
        silent=frozenset(),
        owner=np.array([0, 0, 1]),
        measured=measured,
        estimate=LoadEstimate(NAMES, np.array([600, 660]), target, target, 0.9),
        moving=moving or {},
    )


def loads(moves=(), **about):
    made = situation(**about)
    return shard_loads(course_of(made, made.estimate), moves, 0.8)


def columns(found, what, shard_id):
    return getattr(found, what)[found.shard_ids.index(shard_id)]


def test_what_a_move_takes_comes_to_the_other_side():
    """Before is the highest of all steps, after the same with the order param on the other shard, resource by resource."""
    found = loads([Move("b", "s0", "s1", "why")])
    assert found.shard_ids == ("s0", "s1")
    assert columns(found, "now", "s0") == (0.5, 150.0, 30.0)
    assert columns(found, "before", "s0") == (0.7, 200.0, 50.0)
    assert columns(found, "after", "s0") == (0.3, 100.0, 10.0)
    assert columns(found, "before", "s1") == (0.1, 10.0, 5.0)
    assert columns(found, "after", "s1") == (0.5, 110.0, 45.0)
    assert columns(found, "capacity", "s1") == (1.0, 0.0, 100.0)
    assert (found.headroom, found.left_out) == (0.8, 0)


def test_without_moves_after_is_before():
    """A plan that moves nothing changes no load."""
    found = loads()
    assert found.after == found.before


def test_what_is_on_its_way_counts_on_both_sides():
    """An order param that runs already still holds its source, before and after the plan."""
    found = loads([Move("a", "s0", "s1", "why")], moving={"b": "s1"})
    assert columns(found, "before", "s0")[0] == pytest.approx(0.7)
    assert columns(found, "before", "s1")[0] == pytest.approx(0.5)
    assert columns(found, "after", "s0")[0] == pytest.approx(0.4)
    assert columns(found, "after", "s1")[0] == pytest.approx(0.8)


def test_moves_that_name_what_is_gone_change_nothing():
    """A saved plan may name a shard or an order param that is not there any more."""
    found = loads([Move("b", "s0", "gone", "why"), Move("nobody", "s0", "s1", "why")])
    assert found.after == found.before


def test_a_large_fleet_is_cut_but_for_what_moves_touch():
    """The fullest are kept, and those that moves touch; how full the rest is is told."""
    last = f"s{SHARDS_MOST + 49}"
    found = loads([Move("c", "s1", last, "why")], shards=SHARDS_MOST + 50)
    assert found.shard_ids[:3] == ("s0", "s1", last)
    assert (len(found.shard_ids), found.left_out, found.left_out_peak) == (SHARDS_MOST, 50, 0.0)


@pytest.fixture
async def world(tmp_path):
    made = Lives(tmp_path)
    await made.start()
    yield made
    await made.stop()


def highest(found):
    pairs = zip(np.array(found.after).ravel(), np.array(found.capacity).ravel(), strict=True)
    return max(load / capacity for load, capacity in pairs if capacity)


async def test_every_kind_of_plan_has_them(world):
    """A tick's decision, a dry run and a saved plan tell the loads; the highest after is what the planner says it is."""
    await world.order(mode=Mode.FORECAST_ONLY)
    decision = await world.steps(5)
    dry = await world.loop.dry_run()
    saved = await world.loop.save_plan(PlanSave(ADA, "", FOREVER))
    for plan, found in ((decision.plan, decision.loads), (dry.plan, dry.loads), (saved.plan, saved.loads)):
        assert plan.moves
        assert found.after != found.before
        assert highest(found) == pytest.approx(plan.max_utilisation, rel=1e-4)
    stored = json.loads(json.dumps(decision_document(decision)))
    assert loads_of(stored["loads"]) == decision.loads
    assert json.loads(json.dumps(asdict(decision.loads))) == stored["loads"]


async def test_a_plan_keeps_them_through_approval_and_restarts(world):
    """What people approve is what they saw: the figures stay those of the moment the plan was made."""
    await world.order(approval=True)
    await world.steps(5)
    (plan,) = await world.loop.plans(PlanQuery((PlanState.AWAITING,)))
    assert plan.loads is not None
    sent = await world.loop.approve_plan(PlanAct(plan.plan_id, ADA))
    assert (sent.state, sent.loads) == (PlanState.EXECUTING, plan.loads)
    carried = await world.loop.latest_decision()
    assert carried.loads.after == plan.loads.after
    await world.start()
    assert (await world.loop.plan(plan.plan_id)).loads == plan.loads


async def test_a_plan_of_an_earlier_release_has_none(world):
    """A document without loads is read as a plan without them."""
    await world.order(mode=Mode.FORECAST_ONLY)
    await world.steps(5)
    saved = await world.loop.save_plan(PlanSave(ADA, "", FOREVER))
    document = json.loads(json.dumps(plan_document(saved)))
    assert plan_of(saved.plan_id, document) == saved
    del document["loads"]
    assert plan_of(saved.plan_id, document) == replace(saved, loads=None)
