"""What each mode, and drained and filled shards, make of the same situation: four order params on three shards."""

from dataclasses import replace

import numpy as np
import pytest
from test_deciding import NAMES, NOW_S, SETTINGS, STEP_S, TRUSTING, admissions, decided, situation

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.auto_mode import proof, what_is_missing
from plb_ray.control.deciding import Decider
from plb_ray.control.forecast_quality import ForecastQuality
from plb_ray.control.orders import Orders
from plb_ray.control.views import Admission, Basis, Mode
from plb_ray.domain.champions import ChampionStanding
from plb_ray.domain.plan import Move, PlanStatus

LATER = [(0.3, 0.3, 0.1, 0.1)] * 5 + [(0.6, 0.5, 0.1, 0.1)] * 2  # s0 is over in five steps, not before


def in_mode(mode, at, **more):
    return decided(at, Orders(mode=mode), **more)[0]


def test_relief_leaves_alone_what_is_over_only_later():
    """Congestion five steps ahead: predictive plans for it, relief does not; when it is two steps off both send."""
    calm = (0.3, 0.3, 0.1, 0.1)
    assert in_mode(Mode.PREDICTIVE, situation(calm, steps=LATER)).moves
    assert in_mode(Mode.RELIEF, situation(calm, steps=LATER)).plan.status is PlanStatus.NOT_NEEDED
    near = situation(calm, steps=LATER[3:])
    assert len(in_mode(Mode.RELIEF, near).sent) == 1


def test_relief_makes_the_smallest_set_of_moves():
    """A shard at 82 % of a headroom of 80: one small order param brings it to 78, which is enough for relief; not else."""
    at = situation((0.04, 0.04, 0.37, 0.37), owner=(0, 0, 0, 0))
    ordered = Orders(pinned=frozenset({"c", "d"}))
    cheap = {"damping": replace(SETTINGS.damping, move_cost_s=0.0)}
    assert len(decided(at, replace(ordered, mode=Mode.RELIEF), **cheap)[0].sent) == 1
    assert len(decided(at, ordered, **cheap)[0].sent) == 2


def test_relief_moves_at_once():
    """What is about to be over is not deferred to a quieter time."""
    steps = [(0.3, 0.3, 0.1, 0.1), (0.1, 0.1, 0.1, 0.1), (0.6, 0.5, 0.1, 0.1)]
    ruling = in_mode(Mode.RELIEF, situation((0.3, 0.3, 0.1, 0.1), steps=steps))
    assert set(admissions(ruling).values()) == {Admission.ADMITTED}


def test_balance_evens_out_though_nothing_is_over():
    """At 60, 0 and 0 percent balance moves some of it; predictive, relief and, once it is even, balance do not."""
    at = situation((0.2, 0.2, 0.1, 0.1), owner=(0, 0, 0, 0))
    assert in_mode(Mode.PREDICTIVE, at).moves == ()
    assert in_mode(Mode.RELIEF, at).moves == ()
    sent = in_mode(Mode.BALANCE, at).sent
    assert sent
    owner = np.zeros(4, dtype=int)
    for move in sent:
        owner[NAMES.index(move.order_param)] = int(move.destination[1])
    evened = replace(at, owner=owner)
    assert np.bincount(owner, weights=at.measured[:, 0]).max() <= 0.25 + 1e-9
    assert in_mode(Mode.BALANCE, evened).moves == ()


def test_balance_leaves_alone_what_it_can_hardly_improve():
    """One order param of 60 percent is more than its share, but moving it would only carry the problem elsewhere."""
    assert in_mode(Mode.BALANCE, situation((0.6, 0.1, 0.1, 0.1), owner=(0, 1, 1, 2))).sent == ()


def test_balance_relieves_what_is_over():
    """The reactive floor is on in every mode that acts."""
    assert in_mode(Mode.BALANCE, situation((0.9, 0.0, 0.0, 0.0), owner=(0, 0, 0, 0))).basis is Basis.MEASURED
    assert in_mode(Mode.BALANCE, situation()).sent


