"""The history store: what it keeps, through restarts, crashes, gaps and repeats."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from deltalake import DeltaTable

from plb_ray.domain.rates import RateHistory
from plb_ray.errors import BadInputError
from plb_ray.history.store import HistoryLimits, HistoryStore
from plb_ray.history.window import Arrival

STEP_S = 600
T0 = 1_356_998_400  # 2013-01-01 00:00 UTC


@pytest.fixture
def opened(tmp_path):
    """A function that opens the store of this test; all are closed at the end."""
    stores = []

    def make(**limits):
        stores.append(HistoryStore.open(tmp_path / "history", STEP_S, HistoryLimits(**limits)))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def sample(order_params=5, steps=40, seed=0):
    rng = np.random.default_rng(seed)
    rates = rng.exponential(1, (order_params, steps)) * (rng.random((order_params, steps)) < 0.4)
    return RateHistory(tuple(f"op-{k}" for k in range(order_params)), T0, STEP_S, rates.astype(np.float32))


def step(history, at):
    return dict(zip(history.order_params, history.messages_per_s[:, at].astype(float).tolist(), strict=True))


def append_all(store, history):
    for at in range(history.messages_per_s.shape[1]):
        store.append(history.start_s + at * STEP_S, step(history, at))


def assert_same(store, history):
    window = store.window()
    assert (window.order_params, window.start_s, window.step_s) == (history.order_params, history.start_s, STEP_S)
    np.testing.assert_array_equal(window.messages_per_s, history.messages_per_s)


def test_what_is_appended_is_there_at_once_and_after_reopening(opened):
    """Steps in the table, in the log and in both come back exactly, in order, with idle order params."""
    history = sample()
    store = opened(commit_steps=16)
    append_all(store, history)
    assert_same(store, history)
    store.close()
    assert_same(opened(), history)


def test_import_is_one_commit_and_repeating_it_changes_nothing(opened, tmp_path):
    """A bulk import equals step by step appends; an import of known steps adds none; later steps are added."""
    history = sample(steps=60)
    store = opened()
    assert store.import_history(history.last(60)) == 60
    assert store.import_history(history) == 0
    assert DeltaTable(str(tmp_path / "history" / "steps")).version() == 0
    assert_same(store, history)
    longer = sample(steps=60)
    longer = RateHistory(longer.order_params, T0, STEP_S, np.concatenate([history.messages_per_s] * 2, axis=1))
    assert store.import_history(longer) == 60
    store.close()
    assert_same(opened(), longer)


def test_a_kill_loses_no_step_that_was_appended(opened, tmp_path):
    """SIGKILL right after appends, with some committed and some not: all of them are there again."""
    history = sample(steps=21)
    script = f"""
import os, signal
from pathlib import Path
from plb_ray.history.store import HistoryStore, HistoryLimits
store = HistoryStore.open(Path({str(tmp_path / "history")!r}), {STEP_S}, HistoryLimits(commit_steps=8))
for at, rates in enumerate({[step(history, at) for at in range(21)]!r}):
    store.append({T0} + at * {STEP_S}, rates)
    if at == 15:
        store.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert_same(opened(), history)


def test_a_crash_between_commit_and_deleting_the_log_doubles_nothing(opened, tmp_path):
    """Steps that are both in the table and in the log count once."""
    history = sample(steps=10)
    store = opened()
    append_all(store, history)
    logs = {path: path.read_bytes() for path in (tmp_path / "history" / "log").glob("*.jsonl")}
    store.close()
    for path, content in logs.items():
        path.write_bytes(content)
    store = opened()
    assert_same(store, history)
    store.commit()
    assert DeltaTable(str(tmp_path / "history" / "steps")).to_pyarrow_table().num_rows == 10


def test_a_torn_line_in_the_log_is_skipped(opened, tmp_path):
    """A crash in the middle of a write costs that step only."""
    history = sample(steps=6)
    store = opened()
    append_all(store, history)
    (log,) = [path for path in (tmp_path / "history" / "log").glob("*.jsonl") if path.stat().st_size]
    content = log.read_bytes()
    store.close()
    folder = tmp_path / "torn"
    (folder / "log").mkdir(parents=True)
    (folder / "log" / log.name).write_bytes(content[:-9])
    torn = HistoryStore.open(folder, STEP_S)
    np.testing.assert_array_equal(torn.window().messages_per_s, history.messages_per_s[:, :5])
    torn.close()


def test_a_failed_commit_is_said_and_made_up_for(opened, tmp_path):
    """When storage fails the steps stay in log and memory, the error is shown, and the next commit carries them."""
    history = sample(steps=8)
    store = opened()
    append_all(store, history)
    table = tmp_path / "history" / "steps"
    table.write_text("in the way")
    store.commit()
    assert store.commit_error
    assert_same(store, history)
    table.unlink()
    store.commit()
    assert not store.commit_error
    assert DeltaTable(str(table)).to_pyarrow_table().num_rows == 8


