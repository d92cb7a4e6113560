"""A planner whose time is up stops in the middle of its repairs, and puts no moves in order that nobody will make."""

import numpy as np
import pytest
from plan_builders import problem, zipf_problem

from optimizer import planner as planner_module
from optimizer.board import fixed_of, state_of
from optimizer.eviction import evict
from optimizer.packing import pack
from optimizer.planner import CompositePlanner
from optimizer.repair import SHARDS_A_LOOK, lists_of, memory_of, repair
from plb_ray.domain.plan import PlanStatus

SHARDS = 3 * SHARDS_A_LOOK


@pytest.fixture
def crowded():
    """Every shard is over its limit, by order params that fit nowhere else."""
    packing = pack(problem(np.full(2 * SHARDS, 0.7), np.arange(2 * SHARDS) % SHARDS, SHARDS))
    fixed, state = fixed_of(packing, evict(packing).forced), state_of(packing, packing.current)
    return fixed, state, lists_of(packing), memory_of(packing, state, 1)


def test_repairs_stop_when_time_is_up(crowded):
    """The clock is looked at every few shards; those that were not tried count as over, and stay as they are."""
    looks = []

    def late():
        looks.append(len(looks))
        return len(looks) > 2

    before = crowded[1].shard_of.copy()
    assert repair(*crowded, 8, late) == SHARDS
    assert len(looks) == 3
    assert (crowded[1].shard_of == before).all()
    assert repair(*crowded, 8) == SHARDS


def test_a_plan_is_put_in_order_only_if_it_is_sound(monkeypatch):
    """The same plan where overload ends; none, and no waves, where some must stay."""
    sound, unsound = zipf_problem(200, 10, 1, 1, work=2000), problem(np.full(4, 0.7), np.array([0, 0, 1, 1]), 2)
    assert CompositePlanner().plan_if_sound(sound).moves == CompositePlanner().plan(sound).moves
    assert CompositePlanner().plan(unsound).status not in (PlanStatus.OPTIMAL, PlanStatus.FEASIBLE, PlanStatus.NOT_NEEDED)
    monkeypatch.setattr(planner_module, "waves", None)
    assert CompositePlanner().plan_if_sound(unsound) is None
