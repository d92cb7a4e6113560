from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys

import pytest
import typer

from models.registry import ModelRegistry
from plb_ray.clock import wall_time_s
from service import cli, cli_models
from service.api.app import create_app
from service.exit_codes import ExitCode
from service.local_http import serving
from tests.registry.builders import entry, filled, folder_at, write_model
from tests.service.fake_balancer import FakeBalancer


@pytest.fixture
def plb(tmp_path, capsys, monkeypatch):
    """Run `plb models ...` on a state folder; return exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "300")
    app = typer.Typer()
    app.command("other")(lambda: None)
    cli_models.register(app)

    monkeypatch.setattr(cli, "app", app)

    def run(*arguments):
        code = cli.run(["models", *arguments, "--state", str(tmp_path)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    """Two versions of group-0, the second serves."""
    return filled(tmp_path / "networks" / "group-0" / "short", 2)


def answering(monkeypatch, text: str) -> None:
    """Let a person sit at the terminal and type this."""
    terminal = io.StringIO(text)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)


def test_the_list_shows_who_serves_and_how_good_it_is(plb, folder):
    """A row per version with its times, its loss beside the baseline's, and its coverage."""
    code, out, _ = plb("list")
    assert code == 0
    newest, oldest = out.splitlines()[1:3]
    assert newest.split()[:4] == ["group-0", "short", "v0002", "champion"]
    assert oldest.split()[:3] == ["group-0", "short", "v0001"]
    assert "champion" not in oldest
    assert "2025-11-24 16:00" in newest
    assert newest.split()[-5:] == ["0.2000", "0.3000", "79.0%", "94.0%", "0.1.0"]


def test_json_has_the_whole_entry(plb, folder):
    """--json of list and show is JSON with data span, metrics, seed and key."""
    items = json.loads(plb("list", "--json")[1])["items"]
    assert [(item["version"], item["champion"]) for item in items] == [("v0002", True), ("v0001", False)]
    assert items[0]["data"] == {
        "start": "1970-01-01T00:00:00Z",
        "learnt_until": "1970-01-01T00:01:30Z",
        "end": "1970-01-01T00:01:40Z",
        "step_s": 10,
        "order_params": 3,
        "digest": "abc",
    }
    assert items[0]["metrics"] == entry().metrics
    shown = json.loads(plb("show", "group-0", "short", "--json")[1])
    assert (shown["champion"], shown["former_champions"], shown["versions"]) == ("v0002", ["v0001"], items)
    assert [event["what"] for event in shown["events"]] == ["added", "promoted", "added", "promoted"]


def test_show_tells_what_happened(plb, folder):
    """The audit in words, with reason and who; brackets are no markup."""
    folder.demote("too [high]", "ann")
    code, out, _ = plb("show", "group-0", "short")
    assert code == 0
    assert out.splitlines()[-1].split() == ["2025-11-24", "16:00", "demoted", "v0002", "ann", "too", "[high]"]


def test_rollback_and_demotion_change_who_serves(plb, folder):
    """Both say what they did, are in the audit with the reason, and a repeat says that it is so already."""
    code, out, _ = plb("rollback", "group-0", "short", "--yes", "--reason", "too high")
    assert (code, out.strip()) == (0, "group-0 short: v0001 serves in place of v0002, from the next forecast on")
    assert (folder.champion(), folder.events()[-1].reason) == ("v0001", "too high")
    assert "serves already" in plb("rollback", "group-0", "short", "--to", "v0001", "--yes")[1]
    found = json.loads(plb("demote", "group-0", "short", "--reason", "bad", "--yes", "--json")[1])
    assert found == {"group": "group-0", "horizon": "short", "before": "v0001", "champion": None}
    assert folder.champion() is None
    assert "the baseline serves already" in plb("demote", "group-0", "short", "--reason", "bad", "--yes")[1]


@pytest.mark.parametrize(
    ("answer", "code", "champion"),
    [("y\n", 0, "v0001"), ("n\n", ExitCode.REFUSED, "v0002"), ("\n", ExitCode.REFUSED, "v0002")],
)
def test_a_person_is_asked_first(plb, folder, monkeypatch, answer, code, champion):
    """Only a yes goes on; anything else leaves with 5 and changes nothing. The question is not on standard output."""
    answering(monkeypatch, answer)
    found, out, err = plb("rollback", "group-0", "short", "--json")
    assert (found, folder.champion()) == (code, champion)
    assert "let v0001 serve in place of v0002?" in err
    assert (json.loads(out)["champion"] == "v0001") if code == 0 else (out.strip() == "")


