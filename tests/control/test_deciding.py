"""The decision core on situations built by hand: four order params on three shards of capacity 1."""

from dataclasses import replace

import numpy as np
import pytest

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.damping import Memory
from plb_ray.control.deciding import Decider
from plb_ray.control.guard import Guard
from plb_ray.control.orders import Orders
from plb_ray.control.situation import Situation
from plb_ray.control.views import Admission, Basis, Mode
from plb_ray.domain.load import RESOURCES, LoadEstimate, ResourceVector, Shard
from plb_ray.domain.plan import Move, PlanStatus
from plb_ray.domain.sums import per_shard
from plb_ray.settings import BalancerSettings, DampingSettings

STEP_S, NOW_S = 600, 1_700_006_400
NAMES = ("a", "b", "c", "d")
SETTINGS = BalancerSettings(step_s=STEP_S, headroom=0.8, solver_budget_s=1.0)
TRUSTING = Memory(guard=Guard(trusted=True))


def cpu(*shares):
    load = np.zeros((len(shares), len(RESOURCES)))
    load[:, 0] = shares
    return load


def situation(shares=(0.5, 0.4, 0.1, 0.1), owner=(0, 0, 1, 2), steps=None, **more):
    """Measured shares of a shard by order param; `steps` are (K,) shares at each coming step, foreseen for certain."""
    estimate = None
    if steps is not None:
        load = np.stack([cpu(*each) for each in steps], axis=1)
        starts_s = NOW_S + STEP_S * np.arange(len(steps))
        estimate = LoadEstimate(NAMES, starts_s, load, load, 0.9)
    shards = tuple(Shard(f"s{number}", "", ResourceVector(cpu_cores=1.0)) for number in range(3))
    given = {"silent": frozenset(), "moving": {}, **more}
    return Situation(NOW_S, STEP_S, NAMES, shards, given["silent"], np.array(owner), cpu(*shares), estimate, given["moving"])


def decided(at, orders=None, memory=TRUSTING, **changed):
    decider = Decider(CompositePlanner(), PlanVerifier(), replace(SETTINGS, **changed))
    return decider.decide(at, orders or Orders(), memory)


def admissions(ruling):
    return {each.move.order_param: each.admission for each in ruling.moves}


def test_measured_overload_is_relieved_without_any_forecast():
    """A shard at 90 % sends one of its two away, on what was measured alone, to where there is room."""
    ruling, memory = decided(situation())
    assert (ruling.basis, len(ruling.sent)) == (Basis.MEASURED, 1)
    assert ruling.sent[0].source == "s0"
    assert memory.moves == 1


def test_measured_overload_is_relieved_though_the_forecast_sees_none():
    """The floor is on whatever is foreseen."""
    ruling, _ = decided(situation(steps=[(0.1, 0.1, 0.1, 0.1)] * 2))
    assert (ruling.basis, len(ruling.sent)) == (Basis.FORECAST, 1)


def test_the_same_situation_again_gives_the_empty_plan():
    """After the move nothing is left to do, and nothing is done."""
    ruling, memory = decided(situation())
    moved = NAMES.index(ruling.sent[0].order_param)
    owner = np.array([0, 0, 1, 2])
    owner[moved] = int(ruling.sent[0].destination[1])
    again, _ = decided(situation(owner=owner), memory=memory)
    assert (again.plan.status, again.moves) == (PlanStatus.NOT_NEEDED, ())


def test_between_the_inner_margin_and_the_headroom_nothing_moves():
    """The dead band: 79 % of an 80 % headroom is left alone, and a relieved shard ends below the inner margin."""
    assert decided(situation((0.4, 0.39, 0.1, 0.1)))[0].moves == ()
    ruling, _ = decided(situation((0.5, 0.2, 0.1, 0.1), owner=(0, 0, 0, 0)))
    left = 0.9 - sum(dict(zip(NAMES, (0.5, 0.2, 0.1, 0.1), strict=True))[move.order_param] for move in ruling.sent)
    assert left <= 0.75 + 1e-9


@pytest.mark.parametrize(
    ("steps", "note"),
    [
        ([(np.nan, 0.1, 0.1, 0.1)], "unsound"),
        ([(-0.5, 0.1, 0.1, 0.1)], "unsound"),
        ([(np.inf, 0.1, 0.1, 0.1)], "unsound"),
    ],
)
def test_an_unsound_forecast_leaves_the_floor_and_says_so(steps, note):
    """NaN, negative and infinite loads are not planned on."""
    ruling, _ = decided(situation((0.3, 0.2, 0.1, 0.1), steps=steps))
    assert (ruling.basis, ruling.moves) == (Basis.MEASURED, ())
    assert note in ruling.notes[0]


