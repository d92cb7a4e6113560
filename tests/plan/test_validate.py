from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from plan_builders import problem, zipf_problem

from optimizer.validate import check_problem
from plb_ray.domain.plan import PlanMode
from plb_ray.errors import BadInputError

SOUND = problem([[1, 2], [3, 4]], [0, -1], 2, capacity=10, zones=[1, 2], allowed_zones={0: {1}}, forbidden=[(1, 0)])


def put(array, where, value):
    """Return a copy of the array with one cell changed."""
    changed = np.array(array, dtype=float if isinstance(value, float) else None)
    changed[where] = value
    return changed


def with_rules(**changes):
    return replace(SOUND, rules=replace(SOUND.rules, **changes))


def with_budget(**changes):
    return replace(SOUND, budget=replace(SOUND.budget, **changes))


NAN, INF = float("nan"), float("inf")
ARRAYS_OF_THE_PROBLEM = ("load", "capacity", "headroom", "current", "move_cost", "overload_weight")
ARRAYS_OF_THE_RULES = ("pinned", "draining", "closed", "zone", "zone_set", "spread_group")
REFUSED = {
    "load NaN": (
        replace(SOUND, load=put(SOUND.load, (1, 0, 0), NAN)),
        "load of order param 'op-1' of resource 'cpu_cores' at step 1",
    ),
    "load infinite": (replace(SOUND, load=put(SOUND.load, (0, 1, 2), INF)), "resource 'io_bytes_per_s' at step 2 is inf"),
    "load negative": (
        replace(SOUND, load=put(SOUND.load, (0, 1, 0), -1.0)),
        "load of order param 'op-0' of resource 'cpu_cores'",
    ),
    "load two axes": (replace(SOUND, load=SOUND.load[0]), "load has 2 axes; it needs 3"),
    "move cost NaN": (replace(SOUND, move_cost=np.array([1, NAN])), "move_cost of order param 'op-1' is nan"),
    "move cost negative": (replace(SOUND, move_cost=np.array([-1.0, 1])), "move_cost of order param 'op-0' is -1"),
    "capacity negative": (
        replace(SOUND, capacity=put(SOUND.capacity, (1, 1), -3.0)),
        "capacity of shard 'shard-1' of resource 'mem",
    ),
    "capacity NaN": (
        replace(SOUND, capacity=put(SOUND.capacity, (0, 0), NAN)),
        "capacity of shard 'shard-0' of resource 'cpu_cores'",
    ),
    "headroom zero": (replace(SOUND, headroom=np.array([1.0, 0.0])), "headroom of shard 'shard-1' is 0"),
    "headroom infinite": (replace(SOUND, headroom=np.array([INF, 1.0])), "headroom of shard 'shard-0' is inf"),
    "weight zero": (
        replace(SOUND, overload_weight=put(SOUND.overload_weight, (1, 0), 0.0)),
        "overload_weight of shard 'shard-1'",
    ),
    "weight NaN": (
        replace(SOUND, overload_weight=put(SOUND.overload_weight, (0, 0), NAN)),
        "overload_weight of shard 'shard-0'",
    ),
    "in flight negative": (
        replace(SOUND, in_flight=np.full((2, 2, 3), -1.0)),
        "in_flight of shard 'shard-0' of resource 'cpu_cores'",
    ),
    "in flight shape": (replace(SOUND, in_flight=np.zeros((2, 1, 3))), "in_flight has shape"),
    "no such shard": (
        replace(SOUND, current=np.array([0, 2])),
        "current of order param 'op-1' is 2, but there are 2 shards",
    ),
    "current below -1": (replace(SOUND, current=np.array([-2, 0])), "current of order param 'op-0' is -2"),
    "order param twice": (replace(SOUND, order_params=("a", "a")), "order param 'a' is listed more than once"),
    "shard twice": (replace(SOUND, shards=("s", "s")), "shard 's' is listed more than once"),
    "resource twice": (replace(SOUND, resources=("r", "q", "r")), "resource 'r' is listed more than once"),
    "no name": (replace(SOUND, order_params=("a", "")), "order param number 2 has an empty name"),
    "zone set": (with_rules(zone_set=np.array([0, 1])), "rules.zone_set of order param 'op-1' is 1, but there are 1"),
    "zone set below -1": (with_rules(zone_set=np.array([-2, 0])), "rules.zone_set of order param 'op-0' is -2"),
    "spread group": (with_rules(spread_group=np.array([0, -2])), "rules.spread_group of order param 'op-1' is -2"),
    "forbidden order param": (with_rules(forbidden=np.array([[0, 0], [2, 0]])), "rules.forbidden pair 2 is (2, 0)"),
    "forbidden shard": (with_rules(forbidden=np.array([[0, -1]])), "rules.forbidden pair 1 is (0, -1)"),
    "forbidden shape": (with_rules(forbidden=np.zeros((1, 3), dtype=int)), "rules.forbidden has shape (1, 3)"),
    "drain without focus": (
        replace(SOUND, mode=PlanMode.DRAIN),
        "mode 'drain' needs focus: name at least one shard to empty",
    ),
    "add without focus": (replace(SOUND, mode=PlanMode.ADD), "mode 'add' needs focus: name at least one shard to fill"),
    "focus": (replace(SOUND, mode=PlanMode.DRAIN, focus=(2,)), "focus names shard position 2"),
    "segments": (replace(SOUND, segments=0), "segments is 0"),
    "band": (replace(SOUND, band=-0.1), "band is -0.1"),
    "band NaN": (replace(SOUND, band=NAN), "band is nan"),
    "wall": (with_budget(wall_s=-1.0), "budget.wall_s is -1"),
    "moves": (with_budget(moves=-1), "budget.moves is -1"),
    "cost": (with_budget(cost=NAN), "budget.cost is nan"),
    "gap": (with_budget(gap=-0.5), "budget.gap is -0.5"),
    "seed": (with_budget(seed=-3), "budget.seed is -3"),
    "work": (with_budget(work=-3), "budget.work is -3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_problem_is_refused_with_what_and_where(name):
    """Each malformed field is refused by a sentence that names the field and the order param or shard."""
    malformed, words = REFUSED[name]
    with pytest.raises(BadInputError) as refused:
        check_problem(malformed)
    assert str(refused.value).startswith("plan problem: ")
    assert words in str(refused.value)


@pytest.mark.parametrize("field", ARRAYS_OF_THE_PROBLEM)
def test_an_array_of_the_problem_with_a_row_missing_is_refused(field):
    """Each array of the problem must have as many rows as there are order params or shards."""
    with pytest.raises(BadInputError, match=f"plan problem: {field} has shape"):
        check_problem(replace(SOUND, **{field: getattr(SOUND, field)[:1]}))


@pytest.mark.parametrize("field", ARRAYS_OF_THE_RULES)
def test_an_array_of_the_rules_with_a_row_missing_is_refused(field):
    """Each array of the rules must have as many rows as there are order params or shards."""
    with pytest.raises(BadInputError, match=rf"plan problem: rules\.{field} has shape"):
        check_problem(with_rules(**{field: getattr(SOUND.rules, field)[:1]}))


@pytest.mark.parametrize(
    "sound",
    [
        SOUND,
        problem(np.zeros((0, 1, 3)), [], 3),
        problem([1.0, 2.0], [-1, -1], 0),
        problem(np.zeros((0, 1, 3)), [], 0),
        problem([1.0], [0], 1, capacity=np.inf),
        problem([1.0], [0], 1, capacity=0.0),
        problem([0.0], [0], 2, mode=PlanMode.DRAIN, focus=(1,)),
        problem([1.0], [0], 2, pinned=[0], draining=[0]),
        problem([1.0], [0], 2, wall_s=np.inf),
        problem([1.0], [0], 2, in_flight=[0.5, 0.0]),
    ],
    ids=[
        "plain",
        "no order params",
        "no shards",
        "nothing",
        "unlimited",
        "capacity 0",
        "drain",
        "stuck",
        "no deadline",
        "flight",
    ],
)
def test_a_meaningful_problem_is_not_refused(sound):
    """Empty clusters, unlimited and zero capacities, and rules that contradict each other are planned for, not refused."""
    check_problem(sound)


def test_an_order_param_on_a_shard_of_an_empty_cluster_is_refused():
    """Without shards every order param's current must be -1."""
    with pytest.raises(BadInputError, match="current of order param 'op-0' is 0, but there are 0 shards"):
        check_problem(problem([1.0], [0], 0))


def test_a_hundred_thousand_order_params_are_checked_in_no_time():
    """The check is of whole arrays: 100,000 order params take well under half a second."""
    large = zipf_problem(100_000, 100, 1, seed=1)
    started_s = perf_counter()
    check_problem(large)
    assert perf_counter() - started_s < 0.5
