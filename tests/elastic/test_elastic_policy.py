"""How many shards there should be: need against brute force, ahead of need out, damped in."""

from itertools import product

import numpy as np
import pytest

from plb_ray.control.elastic import ElasticMemory, ElasticPolicy, Outlook, least_loaded, shards_needed
from plb_ray.domain.load import RESOURCES, LoadEstimate
from plb_ray.errors import BadInputError
from plb_ray.settings import ElasticSettings

SETTINGS = ElasticSettings(enabled=True, min_shards=1, max_shards=10, lead_s=600.0, dwell_s=1800.0)
ONE = np.array([1.0, 0.0, 0.0])
STEP_S = 300


def loads(*sizes):
    load = np.zeros((len(sizes), len(RESOURCES)))
    load[:, 0] = sizes
    return load


def outlook(now, coming=(), at_s=0.0, drain_s=0.0):
    """Load in shards, now and at each coming step, of ten equal order params."""
    estimate = None
    if coming:
        load = np.stack([loads(*[total / 10] * 10) for total in coming], axis=1)
        starts_s = (at_s + STEP_S * np.arange(len(coming))).astype(np.int64)
        estimate = LoadEstimate(tuple("abcdefghij"), starts_s, load, load, 0.9)
    return Outlook(at_s, loads(*[now / 10] * 10), estimate, drain_s)


def advise(look, shards, memory=ElasticMemory(), settings=SETTINGS, headroom=1.0):  # noqa: B008  frozen
    return ElasticPolicy(settings, headroom).advise(look, ONE, shards, memory)


def fewest(sizes):
    """The true least number of unit shards, by trying."""
    for count in range(1, len(sizes) + 1):
        for where in product(range(count), repeat=len(sizes)):
            if np.bincount(where, weights=sizes, minlength=count).max() <= 1 + 1e-9:
                return count
    raise AssertionError


@pytest.mark.parametrize("seed", range(12))
def test_the_need_is_never_below_the_least_and_at_most_one_above_on_small_cases(seed):
    """Against all placements of six order params: enough, and within first fit decreasing's bound."""
    sizes = np.random.default_rng(seed).uniform(0.1, 0.9, 6)
    needed = int(shards_needed(loads(*sizes)[:, None], ONE + np.array([0, np.inf, np.inf]))[0])
    assert fewest(sizes) <= needed <= 11 / 9 * fewest(sizes) + 1


def test_many_small_ones_fill_what_the_large_ones_leave():
    """Two of 0.6 and sand of 0.8 in all need two shards and a bit: three, as sand wastes a grain."""
    sizes = [0.6, 0.6, *[0.01] * 70]
    assert shards_needed(loads(*sizes)[:, None], np.array([1.0, np.inf, np.inf])).tolist() == [2]
    assert shards_needed(loads(*sizes, *[0.01] * 20)[:, None], np.array([1.0, np.inf, np.inf])).tolist() == [3]


def test_shards_come_ahead_of_the_need_by_the_lead_time():
    """A need two steps ahead counts when a new shard takes that long; one that is further off does not yet."""
    near, _ = advise(outlook(1.5, (1.5, 1.5, 2.4, 2.4)), 2)
    far, _ = advise(outlook(1.5, (1.5, 1.5, 1.5, 2.4)), 2)
    assert (near.target, far.target) == (3, 2)
    assert "3 shards are needed in 10 min" in near.reason


def test_what_is_measured_counts_whatever_is_foreseen():
    """A forecast of nothing does not argue a full fleet away; one that is not finite is not looked at."""
    assert advise(outlook(2.4, (0.1, 0.1)), 2)[0].target == 3
    assert advise(outlook(0.5, (np.nan, 0.5)), 2)[0].target == 2


def test_a_shard_goes_only_after_the_dwell_time_and_one_at_a_time():
    """Half an hour of needing one of three shards ends with two, and the counting begins anew."""
    memory, targets = ElasticMemory(), []
    shards = 3
    for minute in range(0, 70, 5):
        advice, memory = advise(outlook(0.8, at_s=60.0 * minute), shards, memory)
        targets.append(advice.target)
        shards = advice.target
    assert targets[:6] == [3] * 6
    assert targets[6] == 2
    assert targets.count(2) >= 6
    assert targets[-1] in (1, 2)


def test_a_need_that_comes_back_within_the_dwell_time_keeps_the_shard():
    """Foreseen or seen, it starts the waiting anew; a long drain makes the waiting longer."""
    _, memory = advise(outlook(0.8), 2)
    kept, memory = advise(outlook(0.8, (0.8, 1.8), at_s=1800.0), 2, memory)
    assert (kept.target, memory.fewer_since_s) == (2, None)
    slow = Outlook(1800.0, loads(*[0.08] * 10), None, 3600.0)
    assert advise(slow, 2, ElasticMemory(0.0, 2))[0].target == 2


def test_limits_are_kept_and_what_is_short_is_said():
    """No more than the most, no fewer than the least; how many would be missing is told."""
    few = ElasticSettings(enabled=True, min_shards=2, max_shards=3, lead_s=600.0, dwell_s=60.0)
    full, _ = advise(outlook(5.5), 3, settings=few)  # ten of 0.55: no two fit one shard
    idle, _ = advise(outlook(0.0, at_s=1e6), 2, ElasticMemory(0.0, 2), settings=few)
    assert (full.target, full.short) == (3, 7)
    assert idle.target == 2
    with pytest.raises(BadInputError, match="min_shards: 4 is above"):
        ElasticPolicy(ElasticSettings(min_shards=4, max_shards=3), 0.9)


def test_the_least_loaded_shard_is_emptied_first():
    """By its scarcest resource, among those that may go; none if none may."""
    load, capacity = np.array([[0.5, 9.0], [0.6, 1.0], [0.1, 1.0]]), np.array([[1.0, 10.0]] * 3)
    assert least_loaded(load, capacity, np.array([True, True, False])) == 1
    assert least_loaded(load, capacity, np.array([True, True, True])) == 2
    assert least_loaded(load, capacity, np.zeros(3, dtype=bool)) is None
