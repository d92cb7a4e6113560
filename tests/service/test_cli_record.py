"""`plb decisions`, `plb audit`, `plb cost` against a real service over HTTP."""

from __future__ import annotations

import asyncio
import json

import pytest
from fake_balancer import NAMES
from fake_record import ENTRIES, effect
from test_cli import running

from plb_ray.domain.effects import EffectState
from plb_ray.errors import ControlUnavailableError
from service import cli
from service.exit_codes import ExitCode


@pytest.fixture
def url(balancer):
    asyncio.run(balancer.log.append(ENTRIES))
    rolled_back = effect(85, "tenant/7/orders", EffectState.ROLLED_BACK)
    asyncio.run(balancer.kept_effects.put([effect(83, "JFK-ATL"), rolled_back]))
    with running(balancer) as at:
        yield at


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_decisions_say_what_became_of_their_moves(url, capsys):
    """A row a decision, newest first: what was planned, what was sent, and which codes the others met."""
    assert cli.run(["decisions", "--url", url]) == 0
    shown = lines(capsys)
    assert [line.split()[0] for line in shown[1:]] == ["85", "84", "83", "82"]
    assert "1 admitted, 1 deferred" in shown[3]
    assert "nothing to do" in shown[2]
    assert cli.run(["decisions", "--url", url, "--admission", "deferred", "--since", "2013-11-27"]) == 0
    assert len(lines(capsys)) == 2


def test_a_decision_is_told_whole(url, capsys):
    """Shards with their peaks, orders, memory, each move with reason, code and words, promised and kept."""
    assert cli.run(["decisions", "--url", url, "show", "83"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "decision 83, 2013-11-27 13:40 UTC, mode predictive, on the forecast",
        "note: the CPU per message on shard-2",
        "41 order params, p90 of 3 steps until 2013-11-27 14:10; headroom 90%",
        "orders: pinned JFK-SEA",
        "of what is promised 84% is counted, a move costs 0.0151 s",
        "on their way: tenant/7/orders -> shard-1",
        "and 2 more that are less full",
        "why: p90 at 14:10 would put shard-3 at 112 % of CPU",
        "admitted: sent",
        "deferred: not sent yet: its congestion is far off",
        "; to be sent at 2013-11-27 15:00",
        "83-JFK-ATL",
    ):
        assert part in shown
    assert cli.run(["decisions", "show", "82", "--url", url]) == 0
    assert "earlier release" in capsys.readouterr().out


def test_json_is_the_apis(url, capsys):
    """--json prints what the API answers, before or after the subcommand."""
    for arguments in (
        ["decisions", "--json", "--url", url, "show", "83"],
        ["decisions", "show", "83", "--json", "--url", url],
    ):
        assert cli.run(arguments) == 0
        assert json.loads(capsys.readouterr().out)["effects"][0]["realised"]["taken_s"] == 150.0


def test_effects_are_a_table_of_promised_and_kept(url, capsys):
    """What came beside what was promised of the same steps; one that was rolled back says so."""
    assert cli.run(["decisions", "--url", url, "effects"]) == 0
    shown = lines(capsys)
    assert "rolled back" in shown[1]
    assert "(192.0 s)" in shown[1]
    assert shown[2].split()[4:10] == ["settled", "192.0", "s", "150.0", "s", "97%"]
    assert "107% → 76%" in shown[2]
    assert cli.run(["decisions", "--url", url, "effects", "JFK-ATL", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 1


def test_the_audit_log_is_shown_and_exported(url, capsys, tmp_path):
    """Newest first on the screen; oldest first, a JSON object a line, in a file or on the screen."""
    assert cli.run(["audit", "--url", url]) == 0
    shown = lines(capsys)
    assert "ada (operator)" in shown[1]
    assert "migration.sent" in shown[2]
    target = tmp_path / "audit.ndjson"
    assert cli.run(["audit", "--url", url, "--who", "balancer", "--export", str(target)]) == 0
    kept = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [each["action"] for each in kept] == ["decision.made", "migration.sent"]
    assert list(tmp_path.iterdir()) == [target]
    capsys.readouterr()
    assert cli.run(["audit", "--url", url, "--export", "-"]) == 0
    assert [json.loads(line)["number"] for line in lines(capsys)] == [1, 2, 3]


def test_an_export_that_fails_leaves_the_old_file(url, balancer, capsys, tmp_path):
    """The service's sentence, its exit code, and nothing half written."""
    target = tmp_path / "audit.ndjson"
    target.write_text("old")
    balancer.failing["audit_log"] = ControlUnavailableError("the control loop is away")
    assert cli.run(["audit", "--url", url, "--export", str(target)]) != 0
    assert "the control loop is away" in capsys.readouterr().err
    assert (target.read_text(), list(tmp_path.iterdir())) == ("old", [target])
    balancer.failing.clear()
    assert cli.run(["audit", "--url", url, "--export", str(tmp_path / "none" / "x")]) == ExitCode.USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_costs_are_shown_with_their_bands(url, capsys):
    """One by name, or a page of all with how many there are."""
    assert cli.run(["cost", "JFK-LAX", "--url", url]) == 0
    assert "14 ms" in (shown := lines(capsys))[1]
    assert "12.6 ms to 15.4 ms" in shown[1]
    assert cli.run(["cost", "--url", url, "--limit", "3"]) == 0
    assert lines(capsys)[-1] == f"3 of {len(NAMES)}"
    assert cli.run(["cost", "nobody", "--url", url]) != 0


@pytest.mark.parametrize("when", ["soon", "0h"])
def test_times_that_are_none_are_refused(url, capsys, when):
    """--since takes a span or a moment; anything else is said with what would do."""
    assert cli.run(["audit", "--url", url, "--since", when]) == ExitCode.USAGE
    assert when in capsys.readouterr().err
