"""Whatever the load and the orders: no decision breaks one. Random situations, the real planner and checker."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.damping import Memory
from plb_ray.control.deciding import Decider
from plb_ray.control.guard import Guard
from plb_ray.control.orders import Orders
from plb_ray.control.situation import Situation
from plb_ray.control.views import Admission, Mode
from plb_ray.domain.load import RESOURCES, LoadEstimate, ResourceVector, Shard
from plb_ray.domain.plan import Move
from plb_ray.settings import BalancerSettings

STEP_S, NOW_S = 600, 1_700_006_400
NAMES = ("a", "b", "c", "d", "e", "f")
SHARDS = ("s0", "s1", "s2", "s3")
SETTINGS = BalancerSettings("predictive", step_s=STEP_S, headroom=0.8, solver_budget_s=0.05)
DECIDER = Decider(CompositePlanner(), PlanVerifier(), SETTINGS)
TRUSTING = Memory(guard=Guard(trusted=True))
ACTING = (Mode.PREDICTIVE, Mode.BALANCE, Mode.RELIEF)

shares = st.lists(st.integers(0, 60).map(lambda share: share / 100), min_size=len(NAMES), max_size=len(NAMES))
some_shards = st.frozensets(st.sampled_from(SHARDS), max_size=3)
some_names = st.frozensets(st.sampled_from(NAMES), max_size=4)


@st.composite
def situations(draw):
    owner = np.array(draw(st.lists(st.integers(0, 3), min_size=len(NAMES), max_size=len(NAMES))))
    measured, steps = draw(shares), draw(st.lists(shares, max_size=3))
    return situation(owner, measured, steps)


def situation(owner, measured, steps=()):
    def load(values):
        filled = np.zeros((len(NAMES), len(RESOURCES)))
        filled[:, 0] = values
        return filled

    estimate = None
    if steps:
        foreseen = np.stack([load(values) for values in steps], axis=1)
        estimate = LoadEstimate(NAMES, NOW_S + STEP_S * np.arange(len(steps)), foreseen, foreseen, 0.9)
    shards = tuple(Shard(name, "", ResourceVector(cpu_cores=1.0)) for name in SHARDS)
    return Situation(NOW_S, STEP_S, NAMES, shards, frozenset(), np.array(owner), load(measured), estimate)


@st.composite
def orders(draw):
    draining = draw(some_shards)
    group = draw(some_names)
    return Orders(
        mode=draw(st.sampled_from(ACTING)),
        pinned=draw(some_names),
        forbidden={name: draw(some_shards) for name in draw(some_names)},
        spread_groups={"g": group} if len(group) > 1 else {},
        draining=draining,
        filling=draw(st.frozensets(st.sampled_from(SHARDS), max_size=2)) - draining,
    )


def owners_after(at, sent):
    after = {name: SHARDS[column] for name, column in zip(at.order_params, at.owner, strict=True)}
    return after | {move.order_param: move.destination for move in sent}


def crowded(after, group):
    places = [after[name] for name in group]
    return len(places) - len(set(places))


bounded = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(bounded, max_examples=8)


@bounded
@given(situations(), orders())
def test_no_decision_breaks_an_order(at, ordered):
    """Pinned stays; nothing arrives where it is forbidden, on a draining shard, beside its group, or off the filled ones."""
    ruling, _ = DECIDER.decide(at, ordered, TRUSTING)
    assert ruling.faults == ()
    assert {move.order_param for move in ruling.sent}.isdisjoint(ordered.pinned)
    for move in ruling.sent:
        assert move.destination not in ordered.forbidden.get(move.order_param, ())
        assert move.destination not in ordered.draining
        assert not ordered.filling or move.destination in ordered.filling
    before, after = owners_after(at, ()), owners_after(at, ruling.sent)
    for group in ordered.spread_groups.values():
        assert crowded(after, group) <= crowded(before, group)


@bounded
@given(situations(), orders(), st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(SHARDS)), min_size=1, max_size=4))
def test_no_plan_of_people_breaks_an_order(at, ordered, wanted):
    """A plan that people send is refused whole when one of its moves breaks an order, and says which."""
    before = owners_after(at, ())
    ways = {name: to for name, to in wanted if before[name] != to}
    moves = [Move(name, before[name], to, "by people") for name, to in ways.items()]
    ruling, memory = DECIDER.carry_out(at, ordered, TRUSTING, moves)
    breaks = any(
        move.order_param in ordered.pinned
        or move.destination in ordered.forbidden.get(move.order_param, ())
        or move.destination in ordered.draining
        for move in moves
    )
    if breaks:
        assert ruling.faults
    if ruling.faults:
        assert (ruling.sent, memory.moves) == ((), 0)
        assert {each.admission for each in ruling.moves} <= {Admission.PLAN_REFUSED}


@bounded
@given(situations(), orders())
def test_paused_nothing_is_sent(at, ordered):
    """While the balancer is paused no load and no order makes a plan."""
    ruling, memory = DECIDER.decide(at, replace(ordered, paused=True), TRUSTING)
    assert (ruling.moves, memory.moves) == ((), 0)
    assert any("paused" in note for note in ruling.notes)


@pytest.mark.parametrize("mode", ACTING)
@few
@given(at=situations(), ordered=orders())
def test_carried_out_and_unchanged_it_comes_to_rest(mode, at, ordered):
    """With the load as it is, ticks that carry out what was decided soon decide nothing more, whatever is ordered."""
    ordered = replace(ordered, mode=mode)
    at = situation(at.owner, at.measured[:, 0])  # what comes is what is
    memory, calm = TRUSTING, 0
    for tick in range(20):
        ruling, memory = DECIDER.decide(replace(at, at_s=NOW_S + tick * STEP_S), ordered, memory)
        after = owners_after(at, ruling.sent)
        calm = 0 if ruling.sent else calm + 1
        at = replace(at, owner=np.array([SHARDS.index(after[name]) for name in NAMES]))
        if calm == 4:  # longer than the cooldown
            return
    pytest.fail(f"still moving after 20 ticks: {ruling.sent}")