def test_a_forecast_must_hold_for_one_step_before_it_is_planned_on():
    """At the beginning what was measured decides; when the next step comes as it was foreseen, the forecast does."""
    calm = situation((0.3, 0.3, 0.1, 0.1), steps=[(0.3, 0.3, 0.1, 0.1)] * 2)
    first, memory = decided(calm, memory=Memory())
    second, _ = decided(replace(calm, at_s=NOW_S + STEP_S), memory=memory)
    assert (first.basis, second.basis) == (Basis.MEASURED, Basis.FORECAST)


def test_a_forecast_that_was_wrong_loses_its_say_and_wins_it_back():
    """After an order param was foreseen at ten times its rate the floor decides; many right steps later it is forgiven."""
    at = situation((0.3, 0.3, 0.1, 0.1), steps=[(0.3, 0.3, 0.1, 0.1)] * 2)
    wrong = situation((0.3, 0.3, 0.1, 0.1), steps=[(3.0, 0.3, 0.1, 0.1)] * 2)
    _, memory = decided(wrong, memory=TRUSTING)
    rulings = []
    for tick in range(1, 400):
        now = replace(
            at, at_s=NOW_S + tick * STEP_S, estimate=replace(at.estimate, starts_s=at.estimate.starts_s + tick * STEP_S)
        )
        ruling, memory = decided(now, memory=memory)
        rulings.append(ruling.basis)
    assert rulings[0] is Basis.MEASURED
    assert rulings[-1] is Basis.FORECAST


def test_what_was_moved_stays_for_the_cooldown():
    """An order param that came an hour's fraction ago is not moved on; after the cooldown it may be."""
    came = TRUSTING.with_sent([Move("a", "s1", "s0", "", 1), Move("b", "s1", "s0", "", 1)], NOW_S - 600)
    assert decided(situation(), memory=came)[0].sent == ()
    later = replace(situation(), at_s=NOW_S + 1800.0)
    assert len(decided(later, memory=came)[0].sent) == 1


def test_returns_are_counted_as_thrash():
    """A move back to where an order param came from within hours counts; one elsewhere does not."""
    memory = Memory().with_sent([Move("a", "s0", "s1", "", 1)], 0.0)
    memory = memory.with_sent([Move("a", "s1", "s2", "", 1)], 3600.0)
    memory = memory.with_sent([Move("a", "s2", "s0", "", 1)], 7200.0)
    assert (memory.moves, memory.returns, memory.thrash) == (3, 1, pytest.approx(1 / 3))
    assert memory.at(100 * 3600.0).latest == {}


@pytest.mark.parametrize(
    ("orders", "admission"),
    [
        (Orders(mode=Mode.FORECAST_ONLY), Admission.MODE_FORBIDS),
        (Orders(approval=True), Admission.AWAITS_APPROVAL),
    ],
)
def test_orders_that_hold_everything_back(orders, admission):
    """The plan is made and shown, each move with its reason code, and nothing is sent."""
    ruling, memory = decided(situation(), orders)
    assert set(admissions(ruling).values()) == {admission}
    assert (ruling.sent, memory.moves) == ((), 0)


def test_paused_nothing_is_planned():
    """Not even a shard that is over makes a plan while the balancer is paused."""
    assert decided(situation(), Orders(paused=True))[0].moves == ()


def test_pinned_and_forbidden_are_kept():
    """A pinned order param stays though it would be the one to move; a forbidden shard is not a destination."""
    first = decided(situation())[0].sent[0]
    other = decided(situation(), Orders(pinned=frozenset({first.order_param})))[0].sent
    assert [move.order_param for move in other] == [{"a": "b", "b": "a"}[first.order_param]]
    elsewhere = decided(situation(), Orders(forbidden=dict.fromkeys(NAMES, frozenset({first.destination}))))[0].sent
    assert {move.destination for move in elsewhere}.isdisjoint({first.destination})


def test_a_draining_shard_is_emptied_though_nothing_is_over():
    """The operator's order is reason enough."""
    ruling, _ = decided(situation((0.2, 0.2, 0.1, 0.1)), Orders(draining=frozenset({"s0"})))
    assert {(move.order_param, move.source) for move in ruling.sent} == {("a", "s0"), ("b", "s0")}


def test_who_has_just_come_to_a_draining_shard_need_not_cool_down_there():
    """The cooldown holds where an order param may stay; a shard that is to leave would wait for half an hour."""
    moved = TRUSTING.with_sent((Move("a", "s1", "s0", ""),), NOW_S - STEP_S)
    calm = situation((0.2, 0.2, 0.1, 0.1))
    assert decided(calm, memory=moved)[0].sent == ()
    ruling, _ = decided(calm, Orders(draining=frozenset({"s0"})), memory=moved)
    assert {move.order_param for move in ruling.sent} == {"a", "b"}


def test_a_spread_group_is_parted():
    """Members on one shard are put on different ones."""
    ruling, _ = decided(situation((0.2, 0.2, 0.1, 0.1)), Orders(spread_groups={"pair": frozenset({"a", "b"})}))
    assert len(ruling.sent) == 1


