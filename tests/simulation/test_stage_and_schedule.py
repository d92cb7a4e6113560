"""Setting the stage of a replay, and turning it into single messages."""

import numpy as np
import pytest

from plb_ray.errors import BadInputError
from plb_ray.simulation.schedule import make_schedule
from plb_ray.simulation.stage import LARGEST_SHARE, LEAST_TRAFFIC, StageRules, hashed, set_stage
from plb_ray.simulation.trace import Trace

RULES = StageRules(shards=3, bins=20, utilisation=0.8, rate_messages_per_s=100, seconds_per_bin=0.5)


def a_trace(bins: int = 400, order_params: int = 12) -> Trace:
    counts = np.random.default_rng(3).poisson(8, size=(order_params, bins)).astype(np.float32)
    return Trace("t", tuple(f"k{index}" for index in range(order_params)), 0, 600, counts)


def test_the_scale_gives_the_asked_rate_and_the_capacity_leaves_room():
    """The window's mean rate is as asked; the peak of the total fits the cluster, and the largest order param one shard."""
    stage = set_stage(a_trace(), RULES)
    wall_s = stage.bins * stage.seconds_per_bin
    assert stage.window.sum() / wall_s == pytest.approx(100, rel=1e-5)
    capacity = stage.service_rate_per_s * stage.seconds_per_bin
    assert stage.window.sum(axis=0).max() <= 3 * 0.8 * capacity * (1 + 1e-5)
    assert stage.window.max() <= LARGEST_SHARE * capacity * (1 + 1e-5)


def test_the_window_is_the_one_where_hashing_congests_longest():
    """No other window with half the last quarter's traffic has more bins over capacity under hashing."""
    counts = a_trace().counts
    counts[:, 330:] *= np.random.default_rng(4).random(counts[:, 330:].shape) < 0.1  # sparse, so hashing overloads often
    trace = Trace("t", a_trace().order_params, 0, 600, counts)
    stage = set_stage(trace, RULES)
    owner = hashed(trace.order_params, stage.shard_ids)

    def overload(first: int) -> int:
        window = trace.counts[:, first : first + 20]
        capacity = max(window.sum(axis=0).max() / (3 * 0.8), window.max() / LARGEST_SHARE)
        return sum((window[owner == shard].sum(axis=0) > capacity).sum() for shard in range(3))

    mean = trace.counts[:, 300:].sum(axis=0).mean() * 20 * LEAST_TRAFFIC
    busy = [first for first in range(300, 381, 6) if trace.counts[:, first : first + 20].sum() >= mean]
    assert 0 < len(busy) < len(range(300, 381, 6))
    assert overload(stage.first_bin) == max(overload(first) for first in busy)


def test_a_stated_scale_and_start_are_kept():
    """What the user states is not chosen by rule."""
    stage = set_stage(a_trace(), StageRules(shards=3, bins=20, messages_per_event=5, start_s=600 * 100))
    assert stage.messages_per_event == 5
    assert stage.first_bin == 100


@pytest.mark.parametrize(
    ("trace", "rules", "said"),
    [
        (a_trace(bins=30), RULES, "fewer --bins"),
        (Trace("t", ("a",), 0, 600, np.zeros((1, 400), dtype=np.float32)), RULES, "no messages"),
        (a_trace(), StageRules(bins=20, start_s=0), "history"),
    ],
)
def test_a_stage_that_cannot_be_set_is_refused(trace, rules, said):
    """Too short, silent, or without history before it: the refusal says which."""
    with pytest.raises(BadInputError, match=said):
        set_stage(trace, rules)


def test_the_schedule_sends_every_message_in_its_bin():
    """Per order param and bin, the messages due differ from the trace's count by the carried fraction only."""
    window = np.random.default_rng(5).poisson(3, size=(7, 30)) * 1.5
    schedule = make_schedule(window, 0.5, np.random.default_rng(1))
    assert (np.diff(schedule.due_s) >= 0).all()
    for row in range(7):
        due = schedule.due_s[schedule.rows == row]
        reached = np.searchsorted(due, np.arange(1, 31) * 0.5, side="right")
        assert np.abs(reached - np.cumsum(window[row])).max() <= 1


def test_the_same_seed_gives_the_same_schedule():
    """Both arms of a demo see the identical traffic."""
    window = np.full((3, 10), 2.5)
    first, second = (make_schedule(window, 0.5, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.due_s, second.due_s)
    np.testing.assert_array_equal(first.rows, second.rows)
