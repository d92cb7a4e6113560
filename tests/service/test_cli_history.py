from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_balancer import NOW_S, ODD_NAMES, STEP_S
from test_cli import running

from plb_ray.domain.rates import RateHistory
from plb_ray.history.reader import read_history
from plb_ray.history.store import HistoryStore
from plb_ray.journal.owner_lock import OwnerLock
from plb_ray.simulation.trace import read_trace
from service import cli, history_files
from service.exit_codes import ExitCode

STEPS = 12
NAMES = ("[bold]x", *ODD_NAMES)
START_S = int(NOW_S) - 30 * STEP_S


@pytest.fixture
def history():
    """Rates of odd names, many of them 0; one order param never has any."""
    rng = np.random.default_rng(7)
    counts = rng.integers(0, 4, (len(NAMES), STEPS)).astype(np.float32)
    counts[3] = 0
    counts[0] = 9
    return RateHistory(NAMES, START_S, STEP_S, counts / np.float32(STEP_S))


@pytest.fixture
def trace(tmp_path, history):
    """The same as a trace file."""
    path = tmp_path / "trace.parquet"
    history_files.export_file(history, path)
    return path


@pytest.fixture
def config(tmp_path):
    """A configuration whose state folder is empty."""
    path = tmp_path / "plb.toml"
    path.write_text(f'state_dir = "{tmp_path / "state"}"\n[balancer]\nstep_s = {STEP_S}\n')
    return path