def test_a_silent_shard_takes_nothing():
    """What does not answer is no destination."""
    ruling, _ = decided(situation(silent=frozenset({"s1"})))
    assert {move.destination for move in ruling.sent} == {"s2"}


@pytest.mark.parametrize(
    ("changed", "sent", "code"),
    [
        ({"damping": DampingSettings(moves_per_hour=1)}, 1, Admission.HOUR_BUDGET),
        ({"damping": DampingSettings(moves_per_shard=1)}, 1, Admission.SHARD_BUDGET),
        ({"damping": DampingSettings(move_cost_s=1e6)}, 0, Admission.NOT_WORTH_IT),
    ],
)
def test_budgets_and_worth_hold_moves_back_with_their_reason(changed, sent, code):
    """Of two moves that are needed those beyond a budget wait; a plan that costs more than it takes away waits whole."""
    ruling, _ = decided(situation((0.3, 0.3, 0.3, 0.3), owner=(0, 0, 0, 0)), **changed)
    assert len(ruling.moves) == 2
    assert len(ruling.sent) == sent
    assert code in admissions(ruling).values()


FIVE_AHEAD = [
    (0.4, 0.3, 0.1, 0.1),
    (0.4, 0.3, 0.1, 0.1),
    (0.1, 0.1, 0.1, 0.1),
    *[(0.4, 0.3, 0.1, 0.1)] * 2,
    (0.6, 0.5, 0.1, 0.1),
]


def test_a_quick_move_is_sent_by_the_last_tick_before_its_congestion():
    """Congestion five steps ahead waits for the tick at its beginning, and is prevented then."""
    ruling, _ = decided(situation((0.4, 0.3, 0.1, 0.1), steps=FIVE_AHEAD))
    (move,) = ruling.moves
    assert (move.admission, move.until_s) == (Admission.DEFERRED, NOW_S + 5 * STEP_S)
    assert len(decided(situation((0.4, 0.3, 0.1, 0.1), steps=FIVE_AHEAD[5:]))[0].sent) == 1


def test_a_slow_move_waits_for_the_quietest_time_before_its_congestion():
    """A migration of a step's length is deferred to the trough in two steps, and sent when that is there."""
    at = replace(situation((0.4, 0.3, 0.1, 0.1), steps=FIVE_AHEAD), lead_s=1.0 * STEP_S)
    (move,) = decided(at)[0].moves
    assert (move.admission, move.until_s) == (Admission.DEFERRED, NOW_S + 2 * STEP_S)
    there = replace(situation((0.1, 0.1, 0.1, 0.1), steps=FIVE_AHEAD[2:]), lead_s=1.0 * STEP_S)
    assert len(decided(there)[0].sent) == 1


@pytest.mark.parametrize(("lead", "sent"), [(0.05, 0), (0.15, 1)])
def test_a_move_that_would_be_late_next_tick_is_sent_now(lead, sent):
    """Congestion of the next step: waiting may let no more than a tenth of it pass."""
    steps = [(0.4, 0.3, 0.1, 0.1), (0.6, 0.5, 0.1, 0.1)]
    at = replace(situation((0.4, 0.3, 0.1, 0.1), steps=steps), lead_s=lead * STEP_S)
    assert len(decided(at)[0].sent) == sent


def test_a_plan_for_which_one_tick_is_not_enough_begins_earlier():
    """Where a shard may lose one order param a tick, congestion two steps ahead that takes two is begun a tick earlier."""
    steps = [(0.2, 0.2, 0.2, 0.2), (0.2, 0.2, 0.2, 0.2), (0.5, 0.5, 0.5, 0.2)]
    at = situation((0.2, 0.2, 0.2, 0.2), owner=(0, 0, 0, 1), steps=steps)
    assert {each.until_s for each in decided(at)[0].moves} == {NOW_S + 2 * STEP_S}
    slow = decided(at, damping=DampingSettings(moves_per_shard=1))[0]
    assert {each.until_s for each in slow.moves} == {NOW_S + 1 * STEP_S}


def test_what_is_on_its_way_counts_on_both_shards():
    """While `c` goes from s1 to s2 neither has room for a load that only fits without it."""
    ruling, _ = decided(situation((0.5, 0.4, 0.5, 0.1), owner=(0, 0, 1, 2), moving={"c": "s2"}))
    assert ruling.sent == ()


def test_sums_over_shards():
    """Shards without order params have a sum of 0, and order params need not come sorted."""
    values = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(per_shard(values, np.array([2, 0, 2, 0]), 4), [[8, 10], [0, 0], [4, 6], [0, 0]])
    assert per_shard(np.zeros((0, 2)), np.zeros(0, dtype=int), 2).tolist() == [[0, 0], [0, 0]]
