from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from models.base import LEVELS
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_json import events_json
from service import cli
from service.backtest_page import page
from service.backtest_report import document, events_words, verdict
from service.backtest_run import BacktestAsk, Zoo, run
from service.exit_codes import ExitCode
from tests.backtest.entrants import Listener, event, with_events
from tests.forecast.members import Fixed, Oracle
from tests.forecast.synthetic import history_of

MODEL_KEYS = {"wql", "mase", "wape", "coverage_80", "coverage_95", "fit_s", "predict_ms"}
HOUR = 3600


@pytest.fixture
def trace(tmp_path):
    """Six order params, eight days of hours, some of them shown as markup would be."""
    return written(tmp_path / "days.csv", hours=8 * 24)


def written(path, hours, seed=3):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(40 + 20 * np.sin(np.arange(hours) / 24 * 2 * np.pi) * np.ones((6, 1)))
    names = ["<i>a</i>", *"bcdef"]
    ts = pd.date_range("2026-01-05", periods=hours, freq="h", tz="UTC")
    rows = [(name, at, count) for name, row in zip(names, counts, strict=True) for at, count in zip(ts, row, strict=True)]
    pd.DataFrame(rows, columns=["order_param", "ts", "messages"]).to_csv(path, index=False)
    return path


def zoo_of(*candidates, rivals=(), learners=()):
    """The same candidates whenever they are asked for; a learner's twin is another one."""
    by_name = {each.name: each for each in candidates}
    names = tuple(by_name)
    twins = set()

    def make(wanted, seed):
        made = [Listener(name) if name in twins else by_name[name] for name in wanted]
        twins.update(wanted)
        return made

    return Zoo(names, tuple(rivals), frozenset(learners), make, lambda _: None)


def rates_zoo():
    """An all-knowing ensemble that uses no events, and two standards near and far from the mean rate."""
    standards = (Fixed("near", 40 / HOUR, 8 / HOUR), Fixed("far", 90 / HOUR, 8 / HOUR))
    return zoo_of(Oracle(), *standards, rivals=("near", "far"))


@pytest.mark.parametrize("horizon", ["short", "medium"])
def test_the_agreed_keys_come_first(trace, tmp_path, capsys, horizon):
    """The JSON begins with horizon, bins, models, champion; each model has the agreed figures; the screen says who won."""
    path = tmp_path / "out.json"
    options = ["--horizon", horizon, "--models", "baseline,tsb", "--json", str(path), "--origins", "10"]
    assert cli.run(["backtest", str(trace), *options]) == ExitCode.OK
    found = json.loads(path.read_text())
    assert list(found)[:4] == ["horizon", "bins", "models", "champion"]
    assert (found["horizon"], found["bins"], list(found["models"])) == (horizon, 192, ["baseline", "tsb"])
    assert all(set(each) >= MODEL_KEYS for each in found["models"].values())
    assert found["champion"] == min(found["models"], key=lambda name: found["models"][name]["wql"])
    assert (found["step_s"], found["origins"], found["train_bins"]) == (3600, 10, 144)
    shown = capsys.readouterr()
    assert f"★ {found['champion']}" in shown.out
    assert found["verdict"] in shown.out
    assert shown.err == ""


