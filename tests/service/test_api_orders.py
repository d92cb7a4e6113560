"""Standing orders and saved plans over HTTP and on the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_cli import running

from plb_ray.errors import ControlUnavailableError, NoPlanError
from service import cli
from service.cli_balancer import ModeName
from service.cli_saved_plans import StateName
from service.exit_codes import ExitCode
from tests.service.fake_balancer import NAMES, FakeBalancer

ODD = "a//b"


async def test_every_order_is_given_and_taken_back(http):
    """Each order is in the answer and in the next look, names with slashes too; a repeat changes nothing."""
    given = [
        ("pins/a%2F%2Fb", None, "pinned", [ODD]),
        ("pins/tenant/7/orders", None, "pinned", [ODD, "tenant/7/orders"]),
        ("forbidden/a%2F%2Fb", {"shards": ["shard-2", "shard-1"]}, "forbidden", {ODD: ["shard-1", "shard-2"]}),
        ("spread-groups/g", {"order_params": ["JFK-LAX", ODD]}, "spread_groups", {"g": ["JFK-LAX", ODD]}),
        ("drains/shard-4", None, "draining", ["shard-4"]),
        ("fills/shard-1", None, "filling", ["shard-1"]),
    ]
    for path, body, field, expected in given:
        for _ in range(2):
            answer = await http.put(f"/v1/balancer/{path}", json=body)
            assert (answer.status_code, answer.json()[field]) == (200, expected), path
    assert (await http.get("/v1/balancer")).json() == answer.json()
    assert answer.json()["changed_by"] == "anonymous"
    for path, _, _, _ in reversed(given):
        for _ in range(2):
            assert (await http.delete(f"/v1/balancer/{path}")).status_code == 200
    left = (await http.get("/v1/balancer")).json()
    assert [left[field] for field in ("pinned", "forbidden", "spread_groups", "draining", "filling")] == [[], {}, {}, [], []]


async def test_mode_pause_and_approval(http):
    """What is named changes, what is left out stays; null takes an ordered mode back."""
    assert (await http.patch("/v1/balancer", json={"mode": "relief", "paused": True})).json()["effective_mode"] == "relief"
    left = (await http.patch("/v1/balancer", json={"approval": True})).json()
    assert (left["mode"], left["paused"], left["approval"]) == ("relief", True, True)
    left = (await http.patch("/v1/balancer", json={"mode": None})).json()
    assert (left["mode"], left["effective_mode"], left["paused"]) == ("auto", "forecast_only", True)
    assert "the backtest has not passed yet" in left["why"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("PUT", "pins/nobody", None, 404, "UNKNOWN_ORDER_PARAM"),
        ("PUT", "forbidden/JFK-LAX", {"shards": ["shard-9"]}, 404, "UNKNOWN_SHARD"),
        ("PUT", "forbidden/JFK-LAX", {"shards": ["shard-1", "shard-2", "shard-3", "shard-4"]}, 400, "BAD_INPUT"),
        ("PUT", "forbidden/JFK-LAX", {"shards": []}, 422, "INVALID_REQUEST"),
        ("PUT", "spread-groups/g", {"order_params": list(NAMES[:5])}, 400, "BAD_INPUT"),
        ("PUT", "drains/shard-9", None, 404, "UNKNOWN_SHARD"),
        ("PUT", "fills/shard-9", None, 404, "UNKNOWN_SHARD"),
        ("PATCH", "", {"mode": "brave"}, 422, "INVALID_REQUEST"),
        ("PATCH", "", {"pause": True}, 422, "INVALID_REQUEST"),
    ],
)
async def test_orders_that_cannot_be_meant(http, method, path, body, status, reason):
    """Unknown names, contradictions and misspellings are problems with their reason; the orders stay as they were."""
    before = (await http.get("/v1/balancer")).json()
    answer = await http.request(method, f"/v1/balancer/{path}".rstrip("/"), json=body)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert (await http.get("/v1/balancer")).json() == before


async def test_the_life_of_a_plan_over_http(http):
    """Saved, looked at, approved, run; again it changes nothing, and cancelling it then is a conflict."""
    answer = await http.post("/v1/plans", json={"note": "tonight", "expires_s": 60})
    saved = answer.json()
    assert answer.headers["location"] == f"/v1/plans/{saved['plan_id']}"
    assert (saved["state"], saved["note"], saved["plan_status"]) == ("saved", "tonight", "feasible")
    shard = saved["loads"]["shards"][0]
    cpu, memory, _ = shard["resources"]
    assert (shard["shard_id"], cpu["resource"], cpu["headroom"], cpu["capacity"]) == ("shard-3", "cpu_cores", 0.9, 1.0)
    assert (cpu["now"], cpu["before"], cpu["after"], cpu["utilisation_after"]) == (0.88, 1.12, 0.79, 0.79)
    assert (memory["capacity"], memory["before"], memory["utilisation_before"]) == (None, 4e6, None)
    (listed,) = (await http.get("/v1/plans")).json()["items"]
    assert {**listed, "loads": saved["loads"]} == saved
    path = f"/v1/plans/{saved['plan_id']}"
    assert (await http.get(path)).json() == saved
    assert (await http.post(f"{path}/approve")).json()["state"] == "approved"
    assert (await http.get("/v1/plans?state=approved&state=saved")).json()["items"][0]["plan_id"] == saved["plan_id"]
    run = (await http.post(f"{path}/execute")).json()
    assert (run["state"], [event["state"] for event in run["history"]]) == ("executing", ["saved", "approved", "executing"])
    assert (await http.post(f"{path}/execute")).json() == run
    assert (await http.post(f"{path}/cancel")).json()["state"] == "cancelled"
    conflict = await http.post(f"{path}/approve")
    assert (conflict.status_code, conflict.json()["reason"]) == (409, "PLAN_CONFLICT")
    assert (await http.get("/v1/plans?state=saved")).json()["items"] == []


async def test_plans_of_ticks_tell_their_loads(http, balancer):
    """The latest plan, a dry run and a decision have the same loads; a decision of an earlier release has none."""
    latest = (await http.get("/v1/plans/latest")).json()["loads"]
    assert latest == (await http.post("/v1/plans:dry-run")).json()["loads"]
    assert [shard["shard_id"] for shard in latest["shards"]] == ["shard-3", "shard-4", "shard-2", "shard-1"]
    assert (await http.get("/v1/decisions/85")).json()["loads"] == latest
    assert (await http.get("/v1/decisions/82")).json()["loads"] is None
    balancer.decision = replace(balancer.decision, loads=None)
    assert (await http.get("/v1/plans/latest")).json()["loads"] is None


async def test_plans_that_cannot_be(http, balancer):
    """An unknown plan, an unknown state, no plan to save, and a loop that does not answer are problems with their reason."""
    assert (await http.get("/v1/plans/plan-99")).json()["reason"] == "UNKNOWN_PLAN"
    assert (await http.post("/v1/plans/plan-99/approve")).status_code == 404
    assert (await http.get("/v1/plans?state=brave")).status_code == 422
    assert (await http.post("/v1/plans", json={"expires_s": 0})).status_code == 422
    balancer.failing["save_plan"] = NoPlanError("nothing needs to move")
    assert (await http.post("/v1/plans", json={})).json()["reason"] == "NO_PLAN"
    balancer.failing["plans"] = balancer.failing["orders"] = ControlUnavailableError("restarting")
    assert (await http.get("/v1/plans")).status_code == (await http.get("/v1/balancer")).status_code == 503


# ---- the command line


@pytest.fixture
def url(balancer):
    with running(balancer) as at:
        yield at


def said(capsys, *words, code=ExitCode.OK):
    assert cli.run([*words]) == code
    return capsys.readouterr()


def test_orders_on_the_command_line(url, capsys):
    """Every command answers with the orders as they stand then; --json with what the API answered."""
    at = ("--url", url)
    assert "mode forecast only (auto, as set by balancer.mode" in said(capsys, "balancer", *at).out
    assert "mode relief (ordered by anonymous)" in said(capsys, "balancer", "mode", "relief", *at).out
    assert "mode forecast only" in said(capsys, "balancer", "mode", "--configured", *at).out
    assert "paused" in said(capsys, "balancer", "pause", *at).out
    assert "paused" not in said(capsys, "balancer", "resume", *at).out
    assert "approval" in said(capsys, "balancer", "approval", "on", *at).out
    assert "pinned: JFK-LAX, a//b" in said(capsys, "balancer", "pin", "JFK-LAX", ODD, *at).out
    assert "pinned: JFK-LAX" in said(capsys, "balancer", "unpin", ODD, *at).out
    assert "a//b may not be on shard-1" in said(capsys, "balancer", "forbid", ODD, "--shard", "shard-1", *at).out
    assert "group g" in said(capsys, "balancer", "spread", "g", "JFK-LAX", ODD, *at).out
    assert "draining: shard-4" in said(capsys, "balancer", "drain", "shard-4", *at).out
    assert "filling: shard-1" in said(capsys, "balancer", "fill", "shard-1", *at).out
    shown = json.loads(said(capsys, "balancer", "show", "--json", *at).out)
    assert (shown["pinned"], shown["draining"], shown["approval"]) == (["JFK-LAX"], ["shard-4"], True)
    for words in (["allow", ODD], ["unspread", "g"], ["undrain", "shard-4"], ["unfill", "shard-1"], ["unpin", "JFK-LAX"]):
        last = said(capsys, "balancer", *words, "--json", *at)
    left = json.loads(last.out)
    assert [left[each] for each in ("pinned", "forbidden", "spread_groups", "draining", "filling")] == [[], {}, {}, [], []]


def test_orders_that_are_refused_on_the_command_line(url, capsys):
    """An unknown order param or shard leaves with 6, a contradiction and wrong usage with 2, each with one sentence."""
    at = ("--url", url)
    assert "'nobody'" in said(capsys, "balancer", "pin", "nobody", *at, code=ExitCode.UNKNOWN_NAME).err
    assert "'shard-9'" in said(capsys, "balancer", "drain", "shard-9", *at, code=ExitCode.UNKNOWN_NAME).err
    said(capsys, "balancer", "drain", "shard-1", *at)
    assert "drained and filled" in said(capsys, "balancer", "fill", "shard-1", *at, code=ExitCode.USAGE).err
    assert "name one mode" in said(capsys, "balancer", "mode", *at, code=ExitCode.USAGE).err
    assert "name one mode" in said(capsys, "balancer", "mode", "relief", "--configured", *at, code=ExitCode.USAGE).err


def test_plans_on_the_command_line(url, balancer, capsys):
    """Save, list, show, approve and run; a plan that does not hold any more leaves with 5 and says why."""
    at = ("--url", url)
    assert said(capsys, "plan", "list", *at).out == "no plans\n"
    assert "plan-1  saved  tonight" in said(capsys, "plan", "save", "--note", "tonight", *at).out
    shown = said(capsys, "plan", "show", "plan-1", *at).out
    assert "p90 at 14:10" in shown
    changed = next(line for line in shown.splitlines() if line.startswith("shard-3") and " CPU " in line)
    assert [word for word in changed.split() if word.endswith("%")] == ["112%", "79%", "90%"]
    assert "approved by anonymous" in said(capsys, "approve", "plan-1", *at).out
    assert "plan-1" in said(capsys, "plan", "list", "--state", "approved", *at).out
    assert "executing" in said(capsys, "plan", "run", "plan-1", *at).out
    assert "cancelled" in said(capsys, "plan", "cancel", "plan-1", *at).out
    assert "cannot be approved" in said(capsys, "plan", "approve", "plan-1", *at, code=ExitCode.REFUSED).err
    assert "plan-9" in said(capsys, "plan", "show", "plan-9", *at, code=ExitCode.UNKNOWN_NAME).err
    balancer.placements = FakeBalancer().placements
    said(capsys, "plan", "save", *at)
    moved = balancer.placements.placements["JFK-ATL"]
    balancer.placements.placements["JFK-ATL"] = type(moved)("JFK-ATL", ("shard-2",), 9)
    refused = said(capsys, "plan", "run", "plan-2", *at, code=ExitCode.REFUSED)
    assert "JFK-ATL is on shard-2" in refused.err


def test_the_lists_of_words_are_one():
    """The command line offers the modes and states that the loop knows."""
    from plb_ray.control.saved_plans import PlanState  # noqa: PLC0415  beside the list that it is compared with
    from plb_ray.control.views import Mode  # noqa: PLC0415  the same

    assert [each.value for each in ModeName] == [each.value for each in Mode]
    assert [each.value for each in StateName] == [each.value for each in PlanState]
