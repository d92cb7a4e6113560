"""`plb config`: exit codes, what is shown, what is hidden; and a real local server that takes test notices."""

import json
import tomllib

import pytest
from webhook import webhook

from plb_ray.settings import load_settings, parse_settings
from service import cli
from service.exit_codes import ExitCode


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "plb.toml"
    path.write_text("[balancer]\nheadroom = 0.8\n\n[balancer.margin]\ncpu_idle = 3\n")
    return path


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in ("PLB_HTTP__PORT", "PLB_NOTIFY__WEBHOOK_URL", "PLB_NOTIFY__SLACK_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_sound_file(toml, capsys):
    """A file without faults leaves with 0."""
    assert cli.run(["config", "check", str(toml)]) == ExitCode.OK
    assert capsys.readouterr().out == "all is well\n"


def test_every_fault_is_listed(toml, capsys):
    """Two faults are two lines with their places; the exit code is that of a malformed file."""
    toml.write_text("[balancer]\nheadrom = 0.8\nstep_s = 1\n")
    assert cli.run(["config", "check", str(toml)]) == ExitCode.USAGE
    out = capsys.readouterr().out
    assert f"{toml}:2: balancer.headrom: unknown key; did you mean balancer.headroom?\n" in out
    assert f"{toml}:3: balancer.step_s: " in out
    assert cli.run(["config", "check", str(toml), "--json"]) == ExitCode.USAGE
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], len(found["faults"])) == (False, 2)


def test_what_is_shown_says_the_same(toml, capsys):
    """The output of `show` is a plb.toml that gives the same settings."""
    assert cli.run(["config", "show", str(toml)]) == ExitCode.OK
    assert parse_settings(tomllib.loads(capsys.readouterr().out), "shown") == load_settings(toml, {})


def test_origins(toml, capsys, monkeypatch):
    """`--origin` says line, variable or default."""
    monkeypatch.setenv("PLB_HTTP__PORT", "9000")
    assert cli.run(["config", "show", str(toml), "--origin", "--json"]) == ExitCode.OK
    items = {item["key"]: item for item in json.loads(capsys.readouterr().out)["items"]}
    assert items["balancer.margin.cpu_idle"] == {"key": "balancer.margin.cpu_idle", "value": 3.0, "origin": f"{toml}:5"}
    assert (items["http.port"]["value"], items["http.port"]["origin"]) == (9000, "environment variable PLB_HTTP__PORT")
    assert items["journal.keep_days"]["origin"] == "default"
    assert cli.run(["config", "show", str(toml), "--origin"]) == ExitCode.OK
    assert f"{toml}:5" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--json"], ["--origin"], ["--origin", "--json"]])
def test_secrets_are_hidden(capsys, monkeypatch, options):
    """No form of `show` prints a secret."""
    monkeypatch.setenv("PLB_NOTIFY__SLACK_URL", "https://hooks.example/T0P")
    assert cli.run(["config", "show", *options]) == ExitCode.OK
    assert "T0P" not in capsys.readouterr().out


def test_the_schema_is_json(capsys):
    """`schema` prints JSON and nothing else."""
    assert cli.run(["config", "schema"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["properties"]["balancer"]


def test_a_faulty_file_cannot_be_shown(toml, capsys):
    """What is not in force is not shown."""
    toml.write_text("[balancer]\nheadrom = 0.8\n")
    assert cli.run(["config", "show", str(toml)]) == ExitCode.USAGE
    assert "balancer.headrom" in capsys.readouterr().err


def test_trying_notices(capsys, monkeypatch):
    """Both targets get a test notice; one that refuses is said, with 8, and no URL is shown."""
    with webhook([200]) as hook, webhook([403]) as slack:
        monkeypatch.setenv("PLB_NOTIFY__WEBHOOK_URL", hook.url + "/s3cret")
        assert cli.run(["config", "test-notify"]) == ExitCode.OK
        assert capsys.readouterr().out == "webhook at 127.0.0.1: accepted\n"
        monkeypatch.setenv("PLB_NOTIFY__SLACK_URL", slack.url)
        assert cli.run(["config", "test-notify"]) == ExitCode.CHECKS_FAILED
        out = capsys.readouterr().out
    assert "slack at 127.0.0.1: it answered 403" in out
    assert "s3cret" not in out
    assert hook.bodies[0]["kind"] == "test"
    assert "this is a test" in slack.bodies[0]["text"]


def test_trying_without_a_target(capsys):
    """Where no URL is set the command says which variable to set."""
    assert cli.run(["config", "test-notify"]) == ExitCode.USAGE
    assert "PLB_NOTIFY__WEBHOOK_URL" in capsys.readouterr().err
