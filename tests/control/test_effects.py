"""What moves promise and what is held against it, on situations built by hand: a, b and c on three shards of capacity 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plb_ray.control.effects import LEAST, PRIOR_S, EffectKeeper, settled
from plb_ray.control.memory_record import MemoryEffects
from plb_ray.control.promises import promises_of
from plb_ray.control.situation import Situation
from plb_ray.control.stating import course_of
from plb_ray.domain.effects import EffectQuery, EffectState, MoveEffect
from plb_ray.domain.load import RESOURCES, LoadEstimate, ResourceVector, Shard
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.domain.plan import Move

STEP_S, NOW_S = 600, 1_700_006_400
NAMES = ("a", "b", "c")
HEADROOM = 0.8


def cpu(*shares):
    load = np.zeros((len(shares), len(RESOURCES)))
    load[:, 0] = shares
    return load


def situation(at_s=NOW_S, shares=(0.5, 0.4, 0.2), owner=(0, 0, 1), steps=None, mean=1.0, **more):
    """Measured shares by order param; `steps` are shares planned on at each coming step, `mean` times that is expected."""
    estimate = None
    if steps is not None:
        load = np.stack([cpu(*each) for each in steps], axis=1)
        starts_s = at_s + STEP_S * np.arange(len(steps))
        estimate = LoadEstimate(NAMES, starts_s, load, mean * load, 0.9)
    capacity = ResourceVector(cpu_cores=1.0, io_bytes_per_s=1e6)
    shards = tuple(Shard(f"s{number}", "", capacity) for number in range(3))
    return Situation(at_s, STEP_S, NAMES, shards, frozenset(), np.array(owner), cpu(*shares), estimate, **more)


def effect(promise, name="a", place=0, decision=1, **more):
    values = {"foreseen": True, "source": "s0", "destination": "s1", **more}
    return MoveEffect(f"{decision}-{name}", decision, place, float(NOW_S), name, promise=promise, **values)


def promised(*names, steps=((0.6, 0.5, 0.2),) * 2, mean=0.5):
    """Return the effects of moving these from s0 to s1."""
    course = course_of(situation(steps=steps, mean=mean), situation(steps=steps, mean=mean).estimate)
    promises = promises_of(course, [Move(name, "s0", "s1", "") for name in names], HEADROOM)
    return [effect(promise, name, place) for place, (name, promise) in enumerate(zip(names, promises, strict=True))]


def known(*records):
    return {record.migration_id: record for record in records}.get


def record(migration_id="1-a", step=MigrationStep.DONE, **more):
    made = MigrationRecord(migration_id, "a", "s0", "s1", 1, step, "", 100.0, 102.5, 50, 500_000, 40.0)
    return replace(made, **more)


def test_a_promise_is_what_the_move_takes_away_at_each_step():
    """The move takes a from 110 % of s0: 30 % over 80 % for a step each; its load is the planned one and its mean."""
    (one,) = promised("a")
    promise = one.promise
    assert promise.resource == "cpu_cores"
    assert promise.starts_s == (NOW_S, NOW_S + STEP_S)
    assert promise.load == pytest.approx((0.6, 0.6))
    assert promise.expected_load == pytest.approx((0.3, 0.3))
    assert promise.taken_s == pytest.approx((0.3 * STEP_S, 0.3 * STEP_S))
    peaks = (promise.source_before, promise.source_after, promise.destination_before, promise.destination_after)
    assert peaks == pytest.approx((1.1, 0.5, 0.2, 0.8))
    assert promise.until_s == NOW_S + 2 * STEP_S


def test_moves_of_one_decision_share_what_they_take_away():
    """The first takes what is over; the second one after it takes nothing, and fills the destination above the headroom."""
    first, second = promised("a", "b")
    assert sum(first.promise.taken_s) == pytest.approx(0.3 * 2 * STEP_S)
    assert sum(second.promise.taken_s) == pytest.approx(-0.5 * 2 * STEP_S)


def test_without_a_forecast_the_measured_step_is_promised_for_one_step():
    """The floor promises that what is over now is over no longer in the step that comes."""
    course = course_of(situation(), None)
    (promise,) = promises_of(course, [Move("a", "s0", "s1", "")], HEADROOM)
    assert (promise.starts_s, promise.taken_s) == ((NOW_S,), pytest.approx((0.1 * STEP_S,)))
    assert promise.load == promise.expected_load == (0.5,)


def test_moves_of_what_is_unknown_promise_nothing():
    """A shard that has gone, or an order param that has, gives no promise; the others' stand."""
    course = course_of(situation(), None)
    moves = [Move("a", "s0", "s9", ""), Move("x", "s0", "s1", ""), Move("b", "s0", "s2", "")]
    assert [each is None for each in promises_of(course, moves, HEADROOM)] == [True, True, False]


