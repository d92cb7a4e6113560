"""What people do on the dashboard, against the real service."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import opened, picture
from tests.e2e.world import BUSY, ODD, QUIET_COUNT

MOVED = BUSY[7]
DONE_MS = 120_000
CALENDAR = b"event_id,kind,name,start,end\nsale,campaign,Winter sale,2030-01-02T10:00:00Z,2030-01-02T12:00:00Z\n"


def test_log_in_and_out(browser, world):
    """A wrong token is refused in a sentence, the right one leads to where one wanted to go, log out ends it."""
    with opened(browser, world, token="") as seen:
        page = seen.go("#/events")
        page.wait_for_url("**/#/login?next=*")
        page.get_by_label("API token").fill("plb_00000000_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("form", name="Log in").get_by_role("status")).to_contain_text("Not done: ")
        page.get_by_label("API token").fill(world.admin)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Events", level=1)).to_be_visible()
        expect(page.locator("#who")).to_have_text("e2e-admin, admin")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/#/login*")
        page.goto(world.dashboard + "#/orders")
        page.wait_for_url("**/#/login*")


def test_a_viewer_sees_and_changes_nothing(browser, world):
    """Who may only read is told so when trying to act."""
    with opened(browser, world, token=world.viewer) as seen:
        page = seen.go("#/orders")
        page.get_by_role("button", name="Pause the balancer").click()
        expect(page.locator(".answer").first).to_contain_text("viewer")
        assert world.get("/v1/balancer")[1]["paused"] is False


def test_an_order_param_is_found_moved_and_followed(browser, world):
    """Among thousands one is found by a part of its name, moved, and followed live until it serves on its new shard."""
    with opened(browser, world) as seen:
        page = seen.go("#/order-params")
        expect(page.locator("#mapping-count")).to_contain_text("order params")
        assert int(page.locator("table").get_attribute("aria-rowcount")) >= QUIET_COUNT
        page.get_by_label("Search order params").fill(MOVED.upper())
        page.get_by_role("link", name=MOVED, exact=True).click()
        seen.settled()
        _, before = world.get(f"/v1/allocations?prefix={MOVED}")
        owner = before["items"][0]["shards"][-1]
        page.get_by_label("Move to").select_option(next(each for each in _shards(world) if each != owner))
        page.get_by_role("button", name="Move", exact=True).click()
        expect(page.get_by_role("form", name="Move this order param").get_by_role("status")).to_contain_text("has started")
        page.locator("a.when").first.click()
        expect(page.get_by_role("heading", name="Migration")).to_be_visible()
        expect(page.locator("main b").first).to_have_text("done", timeout=DONE_MS)
        for step in ("prepare", "paused", "sealed", "done"):
            expect(page.get_by_role("rowheader", name=step, exact=True)).to_be_visible()
        picture(page, "flow-migration-done")
        _, after = world.get(f"/v1/allocations?prefix={MOVED}")
        assert after["items"][0]["epoch"] == before["items"][0]["epoch"] + 1
        assert seen.complaints == []


def test_names_that_hurt(browser, world):
    """An order param may be called anything; its page opens from its address."""
    with opened(browser, world) as seen:
        for name in ODD:
            page = seen.go(f"#/order-params/{quote(name, safe='')}")
            expect(page.locator("h1")).to_have_text(name)
        assert page.locator("h1 b").count() == 0


def test_events_are_put_imported_and_removed(browser, world):
    """An event is put, a calendar imported, an event changed and removed, and the calendar of the service follows."""
    with opened(browser, world) as seen:
        page = seen.go("#/events")
        put = page.get_by_role("form", name="Put an event")
        put.get_by_label("Name").fill("Cup final")
        put.get_by_label("Kind").fill("match")
        put.get_by_label("From, UTC").fill("2030-06-01T18:00")
        put.get_by_label("To, UTC").fill("2030-06-01T20:00")
        put.get_by_label("Order params").fill("shop-de-*, shop-fr-*")
        put.get_by_role("button").click()
        expect(page.get_by_role("rowheader", name="Cup final")).to_be_visible()
        upload = page.get_by_role("form", name="Import a calendar")
        upload.get_by_label("File").set_input_files({"name": "sale.csv", "mimeType": "text/csv", "buffer": CALENDAR})
        upload.get_by_role("button", name="Import").click()
        expect(upload.get_by_role("status")).to_contain_text("1 added")
        page.get_by_role("button", name="Change Winter sale").click()
        put.get_by_label("Name").fill("January sale")
        put.get_by_role("button").click()
        expect(page.get_by_role("rowheader", name="January sale")).to_be_visible()
        picture(page, "flow-events")
        for name in ("Cup final", "January sale"):
            page.get_by_role("button", name=f"Remove {name}").click()
            page.get_by_role("dialog").get_by_role("button", name="Remove").click()
            expect(page.get_by_role("rowheader", name=name)).to_have_count(0)
        assert not {each["name"] for each in world.get("/v1/events")[1]["items"]} & {"Cup final", "January sale"}
        assert seen.complaints == []


@pytest.mark.timeout(300)
def test_a_capacity_question_is_answered(browser, world):
    """What if traffic grows: the answer has shards, a proven bound, a chart and a fleet."""
    with opened(browser, world) as seen:
        page = seen.go("#/capacity")
        page.get_by_label("Horizon").select_option("hour")
        page.get_by_role("button", name="Add a growth").click()
        page.get_by_label("Grow by, %").fill("80")
        page.get_by_role("button", name="Work it out").click()
        expect(page.get_by_role("form", name="Capacity question").locator(".form-end .answer")).to_contain_text(
            "Answered in", timeout=DONE_MS
        )
        expect(page.get_by_text("no fewer than (proven)")).to_be_visible()
        expect(page.get_by_role("region", name="Fleet")).to_be_visible()
        picture(page, "flow-capacity")
        assert seen.complaints == []


def test_orders_stand_and_are_audited(browser, world):
    """Pins and approval are ordered, stand in the service, are withdrawn, and the audit log says by whom."""
    with opened(browser, world) as seen:
        page = seen.go("#/orders")
        pins = page.get_by_role("form", name="Pins")
        pins.get_by_label("Order param").fill(MOVED)
        pins.get_by_role("button", name="Pin").click()
        expect(page.get_by_role("button", name=f"Withdraw: pin of {MOVED}")).to_be_visible()
        page.get_by_role("button", name="Ask me to approve plans").click()
        expect(page.get_by_role("button", name="Let plans go without approval")).to_be_visible()
        _, orders = world.get("/v1/balancer")
        assert (orders["pinned"], orders["approval"], orders["changed_by"]) == ([MOVED], True, "e2e-admin")
        picture(page, "flow-orders")
        page.get_by_role("button", name="Let plans go without approval").click()
        page.get_by_role("button", name=f"Withdraw: pin of {MOVED}").click()
        expect(page.get_by_text("None is pinned.")).to_be_visible()
        page = seen.go("#/audit")
        expect(page.get_by_role("region", name="Audit log")).to_contain_text("e2e-admin (admin)")
        picture(page, "flow-audit")
        assert seen.complaints == []


def test_a_plan_is_made_and_compared(browser, world):
    """A plan is made on demand without acting, and saved for review if there is anything to move."""
    with opened(browser, world) as seen:
        page = seen.go("#/plans")
        page.get_by_role("button", name="Plan now, act on nothing").click()
        answer = page.get_by_role("form", name="Plan now").get_by_role("status")
        expect(answer).to_contain_text("tick would", timeout=DONE_MS)
        picture(page, "flow-plan-now")
        page = seen.go("#/plans/latest")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_text("only in the new one")).to_be_visible(timeout=DONE_MS)
        assert seen.complaints == []


def test_the_keyboard_is_enough(browser, world):
    """The first Tab offers to skip to the page, and pages are opened and left with Enter; the focus goes to the heading."""
    with opened(browser, world) as seen:
        page = seen.go("#/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.get_by_role("link", name="Migrations", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Migrations", level=1)).to_be_focused()


def _shards(world):
    return [each["shard_id"] for each in world.get("/v1/shards")[1]["items"]]
