"""The order of moves: waves in which nothing overloads although both copies count."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_builders import problem, zipf_problem

from optimizer.packing import pack
from optimizer.sequencing import Step, WaveSettings, waves

SMALL = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def hops(packing, shard_of, steps):
    """Return (wave, row, source, destination, forced) of each way from shard to shard, by wave."""
    found = []
    for step in steps:
        start = int(packing.current[step.row])
        if step.via >= 0:
            found.append((step.via_wave, step.row, start, step.via, False))
            start = step.via
        found.append((step.wave, step.row, start, int(shard_of[step.row]), step.forced))
    return sorted(found)


def check_waves(packing, shard_of, steps):
    """Replay with plain loops: each move once, sources freed only after a wave, nothing goes above a limit unless forced."""
    assert sorted(step.row for step in steps) == np.flatnonzero(shard_of != packing.current).tolist()
    all_hops = hops(packing, shard_of, steps)
    use, place = packing.use(packing.current), packing.current.copy()
    for wave in sorted({hop[0] for hop in all_hops}):
        running = [hop for hop in all_hops if hop[0] == wave]
        excused = {destination for _, _, _, destination, forced in running if forced}
        for _, row, source, destination, _ in running:
            assert place[row] == source
            use[destination] += packing.load[row]
        for _, row, _, destination, _ in running:
            loaded = packing.load[row] > 0
            if destination not in excused:
                assert (use[destination, loaded] <= packing.limit[destination, loaded]).all()
        for _, row, source, destination, _ in running:
            use[source] -= packing.load[row]
            place[row] = destination
    assert (place == shard_of).all()


def moved(packing, where):
    """Return the current allocation with some order params elsewhere."""
    shard_of = packing.current.copy()
    for row, shard in where.items():
        shard_of[row] = shard
    return shard_of


def sequenced(plan_problem, where, **limits):
    """Return the steps, replayed."""
    packing = pack(plan_problem)
    shard_of = moved(packing, where)
    steps = waves(packing, shard_of, WaveSettings(**limits))
    check_waves(packing, shard_of, steps)
    return steps


def test_nothing_to_move_needs_no_wave():
    """An allocation that is the current one has no steps."""
    assert sequenced(problem([0.5, 0.5], [0, 1]), {}) == ()


def test_moves_that_fit_run_in_one_wave():
    """Where everything has room beside what is there, one wave is enough."""
    steps = sequenced(problem([0.3, 0.3, 0.3], [0, 0, 1], shards=3), {0: 1, 1: 2})
    assert [step.wave for step in steps] == [1, 1]


def test_room_is_made_before_it_is_used():
    """What leaves a full shard goes a wave before what comes to it, though what comes is from the shard that overloads."""
    steps = sequenced(problem([0.9, 0.3, 0.5, 0.4], [0, 0, 1, 1], shards=3), {1: 1, 2: 2})
    assert steps == (Step(2, 1), Step(1, 2))


def test_the_earliest_overload_is_relieved_first():
    """Of two hot shards the one that overloads first comes first, though the other overloads more."""
    load = [[0.6, 0.6], [0.6, 0.6], [0.1, 0.9], [0.1, 0.9], [0.0, 0.0]]
    steps = sequenced(problem(load, [0, 0, 1, 1, 2], shards=4), {3: 3, 1: 2})
    assert [step.row for step in steps] == [1, 3]


def test_what_must_leave_is_most_urgent():
    """An order param on a draining shard goes before one on a shard that overloads."""
    steps = sequenced(problem([0.6, 0.6, 0.1], [0, 0, 1], shards=4, draining=[1]), {0: 3, 2: 3})
    assert [step.row for step in steps] == [2, 0]


def test_a_swap_of_full_shards_goes_by_a_third():
    """Two shards that are full of each other's order params: one is parked where there is room, and both arrive."""
    steps = sequenced(problem([0.8, 0.7, 0.1], [0, 1, 2], shards=3), {0: 1, 1: 0})
    assert sorted(steps) == [Step(0, 2), Step(1, 3, via=2, via_wave=1)]
    assert not any(step.forced for step in steps)


def test_one_large_against_two_small_goes_by_a_third():
    """As many are parked as the blocked one needs."""
    steps = sequenced(problem([0.8, 0.4, 0.4, 0.1], [0, 1, 1, 2], shards=3), {0: 1, 1: 0, 2: 0})
    assert {step.row: step.via for step in steps} == {0: -1, 1: 2, 2: 2}
    assert not any(step.forced for step in steps)


def test_a_cycle_without_a_third_shard_is_forced_where_it_hurts_least():
    """With no room anywhere the move that adds least overload is forced, and the other follows within the limits."""
    steps = sequenced(problem([0.9, 0.3], [0, 1], capacity=[0.9, 1.0]), {0: 1, 1: 0})
    assert steps == (Step(0, 1, forced=True), Step(1, 2))  # 0.2 over on shard-1; the other way would be 0.3 over on shard-0


