"""The window as forecasters read it: the same as turned round anew, whatever came in, and fixed once it was handed out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray.history.mirror import ROOM_STEPS, Mirror
from plb_ray.history.samples import Cells
from plb_ray.history.window import StepWindow

STEP_S, MOST = 60, 40

steps = st.tuples(st.just("put"), st.integers(0, 120), st.dictionaries(st.sampled_from("abcd"), st.floats(0, 9), max_size=4))
pushes = st.tuples(st.just("push"), st.integers(0, 120), st.sampled_from("abcde"), st.floats(0, 9))
nexts = st.tuples(st.just("next"), st.floats(0, 9))


def fresh(window):
    """Return the window's rates, turned round anew."""
    grid = window._grid
    return grid.rates[: len(window), : len(grid.index)].T


def do(window, action):
    kind, *what = action
    if kind == "put":
        window.put(what[0] * STEP_S, what[1])
    elif kind == "next":
        window.put(window.end_s or 0, {"a": what[0], "b": 1.0})
    else:
        step, name, rate = what
        window.push(Cells((name,), np.array([step * STEP_S]), np.array([0]), np.array([rate], dtype=np.float32)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(steps, pushes, nexts, nexts, nexts), max_size=60))
def test_what_is_read_is_what_came_in_and_stays_as_it_was(actions):
    """After any steps, gaps, late ones, pushed cells and new order params; and no earlier answer changes by later ones."""
    window, answers = StepWindow(STEP_S, MOST), []
    for action in actions:
        do(window, action)
        rates = window.last(None).messages_per_s
        np.testing.assert_array_equal(rates, fresh(window))
        np.testing.assert_array_equal(window.last(7).messages_per_s, fresh(window)[:, -7:])
        answers.append((rates, rates.copy()))
    for rates, before in answers:
        np.testing.assert_array_equal(rates, before)


def test_a_step_is_added_without_turning_all_round_again():
    """As long as steps follow each other one mirror serves; then room for more is made."""
    window = StepWindow(STEP_S, 10_000)
    mirrors = []
    for step in range(3 * ROOM_STEPS):
        window.put(step * STEP_S, {"a": float(step), "b": 1.0})
        window.last(None)
        if not mirrors or window._mirror is not mirrors[-1]:
            mirrors.append(window._mirror)
    assert len(mirrors) == 3


def test_a_view_is_not_to_be_written_to():
    """Who tries gets an error rather than another history."""
    view = Mirror(np.ones((3, 2), dtype=np.float32)).between(0, 2)
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 5.0


def test_many_order_params_keep_fewer_steps():
    """Memory has a bound: with four order params instead of one a quarter of the steps is kept, the newest ones."""
    window = StepWindow(STEP_S, 1000, cells_max=400)
    for step in range(300):
        window.put(step * STEP_S, {"a": float(step)})
    assert len(window) == 300
    for step in range(300, 320):
        window.put(step * STEP_S, {name: float(step) for name in "abcd"})
    assert 100 <= len(window) <= 125
    newest = window.last(3).messages_per_s[0]
    assert newest.tolist() == [317.0, 318.0, 319.0]
