"""The packaged scenarios, played: exactly what is recorded below each, and what each of them is there to show."""

from __future__ import annotations

from functools import cache

import pytest

from plb_ray.simulation.scenarios.library import names, path_of, read_scenario
from plb_ray.simulation.scenarios.parse import split
from service.scenario_run import play_text


@cache
def played(name):
    """What came of a packaged scenario: text, and by arm. Each is played once for all tests."""
    return play_text(read_scenario(path_of(name)), name)


@pytest.mark.parametrize("name", names())
def test_what_comes_of_a_scenario_is_what_is_recorded(name):
    """Exactly; `plb replay --scenario NAME --rewrite` records what a wanted change brings, and its diff is to be read."""
    assert played(name)[0] == split(read_scenario(path_of(name)))[1]


@pytest.mark.parametrize("name", names())
def test_predicting_is_never_much_worse_than_reacting(name):
    """No more than 5 % more excess or overload, in any scenario."""
    arms = played(name)[1]
    for figure in ("excess_messages", "overload_shard_s"):
        assert getattr(arms["predictive"].totals, figure) <= 1.05 * getattr(arms["reactive"].totals, figure)


def test_stable_traffic_moves_nothing():
    """Neither reacting nor predicting sends a single move in a day."""
    assert all(arm.sent == [] for arm in played("stable")[1].values())


def test_what_was_announced_is_met_before_it_begins():
    """The shard is relieved before the sale, so nothing is over capacity; who only reacts is late."""
    arms = played("flash-crowd-announced")[1]
    assert arms["predictive"].totals.excess_messages == 0
    assert arms["reactive"].totals.excess_messages > 10_000
    relief = [each.bin for each in arms["predictive"].sent if each.move.source == "shard-1"]  # where shop-3 is
    assert relief
    assert max(relief) < 36


def test_a_hot_order_param_is_not_passed_around():
    """It stays once it is larger than a shard, or goes before that where it is foreseen; who is beside it leaves, once."""
    arms = played("hot-order-param")[1]
    hot = {name: [each.bin for each in arms[name].sent if each.move.order_param == "hot-0"] for name in arms}
    assert (hot["reactive"], hot["predictive"]) == ([], [])
    assert len(hot["oracle"]) == 1
    assert hot["oracle"][0] <= 36  # six hours: from then on it is hot
    for name in ("reactive", "predictive", "oracle"):
        left = [each.move.order_param for each in arms[name].sent if each.bin >= 36 and each.move.source == "shard-1"]
        assert len(left) == len(set(left))


def test_a_lost_shard_is_left_alone():
    """While it does not answer no move touches it, and nothing else is moved for it."""
    for arm in played("shard-lost")[1].values():
        assert [each for each in arm.sent if 36 <= each.bin < 42] == []


def test_an_added_shard_takes_what_is_too_much():
    """Nothing goes onto it before it is there, something does afterwards, and the afternoon is within capacity."""
    arms = played("shard-added")[1]
    onto = [each.bin for each in arms["predictive"].sent if each.move.destination == "shard-3"]
    assert onto
    assert min(onto) >= 60
    assert arms["predictive"].totals.excess_messages == 0 < arms["static"].totals.excess_messages


def test_who_predicts_is_not_trapped_by_load_that_changes_places():
    """Fewer moves than reacting, less overload, and far fewer returns; who reacts does chase, so the trap is one."""
    arms = played("oscillation-trap")[1]
    reactive, predictive = arms["reactive"], arms["predictive"]
    assert reactive.thrash > 0.15
    assert predictive.thrash == 0
    assert len(predictive.sent) < 0.5 * len(reactive.sent)
    assert predictive.totals.excess_messages < reactive.totals.excess_messages
