"""Cells that were pushed: how they merge with steps as they were observed, with each other, and through restarts."""

import numpy as np
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray.domain.rates import RateHistory
from plb_ray.domain.samples import PushOutcome
from plb_ray.errors import BadInputError
from plb_ray.history import grid
from plb_ray.history.reader import read_history
from plb_ray.history.samples import Cells
from plb_ray.history.store import HistoryLimits, HistoryStore
from plb_ray.history.window import Arrival

STEP_S = 60
T0 = 1_385_560_800
NAMES = ("a", "b", "c")


def cells(**rates_at):
    """Return cells from order param = {step number: rate}."""
    found = sorted((at, NAMES.index(name), rate) for name, rates in rates_at.items() for at, rate in rates.items())
    at, columns, rates = (np.array(column) for column in zip(*found, strict=True))
    return Cells(NAMES, T0 + at.astype(np.int64) * STEP_S, columns.astype(np.int64), rates.astype(np.float32))


@pytest.fixture
def opened(tmp_path):
    """A function that opens the store of this test anew; the one before is closed."""
    stores = []

    def make(**limits):
        if stores:
            stores.pop().close()
        stores.append(HistoryStore.open(tmp_path / "history", STEP_S, HistoryLimits(**limits)))
        return stores[-1]

    yield make
    stores.pop().close()


def append(store, at, **rates):
    return store.append(T0 + at * STEP_S, rates)


def shown(history):
    """Return the rates by order param, those without arrivals left out, from T0 on."""
    assert history.start_s == T0
    rows = zip(history.order_params, history.messages_per_s.tolist(), strict=True)
    return {name: row for name, row in rows if any(row)}


def test_every_fate_is_counted_and_said(opened):
    """New, late, duplicate, replaced and too late cells are told apart."""
    store = opened(hot_steps=10)
    append(store, 0, a=1.0, b=2.0)
    append(store, 3, a=4.0)
    outcome = store.push(cells(a={0: 1.0, 2: 3.0, 3: 5.0, 4: 6.0}, b={-8: 9.0}))
    assert outcome == PushOutcome(new=1, late=1, duplicate=1, replaced=1, too_late=1)
    assert shown(store.window()) == {"a": [1, 1, 3, 5, 6], "b": [2, 2, 2, 0, 0]}
    assert store.push(cells(a={4: 6.0})) == PushOutcome(duplicate=1)
    assert shown(opened().window()) == {"a": [1, 1, 3, 5, 6], "b": [2, 2, 2, 0, 0]}


def test_the_later_word_counts(opened, tmp_path):
    """Of two pushed values for one cell the later one stays, in memory and on disk; a repeat stores nothing."""
    store = opened()
    for rate in (1.0, 2.0, 1.5, 1.5):
        store.push(cells(a={0: rate}))
        store.commit()
    assert DeltaTable(str(tmp_path / "history" / "steps")).to_pyarrow_table().num_rows == 3
    assert shown(store.window()) == shown(opened().window()) == shown(read_history(tmp_path / "history")) == {"a": [1.5]}


def test_a_pushed_zero_is_a_word(opened):
    """A rate of 0 that is pushed replaces what was observed, and is not lost on the way to disk."""
    store = opened()
    append(store, 0, a=1.0, b=2.0)
    store.push(cells(a={0: 0.0}))
    assert shown(store.window()) == shown(opened().window()) == {"b": [2.0]}


def test_a_pushed_cell_and_the_observed_step_do_not_depend_on_their_order(opened):
    """A step that was pushed to first is still taken as a whole, and the pushed cell counts either way."""
    store = opened()
    store.push(cells(a={0: 7.0}))
    assert append(store, 0, a=1.0, b=2.0) is Arrival.LATE
    append(store, 1, a=1.0, b=2.0)
    store.push(cells(a={1: 7.0}))
    assert append(store, 1, a=9.0) is Arrival.DUPLICATE
    assert shown(store.window()) == shown(opened().window()) == {"a": [7, 7], "b": [2, 2]}


def test_producers_that_know_some_order_params_each_complete_a_step(opened):
    """Cells of one step that come one by one stand side by side; who was not told yet repeats the last value."""
    store = opened()
    append(store, 0, a=1.0, b=2.0, c=3.0)
    store.push(cells(a={1: 4.0}))
    assert shown(store.window()) == {"a": [1, 4], "b": [2, 2], "c": [3, 3]}
    store.push(cells(b={1: 5.0}))
    assert shown(store.window()) == shown(opened().window()) == {"a": [1, 4], "b": [2, 5], "c": [3, 3]}
    assert opened().gap_steps == 0


def test_what_is_older_than_the_first_step_is_put_in_front(opened):
    """A backfill goes before the steps that were observed already, and fills its own gaps."""
    store = opened()
    append(store, 5, a=9.0)
    outcome = store.push(cells(a={0: 1.0, 3: 2.0}, b={1: 4.0}))
    assert outcome == PushOutcome(late=3)
    assert shown(store.window()) == shown(opened().window()) == {"a": [1, 1, 1, 2, 2, 9], "b": [0, 4, 4, 4, 4, 0]}
    assert store.gap_steps == 2