@pytest.mark.parametrize("rule", [{"closed": [2]}, {"draining": [2]}, {"forbidden": [(0, 2), (1, 2)]}])
def test_nobody_is_parked_where_a_rule_forbids(rule):
    """A third shard that takes no order params is not used, even for a while."""
    steps = sequenced(problem([0.8, 0.7], [0, 1], shards=3, **rule), {0: 1, 1: 0})
    assert [step.via for step in steps] == [-1, -1]
    assert any(step.forced for step in steps)


def test_nobody_is_parked_beside_a_member_of_its_group():
    """Spread groups are kept on the way: the member on the third shard keeps its like from resting there."""
    plan_problem = problem([0.8, 0.7, 0.1], [0, 1, 2], shards=3, group=[0, -1, 0])
    assert {step.row: step.via for step in sequenced(plan_problem, {0: 1, 1: 0})} == {0: -1, 1: 2}


def test_concurrency_limits_are_kept():
    """No wave has more moves than allowed, in total and per shard."""
    plan_problem = problem([0.01] * 12, [0] * 6 + [1] * 6, shards=4)
    where = {row: 2 + row % 2 for row in range(12)}
    for limits, most in (({"moves": 5}, 5), ({"moves_per_shard": 2}, 4)):
        steps = sequenced(plan_problem, where, **limits)
        counts = np.bincount([step.wave for step in steps])
        assert counts.max() == most
        assert counts[1:].min() > 0


def test_parking_keeps_the_concurrency_limits():
    """With one move at a time even a cycle is broken one order param at a time."""
    steps = sequenced(problem([0.8, 0.7, 0.1], [0, 1, 2], shards=3), {0: 1, 1: 0}, moves=1)
    starts = [wave for step in steps for wave in (step.wave, step.via_wave) if wave]
    assert len(starts) == len(set(starts)) == 3


def test_limits_of_no_move_at_all_are_refused():
    """With nothing allowed in a wave nothing would ever end."""
    with pytest.raises(ValueError, match="at least one move"):
        WaveSettings(moves=0)


def test_arrivals_on_a_shard_that_the_plan_leaves_over_its_limit_say_so():
    """Where the plan itself ends above a limit, the move that gets there is marked."""
    steps = sequenced(problem([1.5, 0.2], [0, 1], capacity=[0.1, 1.0]), {0: 1})
    assert steps == (Step(0, 1, forced=True),)
    fine = sequenced(problem([0.7, 0.2], [0, 1], capacity=[0.1, 1.0]), {0: 1})
    assert fine == (Step(0, 1),)


def test_first_placements_have_no_source():
    """Order params without a shard arrive like any other, beside all that is there."""
    steps = sequenced(problem([0.6, 0.4, 0.5], [-1, -1, 0], shards=2), {0: 1, 1: 0})
    assert [step.wave for step in steps] == [1, 1]


@st.composite
def tiny_problems(draw):
    """Up to 7 order params on 4 shards, 2 steps, and any other allocation of them that keeps the limits at its end."""
    count, shards = draw(st.integers(1, 7)), draw(st.integers(2, 4))
    load = np.array(draw(st.lists(st.integers(0, 60), min_size=2 * count, max_size=2 * count))).reshape(count, 2) / 100
    now = draw(st.lists(st.integers(-1, shards - 1), min_size=count, max_size=count))
    after = draw(st.lists(st.integers(0, shards - 1), min_size=count, max_size=count))
    return problem(load, now, shards, closed=draw(st.sets(st.integers(0, shards - 1), max_size=1))), after


@SMALL
@given(tiny_problems(), st.sampled_from([{}, {"moves": 1}, {"moves_per_shard": 1}]))
def test_replay_never_overloads(case, limits):
    """Whatever the two allocations, every order param arrives once, and only what is marked is above a limit on its way."""
    plan_problem, after = case
    sequenced(plan_problem, dict(enumerate(after)), **limits)


def test_many_moves_of_full_shards_are_sequenced_without_force():
    """At 2,000 order params on 50 shards, rotating a third of them by one shard overloads nothing on the way."""
    plan_problem = zipf_problem(2000, 50, 4, seed=4, utilisation=0.5, headroom=1.0)
    rows = np.arange(0, 2000, 3)
    where = {int(row): (int(plan_problem.current[row]) + 1) % 50 for row in rows}
    steps = sequenced(plan_problem, where)
    packing = pack(plan_problem)
    fine = packing.use(moved(packing, where)) <= packing.limit
    assert len(steps) == rows.size
    assert all(not step.forced for step in steps if fine[where[step.row]].all())
