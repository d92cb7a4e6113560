"""The types that cross package borders do what their docstrings say."""

import pickle

import numpy as np
import pytest

from plb_ray import errors
from plb_ray.domain.mapping import rendezvous_shard
from plb_ray.domain.rates import Forecast, Horizon, RateHistory, medium_horizon, short_horizon
from plb_ray.errors import UnknownOrderParamError


def a_history(steps: int = 20, start_s: int = 1200) -> RateHistory:
    rates = np.arange(2 * steps, dtype=float).reshape(2, steps)
    return RateHistory(("a", "b"), start_s, 600, rates)


def test_coarser_steps_are_aligned_means():
    """Hours made of 10-minute steps start on the hour; the ragged ends are dropped."""
    coarse = a_history().coarser(3600)
    assert coarse.start_s == 3600
    assert coarse.messages_per_s.shape == (2, 2)
    np.testing.assert_allclose(coarse.messages_per_s[0], [np.arange(4, 10).mean(), np.arange(10, 16).mean()])


def test_last_keeps_the_cutoff():
    """Dropping old steps moves the start, not the end."""
    history = a_history()
    assert history.last(3).end_s == history.end_s
    assert history.last(99).messages_per_s.shape == (2, 20)


@pytest.mark.parametrize(("step_s", "steps"), [(60, 15), (300, 3), (600, 2), (900, 2), (3600, 2)])
def test_the_short_horizon_covers_15_minutes_with_two_steps_at_least(step_s, steps):
    """A plan needs one step of lead, so even hourly steps look two ahead."""
    assert short_horizon(step_s).steps == steps


def test_the_medium_horizon_is_a_day_of_hours():
    """24 steps of one hour."""
    assert medium_horizon(60) == Horizon("medium", 3600, 24)


def test_levels_between_two_are_interpolated():
    """A level that was not forecast lies linearly between its neighbours; outside it is the outermost."""
    forecast = Forecast(("a",), Horizon("short", 600, 1), 0, (0.5, 0.9), np.array([[[10.0, 20.0]]]), ("neural",))
    assert forecast.at_level(0.7)[0, 0] == pytest.approx(15)
    assert forecast.at_level(0.99)[0, 0] == pytest.approx(20)


def test_an_unknown_order_param_is_refused():
    """Asking a forecast for a name it does not hold is a clear error."""
    forecast = Forecast(("a",), Horizon("short", 600, 1), 0, (0.5, 0.9), np.ones((1, 1, 2)), ("neural",))
    with pytest.raises(UnknownOrderParamError, match="'zebra'"):
        forecast.of("zebra")


def test_hashing_moves_only_what_a_new_shard_takes():
    """With one more shard, an order param either stays or goes to the new one."""
    before = [f"s{index}" for index in range(4)]
    names = [f"k{index}" for index in range(500)]
    moved = [(rendezvous_shard(n, before), rendezvous_shard(n, [*before, "s4"])) for n in names]
    changed = [(old, new) for old, new in moved if old != new]
    assert changed
    assert all(new == "s4" for _, new in changed)
    assert len(changed) == pytest.approx(100, abs=40)


@pytest.mark.parametrize(
    "error",
    [
        errors.PausedError("k", 7),
        errors.MovedError("k", "s1", "127.0.0.1:1", 3),
        errors.StaleEpochError("k", 1, 2),
        errors.SequenceGapError("p", 4),
        errors.RolledBackError("m", "paused", "destination is gone"),
        errors.ShardUnavailableError("s1", "127.0.0.1:1"),
        errors.UnknownOrderParamError("k"),
        errors.BadInputError("file x: wrong"),
    ],
)
def test_errors_survive_pickling(error):
    """Errors cross Ray, so type, text and attributes must survive."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