def test_a_batch_off_the_grid_is_refused_as_a_whole(opened):
    """One cell that does not lie on the grid: nothing of the batch is taken."""
    store = opened()
    append(store, 0, a=1.0)
    wrong = Cells(("a",), np.array([T0, T0 + 90]), np.array([0, 0]), np.array([5, 6], np.float32))
    with pytest.raises(BadInputError, match="not on the grid of 60 s steps"):
        store.push(wrong)
    assert shown(store.window()) == {"a": [1]}


def test_nothing_to_push_is_nothing(opened):
    """A batch without cells changes nothing, also of an empty store."""
    store = opened()
    assert store.push(Cells((), *(np.zeros(0, kind) for kind in (np.int64, np.int64, np.float32)))) == PushOutcome()
    assert store.end_s is None


def test_a_crash_between_commit_and_deleting_the_log_takes_no_word_back(opened, tmp_path):
    """Pushed cells that are in the table and in the log count once, with the last value."""
    folder = tmp_path / "history"
    store = opened()
    append(store, 0, a=1.0)
    for rate in (2.0, 3.0):
        store.push(cells(a={0: rate}))
    logs = {path: path.read_bytes() for path in (folder / "log").glob("*.jsonl")}
    store.commit()
    for path, content in logs.items():
        path.write_bytes(content)
    assert shown(read_history(folder)) == {"a": [3]}
    again = opened()
    assert shown(again.window()) == {"a": [3]}
    again.commit()
    assert DeltaTable(str(folder / "steps")).to_pyarrow_table().num_rows == 3


def test_an_import_fills_what_is_not_observed_and_leaves_pushed_cells(opened):
    """Steps before, between and after those that are known are taken from the file; pushed cells stay."""
    store = opened(commit_steps=2)
    append(store, 2, a=1.0)
    append(store, 4, a=1.0)
    store.push(cells(b={1: 7.0}))
    trace = RateHistory(("a", "b"), T0, STEP_S, np.full((2, 6), 5.0))
    assert store.import_history(trace) == 4
    expected = {"a": [5, 5, 1, 5, 1, 5], "b": [5, 7, 0, 5, 0, 5]}
    assert shown(store.window()) == shown(opened().window()) == expected
    assert opened().import_history(trace) == 0


def naive(words, steps):
    """Return the rates that the rules give, cell by cell: the slow way."""
    table = np.zeros((steps, len(NAMES)))
    for column in range(len(NAMES)):
        for at in range(steps):
            value = table[at - 1, column] if at else 0.0
            for kind, when, rates in words:
                if kind == "step" and when == at:
                    value = rates.get(NAMES[column], 0.0)
            for kind, when, rates in words:
                if kind == "push" and when == at:
                    value = rates.get(NAMES[column], value)
            table[at, column] = value
    return table


rates = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3).map(float), min_size=1)
word = st.tuples(st.sampled_from(["step", "push"]), st.integers(0, 11), rates)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(words=st.lists(word, min_size=1, max_size=25), reopen=st.sets(st.integers(0, 24)))
def test_the_rules_hold_in_any_order_and_through_any_restarts(tmp_path_factory, words, reopen):
    """Whatever comes in which order: memory, a reopened store and a reader agree with the rules done the slow way."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grid, "REFILLED_ROWS", 2)  # so that filling up goes over the borders of its blocks
        _hold_the_rules(tmp_path_factory.mktemp("any") / "history", words, reopen)


def _hold_the_rules(folder, words, reopen):
    steps = 12
    said = [("push", steps - 1, {"a": 1.0}), ("push", 0, {"a": 1.0})]  # so that the window spans all steps
    store = HistoryStore.open(folder, STEP_S, HistoryLimits(commit_steps=4, compact_commits=1))
    for _, at, values in said:
        store.push(cells(**{name: {at: rate} for name, rate in values.items()}))
    for number, (kind, at, values) in enumerate(words):
        if kind == "push":
            store.push(cells(**{name: {at: rate} for name, rate in values.items()}))
            said.append((kind, at, values))
        elif append(store, at, **values) in (Arrival.NEW, Arrival.LATE):
            said.append((kind, at, values))
        if number in reopen:
            store.close()
            store = HistoryStore.open(folder, STEP_S, HistoryLimits(commit_steps=4, compact_commits=1))
    histories = [store.window(), read_history(folder)]
    store.close()
    expected = naive(said, steps)
    for history in (*histories, read_history(folder)):
        assert history.start_s == T0
        for name, row in zip(history.order_params, history.messages_per_s, strict=True):
            np.testing.assert_array_equal(row, expected[:, NAMES.index(name)])
