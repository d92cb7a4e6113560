from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from fake_balancer import NOW_S
from rich.console import Console
from test_cli import running

from plb_ray.domain.migration import MigrationMode, MigrationStep
from service import cli, cli_migrations
from service.api.migration_views import migration_detail
from service.cli_progress import watcher
from service.cli_render import moment_line
from service.client import ServiceClient
from service.exit_codes import ExitCode

RUNNING = "85-JFK-ATL"


@pytest.fixture
def url(balancer):
    with running(balancer) as at:
        yield at


@pytest.fixture
def looks(balancer, monkeypatch):
    """Between two looks of `plb migrate` the next action of this list is done, instead of waiting."""
    actions = []
    monkeypatch.setattr(cli_migrations.time, "sleep", lambda _seconds: actions.pop(0)() if actions else None)
    return actions


def detail(balancer, migration_id=RUNNING):
    """Return a migration as the API shows it now."""
    record = balancer._migration(migration_id)
    shown = migration_detail(balancer.progress.get(migration_id, record), (*balancer.earlier.get(migration_id, ()), record))
    return shown.model_dump(mode="json")


def test_list_names_what_show_and_cancel_take(url, capsys):
    """The list shows ids, ways, modes and progress, in lines that a pipe does not fold."""
    assert cli.run(["migrations", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[1].split()[1] == RUNNING
    assert "p90 at 14:10 would put shard-3 at 112 % of CPU" in lines[1]


def test_list_shows_progress_and_chains(url, balancer, capsys):
    """A running copy shows its share of what is known to be there; a chained one says so."""
    balancer.advance(RUNNING, messages_copied=300, lag_messages=100)
    balancer.records[1] = replace(balancer.records[1], mode=MigrationMode.CHAIN)
    assert cli.run(["migrations", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "300 (75%)" in lines[1]
    assert "shard-3 → shard-4, chained" in lines[2]


def test_list_on_a_narrow_terminal(url, capsys, monkeypatch):
    """Where lines are short the reasons are left out, and no figure is cut."""
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["migrations", "--url", url]) == 0
    out = capsys.readouterr().out
    assert "why" not in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_show_has_the_timeline(url, balancer, capsys):
    """`show` names way, mode and reason, and has a line per step with what was copied and left, pause and failure."""
    balancer.advance(RUNNING, step=MigrationStep.PAUSED, messages_copied=1500, lag_messages=30, eta_s=0.4)
    balancer.advance(RUNNING, error="at paused: no answer")
    balancer.advance(RUNNING, step=MigrationStep.ABORTED, pause_ms=31.5, finished_s=NOW_S, eta_s=None)
    assert cli.run(["migrations", "show", RUNNING, "--url", url]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        f"migration {RUNNING}  aborted",
        "JFK-ATL: shard-3 → shard-4, mode copy, epoch 3",
        "why: p90 at 14:10 would put shard-3 at 112 % of CPU",
        "rolled back: at paused: no answer",
    ]
    assert [line.split() for line in lines[6:]] == [
        ["14:00:00.000", "paused", "1,500", "105,472", "30", "0.4", "s"],
        ["14:00:00.000", "paused", "1,500", "105,472", "30", "0.4", "s", "at", "paused:", "no", "answer"],
        ["14:00:00.000", "aborted", "1,500", "105,472", "30", "32", "ms", "at", "paused:", "no", "answer"],
    ]


@pytest.mark.parametrize("where", ["group", "command"])
def test_options_before_and_after_the_subcommand(url, capsys, where):
    """--url and --json are understood on both sides of `show`."""
    options = ["--url", url, "--json"]
    arguments = [*options, "show", "80-a//b"] if where == "group" else ["show", "80-a//b", *options]
    assert cli.run(["migrations", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["migration_id"], [each["step"] for each in found["timeline"]]) == ("80-a//b", ["aborted"])


def test_cancel(url, balancer, capsys):
    """A cancelled migration is shown rolled back; repeating it is harmless."""
    for _ in range(2):
        assert cli.run(["migrations", "cancel", RUNNING, "--url", url]) == 0
        assert "aborted" in capsys.readouterr().out
    assert balancer._migration(RUNNING).step is MigrationStep.ABORTED


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["show", "nope"], ExitCode.UNKNOWN_NAME, "unknown migration 'nope'; `plb migrations`"),
        (["cancel", "nope"], ExitCode.UNKNOWN_NAME, "unknown migration 'nope'"),
        (["cancel", "84-JFK-ATL"], ExitCode.REFUSED, "past its commit point"),
        (["show"], ExitCode.USAGE, "ID"),
        (["shwo", "x"], ExitCode.USAGE, "show"),
    ],
)
def test_refusals(url, capsys, arguments, code, sentence):
    """What cannot be shown or cancelled is said in a sentence, with the exit code of its kind."""
    assert cli.run(["migrations", "--url", url, *arguments]) == code
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


@pytest.mark.parametrize("mode", ["copy", "chain"])
def test_migrate_in_a_mode(url, balancer, mode):
    """The mode is passed on; without one it is copy."""
    arguments = ["migrate", "LGA-ATL", "--to", "shard-2", "--no-wait", "--url", url]
    assert cli.run(arguments if mode == "copy" else [*arguments, "--mode", mode]) == 0
    assert balancer.requests[0].mode == MigrationMode(mode)


def test_an_unknown_mode(capsys):
    """A mode that does not exist is named with those that do."""
    assert cli.run(["migrate", "LGA-ATL", "--to", "shard-2", "--mode", "teleport"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "copy" in said
    assert "chain" in said


def test_migrate_tells_each_step_in_a_line(url, balancer, looks, capsys):
    """Without a terminal each step is one line, in order and once; the last lines are the result."""

    def copied():
        balancer.progress["m1"] = replace(balancer._migration("m1"), messages_copied=7, lag_messages=3)

    looks += [
        copied,
        lambda: balancer.advance("m1", step=MigrationStep.PRECOPIED, messages_copied=10, eta_s=0.5),
        lambda: balancer.advance("m1", step=MigrationStep.DONE, pause_ms=8.25, finished_s=NOW_S + 1, eta_s=None),
    ]
    assert cli.run(["migrate", "LGA-ATL", "--to", "shard-2", "--id", "m1", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "14:00:00.000 prepare: 0 copied, 0 left",
        "14:00:00.000 precopied: 10 copied, 0 left, ETA 0.5 s",
        "14:00:00.000 done: 10 copied, 0 left, paused 8.2 ms",
    ]
    assert len(lines) == 5


def test_migrate_for_machines_prints_json_alone(url, balancer, looks, capsys):
    """With --json nothing but the finished migration with its timeline is printed."""
    looks.append(lambda: balancer.advance("m1", step=MigrationStep.DONE, finished_s=NOW_S + 1))
    assert cli.run(["migrate", "LGA-ATL", "--to", "shard-2", "--id", "m1", "--url", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["step"] for each in found["timeline"]] == ["prepare", "done"]


def test_ctrl_c_says_how_to_cancel(url, looks, capsys):
    """Ctrl-C stops watching and says that the migration goes on, and how to stop that."""

    def interrupt():
        raise KeyboardInterrupt

    looks.append(interrupt)
    arguments = ["migrate", "LGA-ATL", "--to", "shard-2", "--id", "m1", "--url", url]
    assert cli.run(arguments) == ExitCode.INTERRUPTED
    assert "m1 goes on; `plb migrations cancel m1`" in capsys.readouterr().err


def test_a_bar_on_a_terminal(balancer):
    """On a terminal one bar shows step, copied of all, and ETA; a name that looks like markup stays as it is."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    balancer.records[0] = replace(balancer.records[0], order_param="[red]x", messages_copied=40, lag_messages=60, eta_s=1.5)
    with watcher(terminal, silent=False) as watch:
        watch(detail(balancer))
        watch._progress.refresh()
        balancer.advance(RUNNING, step=MigrationStep.DONE, finished_s=NOW_S, eta_s=None)
        watch(detail(balancer))
        watch._progress.refresh()
    shown = terminal.file.getvalue()
    assert "[red]x shard-3 → shard-4 precopied" in shown
    assert "40/100 messages ETA 1.5 s" in shown
    assert "40/40 messages" in shown


def test_lines_without_a_time():
    """A step of an older release, whose time was not noted, is still a line."""
    copied = {"messages_copied": 1, "lag_messages": 0, "eta_s": None, "pause_ms": None}
    assert moment_line({"at": None, "step": "sealed", "error": "", **copied}) == "- sealed: 1 copied, 0 left"


def test_the_client_follows_ids_with_slashes(url, balancer):
    """Ids that hold slashes, spaces and question marks reach the service as they are."""
    odd = "85- a//b?x=1#y/cancel"
    balancer.records.insert(0, replace(balancer.records[0], migration_id=odd))
    with ServiceClient(url) as client:
        assert client.migration(odd)["migration_id"] == odd
        assert client.cancel(odd)["step"] == "aborted"
