from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_balancer import FakeBalancer

from plb_ray import errors
from service import cli
from service.api.app import create_app
from service.cli_render import bar, spark
from service.client import ServiceAnsweredError, ServiceClient
from service.exit_codes import MEANINGS, ExitCode, exit_code_of
from service.local_http import serving

PLB = [sys.executable, "-W", "error", "-c", "from service.cli import main; main()"]
HEAVY = ("ray", "torch", "neuralforecast", "ortools", "fastapi", "httpx", "numpy", "grpc")


@contextmanager
def running(balancer):
    """Serve a balancer from a thread of its own, since commands block; yields its URL."""
    loop, url, stop = asyncio.new_event_loop(), [], asyncio.Event()
    up = threading.Event()

    async def serve():
        async with serving(create_app(balancer)) as at:
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
def url(balancer):
    with running(balancer) as at:
        yield at


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _said(capsys):
    """Return what the command said on standard error; a traceback there is never right."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def test_help_teaches_and_loads_nothing_heavy():
    """`plb --help` names each command and exit code, and imports no heavy library."""
    code = f"import sys; from service.cli import run; run(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown.rstrip().endswith("[]")
    for word in ("serve", "demo", "doctor", "status", "migrate", "forecast", "migrations", "shard", "Exit codes"):
        assert word in shown
    assert all(meaning.split(";")[0] in " ".join(shown.split()) for meaning in MEANINGS.values())


def test_version(capsys):
    """--version says the version and nothing else."""
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("plb-ray 0.")


def test_status_for_people(url, capsys):
    """The table names each shard with its load, and when it congests."""
    assert cli.run(["status", "--url", url]) == 0
    out = capsys.readouterr().out
    assert "shard-1" in out
    assert "2013-11-27 14:00" in out
    assert "█" in out


def test_status_for_machines(url, capsys):
    """--json prints what the API answered."""
    assert cli.run(["status", "--url", url, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["shards"]) == 4


def test_forecast_of_an_odd_name(url, capsys):
    """An order param with slashes can be named on the command line as it is."""
    assert cli.run(["forecast", "a//b", "--url", url, "--horizon", "medium", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["order_param"], len(found["steps"])) == ("a//b", 24)


def test_forecast_for_people(url, capsys):
    """The forecast shows a column per quantile and a line of history."""
    assert cli.run(["forecast", "JFK-LAX", "--url", url]) == 0
    out = capsys.readouterr().out
    assert "p90" in out
    assert "▂" in out or "▁" in out


def test_migrations_list(url, capsys):
    """The list shows steps and pauses; --active leaves only what runs."""
    assert cli.run(["migrations", "--url", url]) == 0
    assert "aborted" in capsys.readouterr().out
    assert cli.run(["migrations", "--url", url, "--active", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 1


def test_migrate_without_waiting(url, balancer, capsys):
    """A migration is started with the given shards, reason and id."""
    owner = balancer.placements.placements["LGA-ATL"].owner
    arguments = ["migrate", "LGA-ATL", "--from", owner, "--to", "shard-2", "--id", "mine", "--no-wait", "--url", url]
    assert cli.run(arguments) == 0
    request = balancer.requests[0]
    assert (request.request_id, request.source, request.destination) == ("mine", owner, "shard-2")


def test_migrate_that_takes_too_long(url, capsys):
    """When the time is up the command says that the migration goes on, and leaves with its own code."""
    assert cli.run(["migrate", "LGA-ATL", "--to", "shard-2", "--timeout", "0.2", "--url", url]) == ExitCode.NOT_READY
    assert "goes on by itself" in _said(capsys)


def test_migrate_that_is_rolled_back(url, capsys):
    """A migration that was undone is a refusal, with the reason."""
    assert cli.run(["migrate", "a//b", "--to", "shard-4", "--id", "80-a//b", "--url", url]) == ExitCode.REFUSED
    assert "the destination does not answer" in _said(capsys)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["forecast", "nobody"], ExitCode.UNKNOWN_NAME, "unknown order param 'nobody'"),
        (["migrate", "LGA-ATL", "--to", "shard-99"], ExitCode.UNKNOWN_NAME, "unknown shard 'shard-99'"),
        (["migrate", "JFK-ATL", "--to", "shard-2"], ExitCode.REFUSED, "is being migrated already"),
        (["migrate", "LGA-ATL", "--to", "s", "--id", "a b"], ExitCode.USAGE, "request_id"),
    ],
)
def test_refusals_of_the_service(url, capsys, arguments, code, sentence):
    """What the service refuses is said in its own sentence, with the exit code of its kind."""
    assert cli.run([*arguments, "--url", url]) == code
    assert sentence in _said(capsys)


def test_control_loop_away(capsys):
    """A restarting control loop is "not ready", which is worth a retry."""
    failing = FakeBalancer(failing={"status": errors.ControlUnavailableError("the control loop is restarting")})
    with running(failing) as at:
        assert cli.run(["status", "--url", at]) == ExitCode.NOT_READY
    assert "restarting" in _said(capsys)


def test_nobody_there(capsys, closed_port):
    """A service that is not there is said in one sentence that says what to do."""
    assert cli.run(["status", "--url", f"http://127.0.0.1:{closed_port}"]) == ExitCode.UNREACHABLE
    said = _said(capsys)
    assert said.startswith("plb: no plb-ray service answers at http://127.0.0.1:")
    assert "plb serve" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("path", ["/dashboard/nothing", "/v1/nothing"])
def test_another_service_there(url, capsys, path):
    """Something else at the URL is not taken for plb-ray."""
    assert cli.run(["status", "--url", url + path]) in {ExitCode.UNREACHABLE, ExitCode.UNEXPECTED}
    assert _said(capsys)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["status", "--url", "nonsense"], "is not a URL"),
        (["serve", "--config", "no/such/plb.toml"], "no such file"),
        (["demo", "--arms", "static,wrong"], "unknown arm 'wrong'"),
        (["demo", "--arms", ""], "names no arm"),
        (["demo", "--start", "yesterday"], "ISO 8601"),
        (["demo", "--shards", "1"], "--shards must be 2 or more"),
        (["demo", "--utilisation", "1.5"], "--utilisation"),
        (["demo", "--port", "70000"], "--port"),
        (["demo", "--rate", "-1"], "--rate"),
        (["demo", "--bins", "x"], "--bins"),
        (["migrate", "a"], "--to"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_usage(capsys, arguments, sentence):
    """Wrong usage and malformed input are named, leave with 2, and start nothing."""
    assert cli.run(arguments) == ExitCode.USAGE
    assert sentence in _said(capsys)


def test_broken_config(tmp_path, capsys):
    """A configuration with an unknown key names the file and the key."""
    path = tmp_path / "plb.toml"
    path.write_text("[balancer]\nheadrom = 0.9\n")
    assert cli.run(["serve", "--config", str(path)]) == ExitCode.USAGE
    said = _said(capsys)
    assert str(path) in said
    assert "headrom" in said


def _break(_path):
    raise RuntimeError("a bug")


def test_unexpected_failure(monkeypatch, capsys):
    """A bug is one sentence and exit code 1; PLB_DEBUG=1 adds where it is."""
    monkeypatch.setattr("plb_ray.settings.load_settings", _break)
    monkeypatch.delenv("PLB_DEBUG", raising=False)
    assert cli.run(["serve"]) == ExitCode.UNEXPECTED
    assert "unexpected failure: RuntimeError: a bug" in _said(capsys)
    monkeypatch.setenv("PLB_DEBUG", "1")
    assert cli.run(["serve"]) == ExitCode.UNEXPECTED
    assert "Traceback" in capsys.readouterr().err


def test_the_process_leaves_with_the_code(closed_port):
    """The console script itself gives the code to the shell and keeps standard output clean."""
    command = [*PLB, "status", "--url", f"http://127.0.0.1:{closed_port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (ExitCode.UNREACHABLE, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadInputError("x"), ExitCode.USAGE),
        (errors.PortInUseError("127.0.0.1:1", "x"), ExitCode.PORT_IN_USE),
        (errors.ShardUnavailableError("s", "e"), ExitCode.UNREACHABLE),
        (errors.PausedError("a"), ExitCode.NOT_READY),
        (errors.MovedError("a", "s", "e", 1), ExitCode.REFUSED),
        (errors.RolledBackError("m", "paused", "why"), ExitCode.REFUSED),
        (errors.UnknownMigrationError("m"), ExitCode.UNKNOWN_NAME),
        (errors.OutcomeUnknownError("x"), ExitCode.NOT_READY),
        (ServiceAnsweredError("TOO_MANY_MIGRATIONS", "x"), ExitCode.NOT_READY),
        (ServiceAnsweredError("STALE_EPOCH", "x"), ExitCode.REFUSED),
        (ServiceAnsweredError("UNEXPECTED", "x"), ExitCode.UNEXPECTED),
    ],
)
def test_exit_codes(error, code):
    """An error has the same exit code whether it was raised here or answered by the service."""
    assert exit_code_of(error) == code
    assert set(MEANINGS) == set(ExitCode)


def test_the_manual_holds_every_exit_code_and_command():
    """docs/cli.md shows the same exit codes as --help, and names every command."""
    manual = (Path(cli.__file__).parents[1] / "docs" / "cli.md").read_text()
    for code, meaning in MEANINGS.items():
        assert f"| {code:d} | {meaning} |" in manual
    for command in cli.app.registered_commands:
        assert f"`plb {command.callback.__name__}" in manual


def test_bars_and_sparks():
    """Bars fill with the share and warn above headroom and capacity; sparks scale to the highest value."""
    assert bar(0.5, 0.9).plain == "█████░░░░░  50%"
    assert [bar(share, 0.9).spans[0].style for share in (0.5, 0.95, 1.2)] == ["green", "yellow", "red"]
    assert bar(1.31, 0.9).plain == "██████████ 131%"
    assert spark([0, 1, 2]) == "▁▅█"
    assert spark([]) == ""


def test_local_calls_ignore_proxies(url, monkeypatch):
    """A proxy in the environment does not stand between the command line and a service on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with ServiceClient(url) as client:
        assert client.status()["ready"]