def test_moves_go_onto_the_filled_shard_only():
    """A new, empty shard gets about its share, from shards that are not over, and then nothing more."""
    ordered = Orders(filling=frozenset({"s2"}))
    at = situation((0.3, 0.2, 0.3, 0.1), owner=(0, 0, 1, 1))
    owner, memory, sent = np.array([0, 0, 1, 1]), TRUSTING, 0
    for tick in range(6):
        now = replace(at, owner=owner.copy(), at_s=NOW_S + tick * STEP_S)
        ruling, memory = decided(now, ordered, memory)
        assert {move.destination for move in ruling.sent} <= {"s2"}
        for move in ruling.sent:
            owner[NAMES.index(move.order_param)], sent = 2, sent + 1
    assert sent
    assert np.bincount(owner, weights=at.measured[:, 0], minlength=3).max() <= 0.4 + 1e-9
    assert not ruling.moves


def test_a_large_shard_is_drained_over_ticks_within_the_budgets():
    """Of four order params two go per tick, as the budget says; when the shard is empty nothing more is planned."""
    at, memory, counts = situation((0.1, 0.1, 0.1, 0.1), owner=(0, 0, 0, 0)), TRUSTING, []
    owner = np.zeros(4, dtype=int)
    for tick in range(4):
        now = replace(at, owner=owner.copy(), at_s=NOW_S + tick * STEP_S)
        ruling, memory = decided(now, Orders(draining=frozenset({"s0"})), memory, budget_moves=2)
        counts.append(len(ruling.sent))
        for move in ruling.sent:
            owner[NAMES.index(move.order_param)] = int(move.destination[1])
    assert counts == [2, 2, 0, 0]
    assert ruling.plan.status is PlanStatus.NOT_NEEDED


def test_a_plan_that_is_sent_in_parts_keeps_a_group_apart():
    """The budget lets one of two moves go: the one that comes beside the other waits until that has left."""
    at = situation((0.3, 0.3, 0.1, 0.1), owner=(0, 1, 1, 2))
    ordered = Orders(spread_groups={"g": frozenset({"a", "b"})})
    moves = [Move("a", "s0", "s1", "by people"), Move("b", "s1", "s2", "by people")]
    decider = Decider(CompositePlanner(), PlanVerifier(), replace(SETTINGS, budget_moves=1))
    ruling, memory = decider.carry_out(at, ordered, TRUSTING, moves)
    assert not ruling.faults
    for tick in range(1, 4):
        owner = np.array([{"s0": 0, "s1": 1, "s2": 2}[place] for place in places_after(at, ruling.sent)])
        assert owner[0] != owner[1]
        at = replace(at, owner=owner, at_s=NOW_S + tick * STEP_S)
        left = [move for move in moves if at.owner[NAMES.index(move.order_param)] != int(move.destination[1])]
        if not left:
            return
        ruling, memory = decider.carry_out(at, ordered, memory, left)
    pytest.fail(f"{left} were never sent")


def test_a_plan_of_people_may_use_the_dead_band():
    """A destination may be filled up to the headroom; beyond it the plan is refused."""
    decider = Decider(CompositePlanner(), PlanVerifier(), SETTINGS)

    def faults(share, moved=0.2):
        at = situation((moved, 0.1, share, 0.0), owner=(0, 0, 1, 2))
        return decider.carry_out(at, Orders(), TRUSTING, [Move("a", "s0", "s1", "by people")])[0].faults

    assert faults(0.57) == ()
    assert any("overload worse" in fault for fault in faults(0.62))


def places_after(at, sent):
    places = {name: f"s{column}" for name, column in zip(NAMES, at.owner, strict=True)}
    return (places | {move.order_param: move.destination for move in sent}).values()


