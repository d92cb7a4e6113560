"""The real decider over modelled shards: what foresight is worth, and that a wrong one never costs more than none."""

from dataclasses import replace

import numpy as np
import pytest
from traffic import DAY, Recalled, Steady, Told, decider, field, shifted_days

from plb_ray.simulation.replay.arm import run_arm

BAD = {
    "ten times too high": lambda rates, _: rates * 10,
    "ten times too low": lambda rates, _: rates * 0.1,
    "not a number": lambda rates, _: np.where(np.arange(len(rates))[:, None] == 3, np.nan, rates),
    "negative": lambda rates, _: -rates,
    "flapping": lambda rates, at_bin: rates * (10 if at_bin % 2 else 0.1),
    "wrong now and then": lambda rates, at_bin: rates * (10 if at_bin % 7 == 0 else 1),
    "one order param gone mad": lambda rates, _: np.where(np.arange(len(rates))[:, None] == 5, rates * 30, rates),
    "everybody else's": lambda rates, _: np.roll(rates, 7, axis=0),
    "half a day late": lambda rates, _: rates[::-1],
}


@pytest.fixture(scope="module", params=[0, 2])
def day(request):
    """A field, and what comes of it if nobody acts and if one reacts."""
    on = field(shifted_days(seed=request.param, days=2))
    return on, run_arm(on, None, None), run_arm(on, decider(), None)


def test_reacting_is_worth_a_lot(day):
    """The baseline is no straw man: it takes away 99 % of the excess of hashing."""
    _, static, reactive = day
    assert static.totals.excess_messages > 1e6
    assert reactive.totals.excess_messages < 0.01 * static.totals.excess_messages


def test_knowing_what_comes_is_worth_more(day):
    """With the next two steps known nothing is ever over capacity, with no more migrations."""
    on, _, reactive = day
    told = run_arm(on, decider(planner=Steady()), Told(on))
    assert told.totals.excess_messages == 0
    assert told.totals.migrations <= reactive.totals.migrations
    assert told.measured_ticks == 1  # the forecast has to hold for one step first


@pytest.mark.parametrize("fault", BAD)
def test_a_wrong_forecast_is_never_worse_than_none(day, fault):
    """Whatever the forecast says: no more than 5 % more excess, overload or migrations than reacting, and it is noticed."""
    on, _, reactive = day
    fooled = run_arm(on, decider(), Told(on, BAD[fault]))
    assert fooled.totals.excess_messages <= 1.05 * reactive.totals.excess_messages
    assert fooled.totals.overload_shard_s <= 1.05 * reactive.totals.overload_shard_s
    assert fooled.totals.migrations <= 1.05 * reactive.totals.migrations + 1
    assert fooled.measured_ticks > 0.9 * on.bins


def test_a_stale_forecast_is_not_used(day):
    """A forecast made an hour ago is as good as none: the same moves as without."""
    on, _, reactive = day
    late = run_arm(on, decider(), Told(on, stale_bins=6))
    assert (late.measured_ticks, late.totals.migrations) == (on.bins, reactive.totals.migrations)


def test_stable_traffic_moves_nothing():
    """Steady rates that fit, with their noise, make no move in a week, neither reacting nor foreseeing."""
    rng = np.random.default_rng(3)
    level = rng.uniform(500, 1500, (40, 1))
    on = field(rng.poisson(level, (40, 7 * DAY)), utilisation=0.6)
    for foresight in (None, Told(on)):
        assert run_arm(on, decider(headroom=0.95), foresight).totals.migrations == 0


def test_a_hot_key_larger_than_a_shard_keeps_it_to_itself():
    """What cannot be relieved is not shuffled: the others leave its shard once, and that is all."""
    counts = np.full((20, DAY), 100.0)
    counts[0] = 1200.0
    on = field(counts, shards=4, utilisation=0.8)
    result = run_arm(on, decider(), None)
    unavoidable = (1200 - on.rates[0] * 600) * on.bins
    assert unavoidable > 0
    assert result.totals.migrations < 20
    assert result.totals.excess_messages < 1.05 * unavoidable


@pytest.mark.parametrize("period", [1, 2, 5])
def test_load_that_changes_places_is_not_chased(period):
    """An oscillation trap, two halves of the load taking turns: prepared for both, nothing is moved for ever."""
    turn = (np.arange(3 * DAY) // period) % 2
    counts = np.where((np.arange(24)[:, None] // 2) % 2 == turn, 1000.0, 100.0)
    on = field(counts, utilisation=0.8, first_bin=DAY)
    reactive = run_arm(on, decider(), None)
    prepared = run_arm(on, decider(), Told(on, lambda rates, _: rates[:, ::-1]), Recalled(on))
    assert prepared.totals.migrations <= min(24, reactive.totals.migrations)
    assert prepared.totals.excess_messages <= 1.05 * reactive.totals.excess_messages


def test_a_past_makes_calm_traffic_no_less_calm():
    """Stable traffic with its noise moves nothing in a week, with all of its past in view."""
    rng = np.random.default_rng(3)
    on = field(rng.poisson(rng.uniform(500, 1500, (40, 1)), (40, 7 * DAY)), utilisation=0.6, first_bin=DAY)
    assert run_arm(on, decider(headroom=0.95), Told(on), Recalled(on)).totals.migrations == 0


def test_peaks_that_come_every_day_are_prepared_for_once(day):
    """Told of no future, but of yesterday: less excess than reacting, with no more migrations."""
    on, _, reactive = day
    later = replace(on, first_bin=DAY, bins=on.trace.bins - DAY)
    reacting, prepared = run_arm(later, decider(), None), run_arm(later, decider(), None, Recalled(later))
    assert prepared.totals.excess_messages <= reacting.totals.excess_messages
    assert prepared.totals.migrations <= reactive.totals.migrations
