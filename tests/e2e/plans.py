"""What people do with plans, the mode and running migrations on the dashboard, and what the real service makes of it."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from plb_ray.clock import monotonic_s
from tests.e2e.browser import faults, opened, picture
from tests.e2e.world import BUSY, HELD, STEP_S

RUN, CANCELLED, APPROVED = BUSY[21], BUSY[22], BUSY[23]
ASKED_MS = 120_000
CARRIED_OUT_MS = 4 * STEP_S * 1000
PLAN_LINK = '[data-key^="plan "]'
pytestmark = pytest.mark.timeout(600)


def test_a_plan_is_saved_approved_and_run(browser, world):
    """The reviewer sees each shard before and after; approved and run, the move is made, and the log says by whom."""
    with opened(browser, world) as seen, _forbidden(seen, world, RUN, "forecast only") as source:
        page, plan_id = _saved(seen, "from the browser")
        expect(page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=source)).first).to_contain_text("%")
        _, kept = world.get(f"/v1/plans/{plan_id}")
        assert RUN in {move["order_param"] for move in kept["moves"]}
        assert {shard["shard_id"] for shard in kept["loads"]["shards"]} >= {source}
        assert faults(page) == []
        picture(page, "flow-plan-saved")
        _click_and_confirm(page, "Approve", "The highest load foreseen goes from")
        expect(page.get_by_role("region", name="What it does").get_by_role("status")).to_have_text("It is approved.")
        assert _owner(world, RUN)[0] == source
        _click_and_confirm(page, "Run it", "Run this plan with")
        expect(page.locator("dl").first).to_contain_text("executed", timeout=CARRIED_OUT_MS)
        picture(page, "flow-plan-executed")
        _arrived(world, kept["moves"])
        assert _acts(world, plan_id, "e2e-admin") == ["plan.save", "plan.approve", "plan.execute"]
        page = seen.go("#/audit")
        for action in ("plan.save", "plan.approve", "plan.execute", "migration.sent"):
            expect(page.get_by_role("region", name="Audit log").get_by_text(action, exact=True).first).to_be_visible()
        assert seen.complaints == []


def test_a_saved_plan_is_compared_and_cancelled(browser, world):
    """A plan made now is beside it; cancelled, it cannot be run any more, and nothing has moved."""
    with opened(browser, world) as seen, _forbidden(seen, world, CANCELLED, "forecast only") as source:
        page, plan_id = _saved(seen, "not wanted")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_text("Load after either plan").first).to_be_visible(timeout=ASKED_MS)
        _click_and_confirm(page, "Cancel the plan", "Cancel this plan?")
        expect(page.locator("dl").first).to_contain_text("cancelled")
        expect(page.get_by_role("button", name="Run it")).to_have_count(0)
        expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        assert world.get(f"/v1/plans/{plan_id}")[1]["state"] == "cancelled"
        assert _owner(world, CANCELLED)[0] == source
        assert _acts(world, plan_id, "e2e-admin") == ["plan.save", "plan.cancel"]
        assert seen.complaints == []


def test_a_plan_of_a_tick_waits_for_approval(browser, world):
    """While approval is ordered a tick's plan appears among those that wait, moves nothing, and is sent by approving it."""
    with opened(browser, world) as seen:
        page = seen.go("#/orders")
        page.get_by_role("button", name="Ask me to approve plans").click()
        expect(page.get_by_role("button", name="Let plans go without approval")).to_be_visible()
        with _forbidden(seen, world, APPROVED, "predictive") as source:
            page = seen.go("#/plans")
            page.get_by_label("State", exact=True).select_option("awaiting")
            page.locator(PLAN_LINK).first.click(timeout=CARRIED_OUT_MS)
            seen.settled()
            plan_id = page.url.rpartition("/")[2]
            _, kept = world.get(f"/v1/plans/{plan_id}")
            assert (kept["made_by"], kept["loads"] is None) == ("balancer", False)
            assert _owner(world, APPROVED)[0] == source
            picture(page, "flow-plan-awaiting")
            _click_and_confirm(page, "Approve", "The highest load foreseen goes from")
            expect(page.locator("dl").first).to_contain_text("executed", timeout=CARRIED_OUT_MS)
            _arrived(world, kept["moves"])
            assert _acts(world, plan_id, "e2e-admin") == ["plan.approve"]
        page = seen.go("#/orders")
        page.get_by_role("button", name="Let plans go without approval").click()
        expect(page.get_by_role("button", name="Ask me to approve plans")).to_be_visible()
        assert seen.complaints == []


def test_the_balancer_is_paused_and_resumed(browser, world):
    """Paused it says so on every page, and a tick plans nothing; resumed it goes on."""
    with opened(browser, world) as seen:
        page = seen.go("#/orders")
        page.get_by_role("button", name="Pause the balancer").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        assert world.get("/v1/balancer")[1]["paused"] is True
        page = seen.go("#/")
        expect(page.locator("#facts")).to_contain_text("paused")
        picture(page, "flow-paused")
        page = seen.go("#/orders")
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Pause the balancer")).to_be_visible()
        assert world.get("/v1/balancer")[1]["paused"] is False
        assert seen.complaints == []