@pytest.mark.parametrize(
    "ordered",
    [
        Orders(),
        Orders(mode=Mode.RELIEF),
        Orders(mode=Mode.BALANCE),
        Orders(approval=True),
        Orders(pinned=frozenset({"a"})),
        Orders(forbidden={"a": frozenset({"s2"})}),
        Orders(spread_groups={"g": frozenset({"a", "c", "d"})}),
        Orders(draining=frozenset({"s3"})),
        Orders(filling=frozenset({"s2"})),
    ],
)
def test_stable_traffic_moves_nothing_whatever_is_ordered(ordered):
    """Thirty ticks of the same load, which keeps every order already: not one plan is made."""
    steps = [(0.3, 0.1, 0.35, 0.35)] * 3
    memory = TRUSTING
    for tick in range(30):
        at = situation((0.3, 0.1, 0.35, 0.35), owner=(0, 0, 1, 2), steps=steps)
        starts_s = at.estimate.starts_s + tick * STEP_S
        now = replace(at, at_s=NOW_S + tick * STEP_S, estimate=replace(at.estimate, starts_s=starts_s))
        ruling, memory = decided(now, ordered, memory)
        assert ruling.plan.status is PlanStatus.NOT_NEEDED
    assert memory.moves == 0


def test_how_long_a_migration_takes_decides_when_it_is_sent():
    """Congestion five steps ahead, a trough before it: deferred if a migration is quick, sent now if it takes that long."""
    steps = [(0.4, 0.3, 0.1, 0.1), (0.1, 0.1, 0.1, 0.1), *[(0.4, 0.3, 0.1, 0.1)] * 3, (0.6, 0.5, 0.1, 0.1)]
    at = situation((0.4, 0.3, 0.1, 0.1), steps=steps)
    assert set(admissions(decided(at)[0]).values()) == {Admission.DEFERRED}
    assert set(admissions(decided(replace(at, lead_s=5.0 * STEP_S))[0]).values()) == {Admission.ADMITTED}


def test_a_demoted_champion_leaves_the_floor_and_says_so():
    """What was foreseen is not planned on, however well it has held; what was measured is."""
    steps = [(0.6, 0.5, 0.1, 0.1)] * 3
    calm = replace(situation((0.3, 0.3, 0.1, 0.1), steps=steps), distrust="the short champion was demoted (worse)")
    ruling, _ = decided(calm)
    assert (ruling.basis, ruling.moves) == (Basis.MEASURED, ())
    assert ruling.notes == ("the short champion was demoted (worse); decided on what was measured",)
    assert decided(replace(situation(steps=steps), distrust="demoted"))[0].sent


# ---- what auto comes to

DAY_S = 86_400.0


def quality(forecaster, hours, loss=0.1, covered=0.8, pairs=1000):
    return ForecastQuality("short", forecaster, pairs, 0.0, hours * 3600.0, covered, 0.95, loss, 0.2)


@pytest.mark.parametrize(
    ("standing", "of_the_week", "passed"),
    [
        (ChampionStanding(), (), False),
        (ChampionStanding(serving=1, learnt_s=DAY_S), (), True),
        (ChampionStanding(serving=1, learnt_s=DAY_S / 8), (), False),
        (ChampionStanding(serving=1, learnt_s=DAY_S / 8), (quality("champion", 24),), True),
        (ChampionStanding(serving=1, learnt_s=DAY_S / 8), (quality("baseline", 24),), False),
        (ChampionStanding(), (quality("baseline", 24),), True),
        (ChampionStanding(), (quality("baseline", 23),), False),
        (ChampionStanding(), (quality("baseline", 24, pairs=199),), False),
        (ChampionStanding(), (quality("baseline", 24, loss=0.3),), False),
        (ChampionStanding(), (quality("baseline", 24, covered=0.5),), False),
        (ChampionStanding(demoted=1, reason="worse"), (quality("champion", 48),), False),
        (ChampionStanding(), (replace(quality("baseline", 24), horizon="medium"),), False),
    ],
)
def test_when_forecasts_have_proved_themselves(standing, of_the_week, passed):
    """A champion of a day's history or more, or a day that held; and whatever is missing is said."""
    assert bool(proof(standing, of_the_week)) is passed
    if not passed:
        assert what_is_missing(standing, of_the_week)
