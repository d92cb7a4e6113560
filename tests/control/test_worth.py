"""Which moves of a plan are sent: those that are worth it, and of later waves those that need not wait."""

from dataclasses import replace

import pytest
from test_deciding import SETTINGS, STEP_S, TRUSTING, admissions, decided, situation
from test_hedging import PEAK, before

from optimizer.planner import CompositePlanner
from plb_ray.control.admitting import Rooms
from plb_ray.control.deciding import Decider
from plb_ray.control.orders import Orders
from plb_ray.control.stating import course_of
from plb_ray.control.timing import WAVES_MAX, waves_in_a_tick
from plb_ray.control.views import Admission
from plb_ray.domain.plan import Move, PlanStatus

GIANT = 1.2


@pytest.mark.parametrize(("share", "admission"), [(1e-3, Admission.NOT_WORTH_IT), (1e-2, Admission.ADMITTED)])
def test_a_trifle_is_left_beside_what_is_larger_than_a_shard(share, admission):
    """Less than a second of a shard's overload in the step is not worth a move; ten times as much is."""
    assert admissions(decided(situation((GIANT, share, 0.1, 0.1)))[0]) == {"b": admission}


def test_of_a_plan_only_the_trifle_is_left_out():
    """What takes away much is sent though another move of the same plan is not worth it."""
    ruling, _ = decided(situation((GIANT, 0.3, 1e-3, 0.1), owner=(0, 0, 0, 2)))
    assert admissions(ruling) == {"b": Admission.ADMITTED, "c": Admission.NOT_WORTH_IT}


def test_what_no_shard_can_take_stays_and_its_companions_leave():
    """Emptying another shard for it would take a tick more, and overload both meanwhile."""
    ruling, _ = decided(situation((GIANT, 0.3, 0.05, 0.3)))
    assert {move.order_param for move in ruling.sent} == {"b"}


def test_a_move_that_only_the_past_asks_for_is_worth_it():
    """Nothing is over now; each of its moves has gained enough to be planned, so none is a trifle."""
    ruling, _ = decided(before(PEAK, PEAK))
    assert set(admissions(ruling).values()) == {Admission.ADMITTED}


def rooms(measured, foreseen):
    """`a` and `b` on s0, `c` on s1, `d` on s2."""
    at = situation(measured, steps=[foreseen])
    return Rooms(course_of(at, at.estimate), 0.8)


COMING = Move("a", "s0", "s1", "", wave=2)
ROOM = Move("c", "s1", "s2", "")


def test_a_later_wave_gains_once_room_is_made():
    """`a` will be larger than a shard: it gains to be alone with what little is left, not to meet what fills a shard."""
    found = rooms((0.1, 0.3, 0.6, 0.1), (GIANT, 0.3, 0.6, 0.1))
    assert not found.gains(COMING)
    assert found.take(ROOM)
    assert found.gains(COMING)


@pytest.mark.parametrize(
    ("step_s", "lead_s", "waves"), [(600, 0.05, WAVES_MAX), (60, 10.0, 3), (60, 45.0, 1), (60, 0.0, WAVES_MAX)]
)
def test_as_many_waves_go_in_a_tick_as_end_in_its_first_half(step_s, lead_s, waves):
    """One at least, however long a migration takes."""
    assert waves_in_a_tick(replace(situation(), step_s=step_s, lead_s=lead_s)) == waves


class Planned:
    """A planner that always has the same plan, and a checker that finds no fault."""

    def plan(self, problem):
        solved = CompositePlanner().plan(problem)
        return replace(solved, status=PlanStatus.PARTIAL, moves=(ROOM, COMING))

    def check(self, _problem, _plan):
        return ()


@pytest.mark.parametrize(("lead", "coming"), [(0.01, Admission.ADMITTED), (0.9, Admission.WAITS_FOR_WAVE)])
def test_a_later_wave_is_sent_in_the_same_tick_if_there_is_time(lead, coming):
    """Who makes room and who comes: both now if migrations are quick, the second one later if they are slow."""
    at = situation((0.1, 0.75, 0.6, 0.1), steps=[(GIANT, 0.75, 0.6, 0.1)])
    decider = Decider(Planned(), Planned(), SETTINGS)
    ruling, _ = decider.decide(replace(at, lead_s=lead * STEP_S), Orders(), TRUSTING)
    assert admissions(ruling) == {"c": Admission.ADMITTED, "a": coming}
