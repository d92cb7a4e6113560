"""Fleets small enough to try everything, and the cases at the edge."""

from dataclasses import replace

import numpy as np
import pytest
from fleet_builders import _partitions as partitions
from fleet_builders import cheapest_by_brute_force, fleet_problem, plan
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from optimizer.fleet import FleetStatus, ShardType, verify_fleet
from optimizer.fleet_bound import fleet_bound
from optimizer.fleet_parts import parts_of
from plb_ray.errors import BadInputError

SMALL = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tiny_fleets(draw):
    """Up to 6 order params, 2 steps, 2 resources, 3 types; whole twentieths so that exact fits and ties occur."""
    count, steps, resources = draw(st.integers(1, 6)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    numbers = st.integers(0, 20).map(lambda units: units / 20) | st.floats(0, 1, allow_subnormal=False)
    cells = count * steps * resources
    load = np.array(draw(st.lists(numbers, min_size=cells, max_size=cells))).reshape(count, steps, resources)
    capacity = st.sampled_from([0.7, 1.0, 1.5, 2.0, np.inf])
    kinds = [
        (
            draw(st.lists(capacity, min_size=resources, max_size=resources)),
            draw(st.sampled_from([1.0, 1.5, 1.7, 2.0])),
            draw(st.none() | st.integers(0, 3)),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    group = draw(st.lists(st.sampled_from([-1, -1, 0, 1]), min_size=count, max_size=count))
    return fleet_problem(load, kinds, spread_group=group, headroom=draw(st.sampled_from([1.0, 0.9])))


@SMALL
@given(tiny_fleets())
@example(fleet_problem([[0.6], [0.6], [0.6]]))
def test_the_fleet_is_the_cheapest(problem):
    """Price and verdict are those of brute force, the bound is not above it, and the fleet is sound."""
    found = plan(problem, wall_s=20.0)
    left = {leftover.order_param for leftover in found.leftovers}
    kept = [row for row, name in enumerate(problem.order_params) if name not in left]
    rest = replace(
        problem,
        order_params=tuple(problem.order_params[row] for row in kept),
        load=problem.load[kept],
        spread_group=None if problem.spread_group is None else problem.spread_group[kept],
    )
    best = cheapest_by_brute_force(rest)
    bound = fleet_bound(parts_of(rest))
    assert verify_fleet(problem, found) == ()
    if best is None:
        assert found.status in (FleetStatus.IMPOSSIBLE, FleetStatus.NOT_FOUND)
        return
    assert not bound.impossible
    assert bound.price <= best + 1e-9
    assert found.lower_bound <= best + 1e-9
    assert found.price == pytest.approx(best)
    assert found.status == (FleetStatus.PARTIAL if left else FleetStatus.OPTIMAL)


def test_nothing_needs_no_shard():
    """No order params: the empty fleet is optimal."""
    found = plan(fleet_problem(np.zeros((0, 2)), (((1.0, 1.0), 1.0),)))
    assert (found.counts, found.price, found.status) == ((0,), 0.0, FleetStatus.OPTIMAL)


def test_zero_loads_need_one_shard_or_their_group():
    """Order params without load need one shard, of the cheapest type; members of a group as many as they are."""
    kinds = (((1.0,), 2.0), ((1.0,), 1.0))
    assert plan(fleet_problem(np.zeros((4, 1)), kinds)).counts == (0, 1)
    assert plan(fleet_problem(np.zeros((4, 1)), kinds, spread_group=[7, 7, 7, -1])).counts == (0, 3)


def test_infinite_capacity_holds_anything():
    """Only resources with a limit count."""
    found = plan(fleet_problem(np.full((50, 2), 0.1), (((np.inf, 1.0), 1.0),)))
    assert (found.counts, found.binding_resource) == ((5,), "net_bytes_per_s")


def test_what_fits_no_type_is_named_with_the_reason():
    """A resource that no type has, or a load too big even when split: left out with the reason, the others get a fleet."""
    found = plan(fleet_problem([[0.5, 0.1], [0.5, 0.0]], (((1.0, 0.0), 1.0),)))
    assert (found.status, found.counts, found.leftovers[0].order_param) == (FleetStatus.PARTIAL, (1,), "p0")
    assert "no type has, net_bytes_per_s" in found.leftovers[0].reason
    found = plan(fleet_problem([[4.5], [0.5]], segments=4))
    assert "needs 4.5 x the usable cpu_cores" in found.leftovers[0].reason
    assert plan(fleet_problem([[3.5], [0.1]], segments=4)).shards == 4


def test_parts_are_on_distinct_shards():
    """A load of 1.2 in parts of at most 0.25 needs five shards, though two would have the capacity."""
    found = plan(fleet_problem([[1.2]], segments=8, split_above=0.25))
    assert (found.counts, found.shards_lower_bound, found.binding_rule) == ((5,), 5, "spread group")


def test_impossible_is_proven_and_said():
    """Too few shards may be had: by volume, by a spread group, and only by trying everything."""
    one = ((1.0,), 1.0, 2)
    by_volume = plan(fleet_problem([[0.9]] * 3, (one,)))
    by_group = plan(fleet_problem([[0.1]] * 3, (one,), spread_group=[0, 0, 0]))
    by_trying = plan(fleet_problem([[0.4]] * 3 + [[0.26]] * 3, (one,)), wall_s=5.0)
    assert [found.status for found in (by_volume, by_group, by_trying)] == [FleetStatus.IMPOSSIBLE] * 3
    assert "fall short" in by_volume.reason
    assert "spread group" in by_group.reason
    assert by_trying.counts == (0,)


def test_dual_feasible_functions_see_what_volume_does_not():
    """Loads of 0.51 and of 0.34: one, or two of the others, per shard, whatever the volume says."""
    assert fleet_bound(parts_of(fleet_problem([[0.51]] * 40))).shards == 40
    assert fleet_bound(parts_of(fleet_problem([[0.34]] * 40))).shards == 20
    assert fleet_bound(parts_of(fleet_problem([[0.7]] * 10 + [[0.35]] * 10))).shards == 15


def test_an_exact_fit_is_not_taken_for_one_too_many():
    """Loads that fill shards exactly, in floats that do not add up exactly, are not bounded above what holds them."""
    assert plan(fleet_problem([[0.1]] * 30)).counts == (3,)
    assert plan(fleet_problem([[0.7], [0.2], [0.1]] * 7)).counts == (7,)
    assert plan(fleet_problem([[1 / 3]] * 30)).counts == (10,)


BAD = [
    (lambda p: replace(p, load=p.load[:1]), "shape"),
    (lambda p: replace(p, load=-p.load), "not a number >= 0"),
    (lambda p: replace(p, load=p.load * np.nan), "not a number >= 0"),
    (lambda p: replace(p, order_params=("p0", "p0")), "given twice"),
    (lambda p: replace(p, types=()), "no shard type"),
    (lambda p: replace(p, types=(ShardType("t", (1.0, 1.0)),)), "capacity"),
    (lambda p: replace(p, types=(ShardType("t", (1.0,), 0.0),)), "price"),
    (lambda p: replace(p, types=(ShardType("t", (1.0,), 1.0, -1),)), "negative"),
    (lambda p: replace(p, headroom=0.0), "headroom"),
    (lambda p: replace(p, segments=0), "segments"),
    (lambda p: replace(p, spread_group=np.zeros(3, dtype=np.int64)), "spread_group"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD, ids=[says + str(n) for n, (_, says) in enumerate(BAD)])
def test_bad_input_is_refused(spoil, says):
    """What is malformed is named before anything is computed."""
    with pytest.raises(BadInputError, match=says):
        plan(spoil(fleet_problem([[0.5], [0.4]])))


FAULTS = [
    (lambda p: replace(p, shard_of=np.zeros_like(p.shard_of)), "holds"),
    (lambda p: replace(p, shard_of=p.shard_of - 1), "no shard"),
    (lambda p: replace(p, origin=p.origin[:-1], shard_of=p.shard_of[:-1]), "not allocated"),
    (lambda p: replace(p, counts=(0, 3)), "not the counts"),
    (lambda p: replace(p, price=p.price / 2), "price"),
    (lambda p: replace(p, lower_bound=p.price * 2), "lower bound"),
    (lambda p: replace(p, shards_lower_bound=99), "lower bound"),
    (lambda p: replace(p, shard_type=p.shard_type * 0, counts=(p.shards, 0)), "at most 1"),
    (lambda p: replace(p, origin=np.append(p.origin, 0), shard_of=np.append(p.shard_of, 1 - p.shard_of[0])), "parts"),
]


@pytest.mark.parametrize(("spoil", "says"), FAULTS, ids=[says + str(n) for n, (_, says) in enumerate(FAULTS)])
def test_the_verifier_finds_what_is_wrong(spoil, says):
    """Each spoilt plan has the fault that was put in; the unspoilt one has none."""
    problem = fleet_problem([[0.6], [0.6], [0.7], [0.2]], (((1.0,), 1.0, 1), ((1.0,), 1.5)), spread_group=[0, -1, -1, 0])
    sound = plan(problem)
    assert verify_fleet(problem, sound) == ()
    assert any(says in fault for fault in verify_fleet(problem, spoil(sound)))


def test_the_verifier_finds_a_broken_group():
    """Two members of a spread group on one shard are a fault."""
    problem = fleet_problem([[0.1], [0.1]], spread_group=[3, 3])
    sound = plan(problem)
    assert sound.counts == (2,)
    assert any("spread group 3" in fault for fault in verify_fleet(problem, replace(sound, shard_of=np.array([1, 1]))))


def pooled(load, excess, correlation=0.1, **options):
    """Return a problem of uncertain loads on shards of 1."""
    return fleet_problem(load, excess=np.asarray(excess, dtype=np.float64)[:, None, :], correlation=correlation, **options)


def carried(problem, rows):
    """Return the highest load of a shard with these order params by the formula, in plain numbers."""
    most = 0.0
    for step in range(problem.load.shape[1]):
        for resource in range(problem.load.shape[2]):
            mean, excess = problem.load[rows, step, resource], problem.excess[rows, step, resource]
            rho = problem.correlation
            most = max(most, mean.sum() + np.sqrt(rho * excess.sum() ** 2 + (1 - rho) * (excess**2).sum()))
    return most


def test_uncertain_loads_pool():
    """Ten of mean 0.05 and excess 0.1 fill one shard to 0.94, though quantiles add up to 1.5; eleven need two."""
    ten = plan(pooled([[0.05]] * 10, [[0.1]] * 10))
    assert (ten.counts, carried(pooled([[0.05]] * 10, [[0.1]] * 10), slice(None))) == ((1,), pytest.approx(0.9359, abs=1e-4))
    assert plan(pooled([[0.05]] * 11, [[0.1]] * 11)).counts == (2,)


@pytest.mark.parametrize("seed", range(5))
def test_uncertain_fleets_against_the_formula(seed):
    """Of order params in every partition the least number of shards is found, and the bound is not above it."""
    rng = np.random.default_rng(seed)
    problem = pooled(rng.uniform(0.05, 0.4, (7, 1)), rng.uniform(0.0, 0.3, (7, 1)))
    best = min(len(blocks) for blocks in partitions(7) if all(carried(problem, block) <= 1 for block in blocks))
    found = plan(problem, work=2_000_000, wall_s=60.0)
    assert verify_fleet(problem, found) == ()
    assert found.shards == best
    assert found.shards_lower_bound <= best
    for shard in range(found.shards):
        assert carried(problem, found.origin[found.shard_of == shard]) <= 1 + 1e-9


def test_the_verifier_adds_uncertain_loads_up():
    """A shard that holds its means but not what comes on top is a fault."""
    problem = pooled([[0.4], [0.4]], [[0.3], [0.3]])
    sound = plan(problem)
    assert sound.counts == (2,)
    together = replace(sound, counts=(1,), price=1.0, shard_type=sound.shard_type[:1], shard_names=sound.shard_names[:1])
    assert any("holds" in fault for fault in verify_fleet(problem, replace(together, shard_of=np.array([0, 0]))))