def test_a_running_migration_is_followed_and_rolled_back(browser, world):
    """The copy's progress grows by itself; rolled back, the order param serves on its source under its old epoch."""
    with opened(browser, world) as seen:
        before = _owner_when_seen(world, HELD)
        page = seen.go(f"#/order-params/{HELD}")
        page.get_by_label("Move to").select_option(_other_shard(world, before[0]))
        page.get_by_role("button", name="Move", exact=True).click()
        page.locator("a.when").first.click()
        bar = page.get_by_role("progressbar")
        expect(bar).to_be_visible()
        first = float(bar.get_attribute("value"))
        page.wait_for_function("first => document.querySelector('progress.copying')?.value > first", arg=first)
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        _click_and_confirm(page, "Roll it back", f"Roll the migration of {HELD} back?")
        expect(page.locator("main b").first).to_have_text("rolled back", timeout=ASKED_MS)
        expect(page.get_by_text("ended", exact=True)).to_be_visible()
        expect(page.get_by_role("rowheader", name="rolled back")).to_be_visible()
        picture(page, "flow-migration-rolled-back")
        assert _owner(world, HELD) == before
        _, log = world.get("/v1/audit?action=migration.cancel&limit=1")
        assert (log["items"][0]["who"], log["items"][0]["outcome"]) == ("e2e-admin", "done")
        assert seen.complaints == []


@contextmanager
def _forbidden(seen, world, name, mode):
    """Order a mode, and that an order param may not be where it is, so that every plan moves it; yield where it is."""
    source, _ = _owner(world, name)
    page = seen.go("#/orders")
    _set_mode(page, world, mode)
    rule = page.get_by_role("form", name="Forbidden shards")
    rule.get_by_label("Order param").fill(name)
    rule.get_by_label("Not on").select_option(source)
    rule.get_by_role("button", name="Forbid").click()
    withdraw = f"Withdraw: what {name} may not be on"
    expect(page.get_by_role("button", name=withdraw)).to_be_visible()
    try:
        yield source
    finally:
        page = seen.go("#/orders")
        page.get_by_role("button", name=withdraw).click()
        expect(page.get_by_text("Each may be on any shard.")).to_be_visible()
        _set_mode(page, world, "predictive")


def _set_mode(page, world, mode):
    page.get_by_role("form", name="Mode").get_by_label("Mode").select_option(label=mode)
    page.get_by_role("button", name="Set the mode").click()
    expect(page.get_by_role("form", name="Mode").get_by_role("status")).to_contain_text(f"The mode is {mode}.")
    assert world.get("/v1/balancer")[1]["effective_mode"] == mode.replace(" ", "_")


def _saved(seen, note):
    """Save what a tick would do now; return the page that reviews it, and its id."""
    page = seen.go("#/plans")
    page.get_by_label("Note").fill(note)
    page.get_by_role("button", name="Save what a tick would do now").click()
    page.wait_for_url("**/#/plans/plan-*", timeout=ASKED_MS)
    seen.settled()
    expect(page.locator("dl").first).to_contain_text("saved")
    expect(page.locator("dl").first).to_contain_text(note)
    return page, page.url.rpartition("/")[2]


def _click_and_confirm(page, verb, question):
    page.get_by_role("button", name=verb, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(question)
    dialog.get_by_role("button", name=verb, exact=True).click()


def _owner(world, name):
    """Return the shard that takes the appends of an order param, and its epoch."""
    _, found = world.get(f"/v1/allocations?prefix={name}")
    (item,) = [each for each in found["items"] if each["order_param"] == name]
    return item["shards"][-1], item["epoch"]


def _owner_when_seen(world, name):
    """Return what `_owner` does, when a tick has seen the order param: before, nothing is known of its rate."""
    until = monotonic_s() + 4 * STEP_S
    while world.get(f"/v1/order-params/{name}")[0] != 200:
        assert monotonic_s() < until
        time.sleep(1)
    return _owner(world, name)


def _arrived(world, moves):
    assert moves
    for move in moves:
        assert _owner(world, move["order_param"])[0] == move["destination"]
        _, made = world.get(f"/v1/migrations?order_param={move['order_param']}&limit=1")
        assert made["items"][0]["step"] == "done"


def _acts(world, plan_id, who):
    """Return what somebody did with a plan, oldest first."""
    _, log = world.get(f"/v1/audit?who={who}&limit=200")
    return [each["action"] for each in reversed(log["items"]) if each["target"] == plan_id]


def _other_shard(world, owner):
    return next(each["shard_id"] for each in world.get("/v1/shards")[1]["items"] if each["shard_id"] != owner)
