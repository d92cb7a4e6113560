"""Reading a history from outside, while another process writes, compacts and forgets."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from plb_ray.domain.rates import RateHistory
from plb_ray.errors import BadInputError, RetryableError
from plb_ray.history import reader
from plb_ray.history.reader import read_history, read_picture
from plb_ray.history.samples import Cells
from plb_ray.history.store import HistoryLimits, HistoryStore

STEP_S = 60
STEPS = 320
WRITER = f"""
import sys
from pathlib import Path
import numpy as np
from plb_ray.history.samples import Cells
from plb_ray.history.store import HistoryLimits, HistoryStore
limits = HistoryLimits(compact_commits=2)
store = HistoryStore.open(Path(sys.argv[1]), {STEP_S}, limits)
for at in range({STEPS}):
    start_s = np.array([at * {STEP_S}])
    store.append(int(start_s[0]), {{"watched": 1.0 + at, "told": 0.5}})
    store.push(Cells(("told",), start_s, np.array([0]), np.array([1000.0 + at], np.float32)))
    if at % 4 == 3:
        store.commit()
    if at == 5:
        print("begun", flush=True)
store.close()
assert not store.commit_error, store.commit_error
"""


def cells(name, rates_at):
    """Return cells of one order param from {step number: rate}."""
    at = np.array(sorted(rates_at), dtype=np.int64)
    rates = np.array([rates_at[each] for each in at.tolist()], dtype=np.float32)
    return Cells((name,), at * STEP_S, np.zeros(at.size, np.int64), rates)


def test_every_reading_is_what_there_was_at_some_moment(tmp_path):
    """While a process appends, pushes, commits and compacts, each reading has all steps up to some moment, and no more."""
    folder = tmp_path / "history"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "begun\n"
        lengths = []
        while writer.poll() is None:
            history = read_history(folder)
            steps = history.messages_per_s.shape[1]
            watched, told = history.rows(("watched", "told")).messages_per_s
            np.testing.assert_array_equal(watched, 1.0 + np.arange(steps))
            np.testing.assert_array_equal(told[:-1], 1000.0 + np.arange(steps - 1))
            assert told[-1] in (0.5, 999.0 + steps)
            lengths.append(steps)
    assert writer.returncode == 0
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3
    assert DeltaTable(str(folder / "steps")).version() > STEPS // 4
    assert read_picture(folder).pushed_cells == read_history(folder).messages_per_s.shape[1] == STEPS


def test_a_reading_since_a_time_reads_only_that(tmp_path):
    """Steps before the time are left out, of the table and of the log; the rest is the same."""
    store = HistoryStore.open(tmp_path, STEP_S, HistoryLimits(commit_steps=8))
    for at in range(20):
        store.append(at * STEP_S, {"a": float(at)})
    store.commit()
    store.append(20 * STEP_S, {"a": 20.0})
    for first in (18, 20):
        found = read_history(tmp_path, first * STEP_S)
        assert (found.start_s, found.messages_per_s.tolist()) == (first * STEP_S, [[float(at) for at in range(first, 21)]])
    store.close()


def test_a_table_of_an_older_release_is_read_and_continued(tmp_path):
    """A table without revisions opens, takes steps and pushed cells, and reads as one history."""
    columns = {"start_s": pa.int64(), "order_params": pa.list_(pa.string()), "messages_per_s": pa.list_(pa.float32())}
    old = pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])
    write_deltalake(str(tmp_path / "steps"), pa.table([[0, STEP_S], [["a"], ["a"]], [[1.0], [2.0]]], schema=old))
    store = HistoryStore.open(tmp_path, STEP_S)
    store.append(2 * STEP_S, {"a": 3.0})
    store.push(cells("a", {0: 7.0}))
    assert store.import_history(RateHistory(("a",), 0, STEP_S, np.full((1, 4), 9.0))) == 1
    store.close()
    assert read_history(tmp_path).messages_per_s.tolist() == [[7, 2, 3, 9]]


def test_where_there_is_no_history_the_reader_says_so(tmp_path):
    """A folder without a history is an error that says which folder is meant."""
    with pytest.raises(BadInputError, match="there is none; it is the folder `history` in a balancer's state folder"):
        read_history(tmp_path)


def test_an_empty_history_is_read(tmp_path):
    """Before the first step there is a history without order params and steps."""
    HistoryStore.open(tmp_path, STEP_S).close()
    assert read_history(tmp_path).messages_per_s.shape == (0, 0)


def test_a_table_that_is_tidied_up_under_the_reader_is_read_again(tmp_path, monkeypatch):
    """A file that vanishes while reading is no error the first time, and a clear one when it goes on."""
    store = HistoryStore.open(tmp_path, STEP_S)
    store.append(0, {"a": 1.0})
    store.close()
    read, failures = reader.StepTable.read, [FileNotFoundError("gone"), FileNotFoundError("gone")]

    def vanishing(table, since_s):
        if failures:
            raise failures.pop()
        return read(table, since_s)

    monkeypatch.setattr(reader.StepTable, "read", vanishing)
    assert read_history(tmp_path).messages_per_s.tolist() == [[1]]
    failures += [FileNotFoundError("gone")] * reader.TRIES
    with pytest.raises(RetryableError, match="cannot be read now: gone; try again"):
        read_history(tmp_path)
