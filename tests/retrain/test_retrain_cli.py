"""`plb retrain`: starting, following, listing and cancelling, over a service in this process."""

import asyncio
import io
import json
import threading
from contextlib import contextmanager

import pytest
import typer
from retrainings_here import NOW_S, RetrainingsHere, a_place, work_done
from rich.console import Console

from plb_ray.cluster.retraining import PartState, RetrainRequest
from service import cli_retrain
from service.api.app import create_app
from service.cli_retrain import follow_to_end
from service.cli_retrain_render import watcher
from service.exit_codes import ExitCode
from service.local_http import serving
from tests.service.fake_balancer import FakeBalancer


@contextmanager
def running(app):
    """Serve an application from a thread of its own, since commands block; yields its URL."""
    loop, url, stop, up = asyncio.new_event_loop(), [], asyncio.Event(), threading.Event()

    async def serve():
        async with serving(app) as at:
            url.append(at)
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(10)
    try:
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def retrainings(tmp_path):
    return RetrainingsHere(a_place(tmp_path))


@pytest.fixture
def url(retrainings):
    with running(create_app(FakeBalancer(), now_s=lambda: NOW_S + 30, retrainings=retrainings)) as at:
        yield at


def plb(*arguments) -> int:
    """Run `plb retrain` alone; return the exit code."""
    app = typer.Typer()
    cli_retrain.register(app)
    app.command()(lambda: None)  # typer makes commands of a name only where there is more than one
    try:
        app(args=["retrain", *arguments], prog_name="plb")
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def test_a_job_is_asked_for(url, retrainings, capsys):
    """Groups, horizons and the span reach the service; what is shown names the id and how to watch it."""
    assert plb("--group", "group-0", "--group", "hot-0", "--horizon", "short", "--since", "14d", "--url", url) == 0
    assert retrainings.asked == [RetrainRequest(("group-0", "hot-0"), ("short",), "14d", again=False)]
    out = capsys.readouterr().out
    assert retrainings.record.retraining_id in out
    assert "--follow" in out
    assert "hot-0" in out


def test_following_a_job_that_is_done(url, retrainings, capsys):
    """--follow prints the log and the result, and leaves with 0."""
    retrainings.start(RetrainRequest())
    retrainings.record, retrainings.lines = work_done(retrainings.record), ["part=[b]group-0/short state=done"]
    assert plb("--follow", "--url", url) == 0
    out = capsys.readouterr().out
    assert "part=[b]group-0/short state=done" in out
    assert "100%: 6 of 6 networks" in out


def test_following_a_job_that_fails(url, retrainings, capsys):
    """A failure is shown with its reason, and the exit code says it."""
    retrainings.start(RetrainRequest())
    retrainings.record = work_done(retrainings.record, PartState.FAILED)
    assert plb("show", retrainings.record.retraining_id, "--follow", "--url", url) == ExitCode.CHECKS_FAILED
    assert "failed" in capsys.readouterr().out


def test_json(url, retrainings, capsys):
    """--json prints what the API answered, and no log around it."""
    retrainings.start(RetrainRequest())
    retrainings.record, retrainings.lines = work_done(retrainings.record), ["a line"]
    assert plb("--follow", "--json", "--url", url) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["fraction"], len(found["parts"])) == ("done", 1.0, 6)


def test_list_show_cancel(url, retrainings, capsys):
    """The subcommands ask the service that is named before or behind them."""
    assert plb("--url", url, "list") == 0
    assert "no retrainings" in capsys.readouterr().out
    retrainings.start(RetrainRequest(since="14d"))
    retrainings.lines = [f"line {number}" for number in range(30)]
    name = retrainings.record.retraining_id
    assert plb("list", "--url", url) == 0
    assert name in capsys.readouterr().out
    assert plb("show", name, "--url", url) == 0
    shown = capsys.readouterr().out
    assert "line 29" in shown
    assert "line 9\n" not in shown
    assert plb("cancel", name, "--url", url, "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"


def test_following_asks_for_new_lines_only_and_waits_between():
    """Each look names the lines that are known already; the last one is when it is over."""
    answers = [
        {"log": ["a"], "log_lines": 1, "ended_at": None, "eta_s": None},
        {"log": ["b", "c"], "log_lines": 3, "ended_at": None, "eta_s": 900.0},
        {"log": [], "log_lines": 3, "ended_at": "2026-01-15T09:30:00Z", "eta_s": None},
    ]
    asked, watched, slept = [], [], []

    def find(_name, log_from):
        asked.append(log_from)
        return answers[len(asked) - 1]

    assert follow_to_end(find, "retrain-0", watched.append, slept.append) is answers[2]
    assert (asked, watched) == ([0, 1, 3], answers)
    assert len(slept) == 2
    assert slept[0] < slept[1]


def test_ctrl_c_stops_watching_and_not_the_job(url, retrainings, capsys, monkeypatch):
    """The command says that the job goes on, and how to watch and end it."""

    def interrupted(*_args):
        raise KeyboardInterrupt

    retrainings.start(RetrainRequest())
    monkeypatch.setattr(cli_retrain, "follow_to_end", interrupted)
    assert plb("--follow", "--url", url) != 0
    err = capsys.readouterr().err
    assert "goes on" in err
    assert f"plb retrain cancel {retrainings.record.retraining_id}" in err
    assert not retrainings.record.state.over


def test_a_bar_on_a_terminal(retrainings):
    """On a terminal the log runs above a bar with what is trained and the ETA."""
    retrainings.start(RetrainRequest())
    part = {"group": "group-0", "horizon": "short", "state": "training"}
    found = {"log": ["a line"], "fraction": 0.4, "eta_s": 75.0, "state": "running", "parts": [part]}
    console = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    with watcher(console, silent=False) as watch:
        watch(found)
    text = console.export_text()
    assert "a line" in text