def test_gaps_repeat_the_last_value_until_the_late_step_comes(opened):
    """Steps that were not observed are filled up and counted; a late one takes its place and the filling follows it."""
    store = opened()
    store.append(T0, {"a": 1.0})
    assert store.append(T0 + 4 * STEP_S, {"a": 5.0, "b": 2.0}) is Arrival.NEW
    assert store.window().messages_per_s.tolist() == [[1, 1, 1, 1, 5], [0, 0, 0, 0, 2]]
    assert store.gap_steps == 3
    assert store.append(T0 + 2 * STEP_S, {"a": 3.0}) is Arrival.LATE
    assert store.window().messages_per_s.tolist() == [[1, 1, 3, 3, 5], [0, 0, 0, 0, 2]]
    assert store.gap_steps == 2
    store.close()
    again = opened()
    assert again.window().messages_per_s.tolist() == [[1, 1, 3, 3, 5], [0, 0, 0, 0, 2]]
    assert again.gap_steps == 2


def test_repeats_and_steps_before_the_window_are_ignored_and_counted(opened):
    """The first observation of a step stays."""
    store = opened()
    store.append(T0, {"a": 1.0})
    assert store.append(T0, {"a": 9.0}) is Arrival.DUPLICATE
    assert store.append(T0 - STEP_S, {"a": 9.0}) is Arrival.TOO_LATE
    assert store.window().messages_per_s.tolist() == [[1]]
    assert store.arrivals == {Arrival.NEW: 1, Arrival.LATE: 0, Arrival.DUPLICATE: 1, Arrival.TOO_LATE: 1}


def test_a_known_order_param_that_is_not_named_had_no_arrivals(opened):
    """Absence from a step is a rate of 0, not a gap."""
    store = opened()
    store.append(T0, {"a": 1.0, "b": 2.0})
    store.append(T0 + STEP_S, {"b": 3.0})
    assert store.window().messages_per_s.tolist() == [[1, 0], [2, 3]]
    assert store.gap_steps == 0


def test_the_window_slides_and_grows(opened):
    """Only the newest steps stay in memory, however many come, and new order params widen it."""
    store = opened(hot_steps=100)
    for at in range(700):
        store.append(T0 + at * STEP_S, {f"op-{at // 7}": float(at)})
    window = store.window(50)
    assert window.messages_per_s.shape == (100, 50)
    assert window.end_s == T0 + 700 * STEP_S
    assert window.messages_per_s.sum(axis=0).tolist() == list(range(650, 700))
    assert store.window().messages_per_s.shape[1] <= 125


def test_a_jump_beyond_the_window_starts_it_anew(opened):
    """After a silence longer than the window, memory holds the new step alone instead of filling."""
    store = opened(hot_steps=50)
    store.append(T0, {"a": 1.0})
    store.append(T0 + 5000 * STEP_S, {"a": 2.0})
    assert store.window().messages_per_s.tolist() == [[2]]
    assert store.window().start_s == T0 + 5000 * STEP_S


def test_compaction_and_retention_keep_what_must_stay(opened, tmp_path):
    """Small files are merged, steps beyond their age are dropped, the rest is unchanged, and readers see whole steps."""
    history = sample(steps=64)
    store = opened(commit_steps=4, compact_commits=4, keep_s=20 * STEP_S)
    for at in range(64):
        store.append(T0 + at * STEP_S, step(history, at))
        if at % 4 == 3:
            store.commit()
    assert store.commit_error == ""
    table = DeltaTable(str(tmp_path / "history" / "steps"))
    assert len(table.file_uris()) == 1
    starts_s = sorted(table.to_pyarrow_table()["start_s"].to_pylist())
    assert starts_s == [T0 + at * STEP_S for at in range(43, 64)]
    assert_same(store, history)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_rates_that_make_no_sense_are_refused_by_name(opened, rate):
    """A rate that is negative or not finite is an error and leaves no trace."""
    store = opened()
    with pytest.raises(BadInputError, match="order param 'a'"):
        store.append(T0, {"a": rate})
    with pytest.raises(BadInputError, match="to import is negative or not finite"):
        store.import_history(RateHistory(("a",), T0, STEP_S, np.array([[rate]])))
    assert store.end_s is None


def test_steps_off_the_grid_or_of_another_length_are_refused(opened, tmp_path):
    """A step that does not start on the grid, an import of another step, a folder of another step: errors that say so."""
    store = opened()
    store.append(T0, {"a": 1.0})
    with pytest.raises(BadInputError, match="not on the grid"):
        store.append(T0 + 60, {"a": 1.0})
    with pytest.raises(BadInputError, match="60 s long, the store's 600 s"):
        store.import_history(RateHistory(("a",), T0, 60, np.ones((1, 3))))
    with pytest.raises(BadInputError, match="off the store's grid"):
        store.import_history(RateHistory(("a",), T0 + 60, STEP_S, np.ones((1, 3))))
    with pytest.raises(BadInputError, match="its steps are 600 s long, asked for are 60 s"):
        HistoryStore.open(tmp_path / "history", 60)


def test_the_window_is_a_copy(opened):
    """Who holds a window is not disturbed by what comes later, nor can he disturb the store."""
    store = opened()
    store.append(T0, {"a": 1.0})
    window = store.window()
    store.append(T0 + STEP_S, {"a": 2.0})
    window.messages_per_s[:] = 77
    assert store.window().messages_per_s.tolist() == [[1, 2]]


def test_an_empty_store_has_an_empty_window(opened):
    """Before the first step there is a window without order params and steps."""
    assert opened().window(10).messages_per_s.shape == (0, 0)
