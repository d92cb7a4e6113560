"""Counters at irregular times to messages per step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray.history.counters import CounterGrid


def test_steps_close_at_the_grid_lines_and_share_what_arrived_in_proportion():
    """100 messages between 50 s and 150 s: half of them before and half after the line at 100 s."""
    grid = CounterGrid(100)
    assert grid.observe(0.0, {"a": 7}) == ()
    assert grid.observe(50.0, {"a": 7}) == ()
    assert grid.observe(150.0, {"a": 107}) == ((0, {"a": pytest.approx(50)}),)
    assert grid.observe(200.0, {"a": 107}) == ((100, {"a": pytest.approx(50)}),)


def test_a_step_not_seen_from_its_start_is_not_handed_out():
    """Looking begins inside a step: the first step handed out is the next one."""
    grid = CounterGrid(100)
    assert grid.observe(130.0, {"a": 0}) == ()
    assert grid.observe(230.0, {"a": 100}) == ()
    assert grid.observe(330.0, {"a": 200}) == ((200, {"a": pytest.approx(100)}),)
    assert grid.messages_guessed == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.5, 400), st.integers(0, 1000)), min_size=1, max_size=30))
def test_nothing_is_lost_or_invented(looks):
    """Whatever the times of the looks: all closed steps are contiguous and add up to what was counted in them."""
    grid, at_s, total, start = CounterGrid(100), 0.0, 0, 0
    closed = []
    grid.observe(at_s, {"a": 0})
    for after_s, arrived in looks:
        at_s, total = at_s + after_s, total + arrived
        closed += grid.observe(at_s, {"a": total})
    end_s = (int(at_s // 100) + 1) * 100
    closed += grid.observe(float(end_s), {"a": total})
    assert [start_s for start_s, _ in closed] == list(range(start, end_s, 100))
    assert sum(messages["a"] for _, messages in closed) == pytest.approx(total)


def test_a_counter_that_fell_counts_from_zero():
    """After a loss of data the order param's new total is what arrived; nothing negative comes out."""
    grid = CounterGrid(100)
    grid.observe(0.0, {"a": 500})
    assert grid.observe(100.0, {"a": 30}) == ((0, {"a": pytest.approx(30)}),)
    assert grid.counters_fallen == 1


def test_a_new_order_param_counts_from_zero_since_the_look_before():
    """When the look before was complete, an unknown order param began after it."""
    grid = CounterGrid(100)
    grid.observe(0.0, {"a": 5})
    grid.observe(50.0, {"a": 5})
    assert grid.observe(100.0, {"a": 5, "b": 40}) == ((0, {"a": 0.0, "b": pytest.approx(40)}),)


def test_an_order_param_behind_a_silent_shard_is_not_taken_for_new():
    """If a shard did not answer at the first look, its order params' totals are their past, not a burst."""
    grid = CounterGrid(100)
    grid.observe(0.0, {"a": 5}, complete=False)
    assert grid.observe(100.0, {"a": 5, "b": 1_000_000}) == ((0, {"a": 0.0, "b": 0.0}),)


def test_a_missing_order_param_repeats_its_last_value_and_returns_without_a_spike():
    """While its shard is silent the last step is repeated; what came meanwhile is not heaped on the step of its return."""
    grid = CounterGrid(100)
    grid.observe(0.0, {"a": 0, "b": 0})
    grid.observe(100.0, {"a": 10, "b": 60})
    silent = [*grid.observe(200.0, {"a": 20}, complete=False), *grid.observe(300.0, {"a": 30}, complete=False)]
    assert [messages["b"] for _, messages in silent] == pytest.approx([60, 60])
    back = grid.observe(400.0, {"a": 40, "b": 360})
    assert back == ((300, {"a": pytest.approx(10), "b": pytest.approx(100)}),)
    assert grid.messages_guessed == pytest.approx(200)


def test_a_look_that_is_not_later_is_ignored():
    """Clocks may stand still; nothing is divided by zero and nothing counted twice."""
    grid = CounterGrid(100)
    grid.observe(10.0, {"a": 0})
    assert grid.observe(10.0, {"a": 50}) == ()
    closed = grid.observe(200.0, {"a": 190})
    assert closed == ((100, {"a": pytest.approx(100)}),)


def test_a_long_silence_closes_every_step_in_it():
    """A look after five steps hands out all five."""
    grid = CounterGrid(60)
    grid.observe(0.0, {"a": 0})
    closed = grid.observe(300.0, {"a": 500})
    assert [start_s for start_s, _ in closed] == [0, 60, 120, 180, 240]
    assert np.allclose([messages["a"] for _, messages in closed], 100)