def test_json_on_standard_output(trace, capsys):
    """`--json -` prints the JSON and nothing else."""
    assert cli.run(["backtest", str(trace), "--horizon", "short", "--models", "tsb", "--json", "-"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["champion"] == "tsb"


def test_the_page(trace):
    """The page holds everything, asks no network, shows names as text, and has every section."""
    shown = page(run(BacktestAsk(trace, "short"), rates_zoo()))
    assert "&lt;i&gt;a&lt;/i&gt;" in shown
    assert "<i>a</i>" not in shown
    assert 'src="http' not in shown
    for name in ("by-step", "by-class", "reliability", "coverage-80", "coverage-95", "regret", "fan-0"):
        assert f'id="{name}"' in shown
    assert "Plotly.newPlot" in shown
    assert "★ oracle" in shown


def test_the_report_is_written_where_it_is_asked_for(trace, tmp_path, capsys):
    """--report makes the folder and names the file."""
    folder = tmp_path / "out" / "deep"
    command = ["backtest", str(trace), "--horizon", "short", "--models", "tsb", "--report", str(folder)]
    assert cli.run(command) == ExitCode.OK
    assert (folder / "backtest.html").read_text().startswith("<!doctype html>")
    assert str(folder / "backtest.html") in capsys.readouterr().out


def test_the_verdict_in_words(trace):
    """It names the champion, the trace, the best standard, the gain and whether it may be chance."""
    found = run(BacktestAsk(trace, "short"), rates_zoo())
    assert verdict(found) == (
        "oracle foresees days 100% better than the best statistical standard, near; "
        "the difference is significant (p < 0.001)."
    )
    assert document(found)["ratio_to_best_rival"] == pytest.approx(0.0, abs=1e-6)


def test_the_verdict_where_a_standard_wins(trace):
    """Then the sentence says how far behind the best other model is; without standards it says that there are none."""
    near = Fixed("near", 40 / HOUR, 8 / HOUR)
    found = run(BacktestAsk(trace, "short"), zoo_of(Fixed("far", 90 / HOUR), near, rivals=("near",)))
    assert verdict(found).startswith("near, a statistical standard, foresees days best. The best other model, far, has")
    alone = run(BacktestAsk(trace, "short"), zoo_of(near))
    assert verdict(alone).endswith("No statistical standard took part to compare it with.")
    assert document(alone)["best_rival"] is None


def test_with_events_learners_run_twice(trace, tmp_path):
    """A learner has a twin without events, others have none; what the events bring is said in words and figures."""
    plain = history_of(np.ones((1, 192)), HOUR)
    calendar = with_events(plain, event(plain, 0, 1)).calendar  # in 2023: not in the trace
    (tmp_path / "old.json").write_text(events_json(calendar))
    (tmp_path / "new.csv").write_text("kind,start,end\ncampaign,2026-01-12T03:00Z,2026-01-12T09:00Z\n")
    zoo = zoo_of(Listener(factor=1.5), Fixed("near", 40 / HOUR), rivals=("near",), learners=("listener",))
    found = run(BacktestAsk(trace, "short", events=tmp_path / "new.csv"), zoo)
    assert list(document(found)["models"]) == ["listener", "near", "listener-no-events"]
    gain = document(found)["events"][0]
    assert gain["at_with"] > gain["at_without"]  # it expects more, and no more comes
    assert events_words(found)[0].startswith("Knowing the events, listener has ")
    assert " more loss where one falls into the horizon; that it gains may be chance (p = " in events_words(found)[0]
    assert "What the events bring" in page(found)
    old = run(BacktestAsk(trace, "short", events=tmp_path / "old.json"), zoo)
    assert events_words(old) == ["None of the events falls into the trace."]


def test_only_the_busiest(trace):
    """--order-params keeps so many; --step makes coarser steps."""
    found = document(run(BacktestAsk(trace, "short", order_params=2), rates_zoo()))
    assert found["order_params"] == 2
    assert found["sums"]["rows"][0]["order_params"] == 2


def test_figures_that_do_not_exist_are_null(tmp_path):
    """A trace without any change in training has no scale for MASE; the JSON holds null, not NaN."""
    hours = 64
    ts = pd.date_range("2026-01-05", periods=hours, freq="h", tz="UTC")
    counts = np.where(np.arange(hours) < 48, 5, 7)
    path = tmp_path / "flat.csv"
    pd.DataFrame({"order_param": "a", "ts": ts, "messages": counts}).to_csv(path, index=False)
    found = document(run(BacktestAsk(path, "short"), rates_zoo()))
    assert found["models"]["near"]["mase"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--horizon", "short", "--models", "nhitz"], "there is no model 'nhitz'; known are ensemble, nhits"),
        (["--horizon", "short", "--step", "7"], "bins of 60 min, which do not make up steps of 7 min"),
        (["--horizon", "long"], "'long' is not one of 'short', 'medium'"),
        ([], "Missing option '--horizon'"),
        (["--horizon", "short", "--events", "no.csv"], "events no.csv: cannot be read"),
        (["--horizon", "short", "--json", "no/where.json"], "name a file in a folder that exists"),
    ],
)
def test_bad_usage_is_a_sentence_and_code_2(trace, capsys, options, says):
    """Each mistake is named, with what would be right."""
    assert cli.run(["backtest", str(trace), *options]) == ExitCode.USAGE
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert says in said


def test_a_trace_that_is_missing_or_too_short(tmp_path, capsys):
    """The refusal says how much is needed."""
    assert cli.run(["backtest", str(tmp_path / "no.csv"), "--horizon", "short"]) == ExitCode.USAGE
    assert "no such file" in capsys.readouterr().err
    short = written(tmp_path / "short.csv", hours=100)
    assert cli.run(["backtest", str(short), "--horizon", "medium", "--models", "tsb"]) == ExitCode.USAGE
    assert "needs at least 121 steps of 3600 s, and the trace covers 100" in capsys.readouterr().err


def test_steps_that_make_up_no_hour(tmp_path):
    """The medium horizon is hourly; steps of 50 minutes cannot be gathered into hours."""
    ts = pd.date_range("2026-01-05", periods=300, freq="10min", tz="UTC")
    pd.DataFrame({"order_param": "a", "ts": ts, "messages": 1}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(BadInputError, match="steps of 50 min do not make up the hours of the medium horizon"):
        run(BacktestAsk(tmp_path / "a.csv", "medium", step_s=3000), rates_zoo())


def test_the_packaged_sample_is_there_by_name_and_by_default(monkeypatch, tmp_path):
    """No trace, and the word sample, mean the packaged sample."""
    monkeypatch.chdir(tmp_path)
    for given in (None, "sample"):
        ask = BacktestAsk(given and tmp_path.__class__(given), "medium", order_params=2, origins=8)
        found = document(run(ask, zoo_of(Fixed("near", 0.001), rivals=("near",))))
        assert (found["trace"], found["order_params"]) == ("NYC departures 2013", 2)


def test_the_command_line_loads_nothing_heavy():
    """Importing the command imports neither torch, nor statsforecast, plotly or numpy."""
    code = "import sys, service.cli_backtest; print({'torch', 'statsforecast', 'plotly', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_reliability_has_a_figure_for_every_level(trace):
    """The JSON names the levels as people write them."""
    found = document(run(BacktestAsk(trace, "short"), rates_zoo()))
    assert [float(level) for level in found["models"]["near"]["reliability"]] == list(LEVELS)