def test_where_nobody_can_answer_yes_must_be_given(plb, folder, monkeypatch):
    """In a script without --yes nothing hangs and nothing changes."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, _, err = plb("demote", "group-0", "short", "--reason", "bad")
    assert (code, "--yes" in err, folder.champion()) == (ExitCode.USAGE, True, "v0002")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "group-7", "short"), "plb models list"),
        (("show", "..", "short"), "plb models list"),
        (("rollback", "group-0", "medium", "--yes"), "plb models list"),
        (("rollback", "group-0", "short", "--to", "v0009", "--yes"), "there are: v0001, v0002"),
    ],
)
def test_what_is_not_there_is_said(plb, folder, arguments, says):
    """An unknown group, horizon or version leaves with 6 and names what there is or where to look."""
    code, _, err = plb(*arguments)
    assert (code, says in err) == (ExitCode.UNKNOWN_NAME, True)


def test_without_an_earlier_champion_there_is_no_rollback(plb, tmp_path):
    """It says how to name a version."""
    filled(tmp_path / "networks" / "hot-0" / "medium", 1)
    code, _, err = plb("rollback", "hot-0", "medium", "--yes")
    assert (code, "--to" in err) == (ExitCode.UNKNOWN_NAME, True)


def test_damage_is_shown_and_hides_nothing_else(plb, folder):
    """A version that cannot be read has its error in its row; a damaged pointer is said on standard error."""
    (folder.folder / "v0001" / "entry.json").write_text("{")
    (folder.folder / "champion").write_text("{")
    code, out, err = plb("list")
    assert code == 0
    assert "0.2000" in out.splitlines()[1]
    assert "cannot be read" in out.splitlines()[2]
    assert "cannot be read" in err


def test_no_versions_are_no_error(plb, tmp_path):
    """An empty state folder is told in words, as JSON it is an empty list, and nothing is made."""
    code, out, _ = plb("list")
    assert (code, "no trained versions" in out) == (0, True)
    assert json.loads(plb("list", "--json")[1])["items"] == []
    assert list(tmp_path.iterdir()) == []


def test_versions_of_several_groups(plb, tmp_path):
    """Groups come in the order of their numbers."""
    for name in ("group-10", "group-2"):
        folder_at(tmp_path / "networks" / name / "short").add(write_model, entry())
    items = json.loads(plb("list", "--json")[1])["items"]
    assert [(item["group"], item["champion"]) for item in items] == [("group-2", False), ("group-10", False)]


def test_the_command_loads_no_network_library(tmp_path):
    """Listing versions imports neither torch nor scipy."""
    code = (
        "import sys, typer; from service import cli_models; app = typer.Typer(); cli_models.register(app); "
        "app.command('other')(lambda: None); app(args=['models', 'list', '--state', sys.argv[1]], standalone_mode=False); "
        "print([m for m in ('torch', 'neuralforecast', 'ray', 'scipy', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


@pytest.fixture
async def service(tmp_path):
    """The URL of a service over the registry of a state folder."""
    registry = ModelRegistry(tmp_path / "networks", wall_time_s)
    async with serving(create_app(FakeBalancer(), models=registry)) as url:
        yield url


async def test_a_running_service_gives_the_same_answers(folder, service, capsys):
    """With --url, list, rollback and demote do to a service's registry what --state does to a folder's."""

    async def plb(*arguments):
        code = await asyncio.to_thread(cli.run, ["models", *arguments, "--url", service, "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else err

    code, found = await plb("list")
    assert (code, [(item["version"], item["champion"]) for item in found["items"]]) == (
        0,
        [("v0002", True), ("v0001", False)],
    )
    assert (await plb("rollback", "group-0", "short", "--reason", "too high", "--yes"))[1]["champion"] == "v0001"
    assert folder.champion() == "v0001"
    assert (await plb("demote", "group-0", "short", "--reason", "moved away", "--yes"))[1]["champion"] is None
    assert folder.champion() is None
    code, found = await plb("show", "group-0", "short")
    assert (found["champion"], [event["what"] for event in found["events"]][-1]) == (None, folder.events()[-1].what)
    assert (await plb("rollback", "group-0", "short", "--to", "v0009", "--yes"))[0] == ExitCode.UNKNOWN_NAME