def said(capsys, code, *arguments):
    """Run a command, which must leave with this code; return what it printed, JSON of the one or words of the other."""
    assert cli.run(["history", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return json.loads(out) if "--json" in arguments else out + err


def assert_same(one, other):
    assert (one.start_s, one.step_s, sorted(one.order_params)) == (other.start_s, other.step_s, sorted(other.order_params))
    np.testing.assert_allclose(one.rows(other.order_params).messages_per_s, other.messages_per_s, rtol=1e-6)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz"])
def test_what_is_imported_is_shown_and_exported_again(capsys, tmp_path, config, trace, history, ending):
    """A file goes in, is described, and comes out as a file that holds the same."""
    found = said(capsys, 0, "import", trace, "--config", config, "--json")
    assert found == {"new_steps": STEPS, "known_steps": 0, "steps": STEPS, "order_params": len(NAMES)}
    assert_same(read_history(tmp_path / "state" / "history"), history)
    shown = said(capsys, 0, "show", "--state", tmp_path / "state", "--json")
    assert (shown["steps"], shown["gap_steps"], shown["pushed_cells"]) == (STEPS, 0, 0)
    assert (shown["start"], shown["end"]) == ("2013-11-27T09:00:00Z", "2013-11-27T11:00:00Z")
    again = tmp_path / f"again{ending}"
    assert said(capsys, 0, "export", again, "--config", config, "--json")["steps"] == STEPS
    assert_same(read_trace(again).history(0, STEPS), history)


def test_words_for_people(capsys, config, trace):
    """Each command says in words what it did, and show names gaps and pushed values."""
    assert "12 steps imported, 0 known already" in said(capsys, 0, "import", trace, "--config", config)
    assert "0 steps imported, 12 known already" in said(capsys, 0, "import", trace, "--config", config)
    shown = said(capsys, 0, "show", "--config", config)
    assert "12 steps of 600 s, from 2013-11-27T09:00:00Z to 2013-11-27T11:00:00Z" in shown
    assert "0 steps were not observed" in shown
    assert "[bold]x" in shown


def test_only_the_last_days_are_exported(capsys, tmp_path, config, trace):
    """--days cuts the older part off."""
    said(capsys, 0, "import", trace, "--config", config)
    out = tmp_path / "hour.csv"
    assert said(capsys, 0, "export", out, "--config", config, "--days", 1 / 24, "--json")["steps"] == 6
    assert read_trace(out).start_s == START_S + 6 * STEP_S


def test_finer_bins_are_averaged(capsys, tmp_path, config):
    """Bins that are parts of a step make up its rate."""
    path = tmp_path / "fine.csv"
    ts = pd.to_datetime(START_S + 300 * np.arange(8), unit="s", utc=True)
    pd.DataFrame({"order_param": "a", "ts": ts, "messages": [300, 900] * 4}).to_csv(path, index=False)
    said(capsys, 0, "import", path, "--config", config)
    assert read_history(tmp_path / "state" / "history").messages_per_s.tolist() == [[2.0] * 4]


def test_an_import_beside_a_running_balancer_is_refused_with_the_way_out(capsys, tmp_path, config, trace):
    """While the folder has an owner nothing is imported, and the command to use instead is said."""
    (tmp_path / "state").mkdir()
    lock = OwnerLock(tmp_path / "state" / "journal.sqlite.lock")
    words = said(capsys, ExitCode.REFUSED, "import", trace, "--config", config)
    assert f"push to it instead: `plb history push {trace}`" in words
    assert not (tmp_path / "state" / "history").exists()
    lock.release()
    said(capsys, 0, "import", trace, "--config", config)
    OwnerLock(tmp_path / "state" / "journal.sqlite.lock").release()


def test_show_and_export_work_beside_a_running_balancer(capsys, tmp_path, config):
    """What a balancer has not committed yet is shown and exported too, and the balancer is not disturbed."""
    store = HistoryStore.open(tmp_path / "state" / "history", STEP_S)
    for at in range(3):
        store.append(START_S + at * STEP_S, {"a": 1.0})
    assert said(capsys, 0, "show", "--config", config, "--json")["steps"] == 3
    assert said(capsys, 0, "export", tmp_path / "now.csv", "--config", config, "--json")["rows"] == 3
    store.append(START_S + 3 * STEP_S, {"a": 1.0})
    store.close()
    assert said(capsys, 0, "show", "--config", config, "--json")["steps"] == 4


@pytest.mark.parametrize(
    ("step_s", "start_s", "words"),
    [
        (900, START_S, "its bins of 900 s do not make up the history's steps of 600 s; balancer.step_s = 900 would fit"),
        (600, START_S + 60, "which is no multiple of 600 s"),
    ],
)
def test_a_file_that_does_not_fit_the_steps_is_refused(capsys, tmp_path, config, step_s, start_s, words):
    """Bins of another length, or off the grid: the error says which, and nothing is made."""
    path = tmp_path / "wrong.csv"
    ts = pd.to_datetime(start_s + step_s * np.arange(4), unit="s", utc=True)
    pd.DataFrame({"order_param": "a", "ts": ts, "messages": 1}).to_csv(path, index=False)
    assert words in said(capsys, ExitCode.USAGE, "import", path, "--config", config)
    assert not (tmp_path / "state").exists()


def test_where_there_is_no_history_that_is_said(capsys, config):
    """Both show and export of an empty state folder name the folder that was looked at."""
    for command in (("show",), ("export", "x.csv")):
        assert "history: there is none" in said(capsys, ExitCode.USAGE, *command, "--config", config)


def test_an_export_that_fails_leaves_nothing(capsys, tmp_path, config, trace):
    """An unknown ending and a folder that does not exist are told, and no half file stays."""
    said(capsys, 0, "import", trace, "--config", config)
    before = sorted(tmp_path.iterdir())
    assert "unknown ending '.xls'" in said(capsys, ExitCode.USAGE, "export", tmp_path / "x.xls", "--config", config)
    assert "cannot be written" in said(capsys, ExitCode.USAGE, "export", tmp_path / "no" / "x.csv", "--config", config)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_is_pushed_in_batches_and_again_without_harm(capsys, balancer, trace, history, monkeypatch):
    """Every bin reaches the service, zeros too, in requests of bounded size; a repeat is known already."""
    monkeypatch.setattr(history_files, "SAMPLES_MAX", 20)
    with running(balancer) as url:
        assert said(capsys, 0, "push", trace, "--url", url, "--json")["late"] == history.messages_per_s.size
        assert f"{history.messages_per_s.size} duplicate" in said(capsys, 0, "push", trace, "--url", url)
    assert max(sum(series.at_s.size for series in batch.series) for batch in balancer.told) <= 20
    for row, name in enumerate(history.order_params):
        told = [balancer.cells[name, START_S + at * STEP_S] for at in range(STEPS)]
        np.testing.assert_allclose(told, history.messages_per_s[row], rtol=1e-6)


def test_what_the_service_refuses_of_a_push_is_said(capsys, tmp_path, balancer):
    """Bins of the future are refused with a reason that is printed."""
    path = tmp_path / "future.csv"
    ts = pd.to_datetime(int(NOW_S) + STEP_S * np.arange(3), unit="s", utc=True)
    pd.DataFrame({"order_param": "a", "ts": ts, "messages": 1}).to_csv(path, index=False)
    with running(balancer) as url:
        words = said(capsys, 0, "push", path, "--url", url)
    assert "3 refused" in words
    assert "refused: order param 'a', time 2013-11-27T14:00:00+00:00" in words


def test_status_says_why_samples_do_not_come(capsys, balancer):
    """A source that does not answer is a line of `plb status`; one that does is none."""
    with running(balancer) as url:
        assert cli.run(["status", "--url", url]) == 0
        assert "could not be fetched" not in capsys.readouterr().out
        shown = replace(balancer.status_now.history, source_error="Prometheus sleeps")
        balancer.status_now = replace(balancer.status_now, history=shown)
        assert cli.run(["status", "--url", url]) == 0
        assert "samples could not be fetched: Prometheus sleeps" in capsys.readouterr().out