def test_what_came_is_measured_against_the_counterfactual():
    """With a, which came with 0.55, s0 would be at 0.95 and 0.15 over: 90 s were taken away of 180 promised."""
    arrived = situation(NOW_S + STEP_S, (0.55, 0.4, 0.2), (1, 0, 1))
    (one,) = settled(promised("a"), arrived, known(record()), HEADROOM)
    came = one.realised
    assert (one.state, came.steps) == (EffectState.PENDING, 1)
    assert (came.taken_s, came.promised_taken_s) == pytest.approx((0.15 * STEP_S, 0.3 * STEP_S))
    assert (came.load_s, came.promised_load_s) == pytest.approx((0.55 * STEP_S, 0.3 * STEP_S))
    assert (came.source_without, came.source, came.destination) == pytest.approx((0.95, 0.4, 0.75))
    assert (came.duration_s, came.pause_ms, came.bytes_copied) == (2.5, 40.0, 500_000)
    assert came.cost_s == pytest.approx(0.04 * 0.55 + 2 * 0.5)
    (same,) = settled([one], arrived, known(record()), HEADROOM)
    assert same == one  # the same step again changes nothing
    (over,) = settled([one], situation(NOW_S + 2 * STEP_S, (0.55, 0.4, 0.2), (1, 0, 1)), known(), HEADROOM)
    assert (over.state, over.realised.steps) == (EffectState.SETTLED, 2)
    assert over.realised.taken_s == pytest.approx(2 * 0.15 * STEP_S)


def test_what_the_moves_of_a_decision_took_away_adds_up_to_the_whole():
    """Put back one by one, two moves are credited with what both together kept from their source."""
    moves = promised("a", "b")
    arrived = situation(NOW_S + STEP_S, (0.6, 0.5, 0.0), (1, 1, 1))
    first, second = settled(moves, arrived, known(), HEADROOM)
    before, after = max(0.0, 1.1 - HEADROOM), max(0.0, 1.1 - HEADROOM)
    assert first.realised.taken_s + second.realised.taken_s == pytest.approx((before - after) * STEP_S)
    assert second.realised.taken_s == pytest.approx(-0.3 * STEP_S)


def test_a_move_that_is_late_has_taken_nothing_yet():
    """While it is on its way the step counts as promised, and nothing as taken away."""
    late = situation(NOW_S + STEP_S, moving={"a": "s1"})
    (one,) = settled(promised("a"), late, known(record(step=MigrationStep.PRECOPIED, finished_s=None)), HEADROOM)
    assert (one.state, one.realised.steps, one.realised.taken_s) == (EffectState.PENDING, 1, 0.0)
    assert one.realised.duration_s is None


@pytest.mark.parametrize(
    ("owner", "records", "state"),
    [
        ((0, 0, 1), (record(step=MigrationStep.ABORTED, error="no answer"),), EffectState.ROLLED_BACK),
        ((0, 0, 1), (), EffectState.UNKNOWN),  # it waited for its turn and was forgotten
        ((0, 0, 1), (record(),), EffectState.MOVED_ON),  # it was there, and has gone back
        ((2, 0, 1), (record(),), EffectState.MOVED_ON),
    ],
)
def test_moves_that_do_not_stay(owner, records, state):
    """Rolled back, never begun, gone back or gone on: each ends the promise, and says so."""
    (one,) = settled(promised("a"), situation(NOW_S + STEP_S, owner=owner), known(*records), HEADROOM)
    assert one.state is state
    if state is EffectState.ROLLED_BACK:
        assert (one.why, one.realised.taken_s, one.realised.promised_taken_s) == ("no answer", 0.0, 360.0)


async def test_the_experience_is_the_share_that_was_kept():
    """Half of what is promised comes, again and again: so much is counted of the next promises; a floor keeps it from 0."""
    keeper = EffectKeeper(MemoryEffects(), known(record()), HEADROOM)
    await keeper.recall()
    assert keeper.experience.ratio == 1.0
    await keeper.note(promised("a"))
    for step in (1, 2):
        await keeper.settle(situation(NOW_S + step * STEP_S, (0.55, 0.4, 0.2), (1, 0, 1)))
    learned = keeper.experience
    assert learned.ratio == pytest.approx((180 + PRIOR_S) / (360 + PRIOR_S))
    assert (learned.moves, learned.move_cost_s) == (1.0, pytest.approx(0.04 * 0.55 + 1.0))
    for number in range(2, 30):
        await keeper.note([replace(each, decision=number, migration_id="1-a") for each in promised("a")])
        for step in (1, 2):
            await keeper.settle(situation(NOW_S + step * STEP_S, (0.1, 0.4, 0.2), (1, 0, 1)))
    assert keeper.experience.ratio == LEAST


async def test_promises_outlive_the_process():
    """A successor takes up what is pending and what was learned, and compares the steps that come from then on."""
    log = MemoryEffects()
    first = EffectKeeper(log, known(record()), HEADROOM)
    await first.recall()
    await first.note(promised("a"))
    await first.settle(situation(NOW_S + STEP_S, (0.55, 0.4, 0.2), (1, 0, 1)))
    second = EffectKeeper(log, known(), HEADROOM)
    await second.recall()
    await second.settle(situation(NOW_S + 2 * STEP_S, (0.55, 0.4, 0.2), (1, 0, 1)))
    (kept,) = await log.find(EffectQuery())
    assert (kept.state, kept.realised.steps, kept.realised.pause_ms) == (EffectState.SETTLED, 2, 40.0)
    third = EffectKeeper(log, known(), HEADROOM)
    await third.recall()
    assert third.experience == second.experience
    assert third.experience.moves == 1.0
