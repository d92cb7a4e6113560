"""What holds for every command: JSON for machines, a place in the manual, help that teaches, completion."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from service import cli
from service.exit_codes import ExitCode

MANUAL = (Path(cli.__file__).parents[1] / "docs" / "cli.md").read_text()
WITHOUT_JSON = {"serve", "shard", "config schema"}  # two run until they are stopped, one prints JSON anyway
PLB = [sys.executable, "-c", "from service.cli import main; main()"]


def leaves(command=None, path=()):
    """Yield (path, command) of every command that does something."""
    command = command or typer.main.get_command(cli.app)
    below = getattr(command, "commands", None)
    if not below:
        yield path, command
        return
    for name, each in below.items():
        yield from leaves(each, (*path, name))


ALL = list(leaves())


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_has_json_and_help_and_a_place_in_the_manual(path, command):
    """A command that prints results has --json; each has a help sentence, helped options, and a row in docs/cli.md."""
    options = {name for parameter in command.params for name in parameter.opts}
    assert ("--json" in options) == (" ".join(path) not in WITHOUT_JSON)
    assert command.help
    assert command.help.strip().split("\n")[0].endswith((".", ":"))
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert parameter.help, parameter.name
    rows = [line for line in MANUAL.splitlines() if re.search(rf"plb {re.escape(path[0])}\b", line)]
    assert any(path[-1] in row for row in rows), path


def completed(words, shell="bash"):
    """Return what a shell would be offered."""
    environment = {
        **os.environ,
        "_PLB_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": " ".join(words),
    }
    done = subprocess.run(PLB, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done.stdout.split()


def test_the_shell_completes_commands_options_and_choices():
    """Commands, those below them, options, and the values of an option are offered."""
    assert {"config", "conformance"} <= set(completed(["plb", "con"]))
    assert set(completed(["plb", "config", ""])) == {"check", "show", "schema", "test-notify"}
    assert "--origin" in completed(["plb", "config", "show", "--o"])
    assert completed(["plb", "forecast", "--horizon", "m"]) == ["medium"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell(shell):
    """`--show-completion` prints a script that calls plb back."""
    environment = {**os.environ, "_PLB_COMPLETE": f"source_{shell}"}
    done = subprocess.run(PLB, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "_PLB_COMPLETE=complete_" in done.stdout


def test_doctor_as_json(tmp_path, capsys):
    """The checks as JSON, with the exit code of the same checks in words."""
    path = tmp_path / "plb.toml"
    path.write_text(f'state_dir = "{tmp_path}/state"\n[http]\nport = 0\n[queue]\nlisten = "127.0.0.1:0"\n')
    assert cli.run(["doctor", "--quick", "--json", "--config", str(path)]) in (ExitCode.OK, ExitCode.CHECKS_FAILED)
    found = json.loads(capsys.readouterr().out)
    checks = {each["name"]: each for each in found["checks"]}
    assert checks["settings"] == {"name": "settings", "ok": True, "detail": str(path)}
    assert found["ok"] == all(each["ok"] for each in found["checks"])
    path.write_text("[balancer]\nheadrom = 1\n")
    assert cli.run(["doctor", "--quick", "--json", "--config", str(path)]) == ExitCode.CHECKS_FAILED
    broken = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}["settings"]
    assert "headrom" in broken["detail"]
