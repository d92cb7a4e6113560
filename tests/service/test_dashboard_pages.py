"""The dashboard's pages in a browser that is driven: every page, long lists, and what people do there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import chromium
import pytest
from fake_balancer import NOW_S, SHARDS, FakeBalancer
from playwright.async_api import async_playwright, expect

from plb_ray.domain.mapping import Mapping, Placement
from service.api.app import create_app
from service.local_http import serving

pytestmark = [pytest.mark.skipif(chromium.BINARY is None, reason="no Chromium is installed"), pytest.mark.timeout(180)]

DESKTOP, PHONE = (1360, 900), (390, 844)
PAGES = (
    "#/",
    "#/order-params",
    "#/order-params/tenant%2F7%2Forders",
    "#/shards/shard-3",
    "#/migrations",
    "#/migrations/84-JFK-ATL",
    "#/plans",
    "#/plans/latest",
    "#/capacity",
    "#/events",
    "#/models",
    "#/decisions",
    "#/decisions/85",
    "#/audit",
    "#/orders",
    "#/settings",
)


@asynccontextmanager
async def dashboard(balancer, size=DESKTOP):
    """Yield a page of a browser, the dashboard's address, and the list that what the page complains about goes to."""
    async with async_playwright() as playwright, serving(create_app(balancer, now_s=lambda: NOW_S)) as url:
        browser = await playwright.chromium.launch(executable_path=chromium.BINARY, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.set_default_timeout(20_000)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page, f"{url}/dashboard/", said
        await browser.close()


def many(count):
    """Return a balancer of `count` order params."""
    placements = [Placement(f"tenant-{number:05d}", (SHARDS[number % 4],), 1) for number in range(count)]
    return FakeBalancer(placements=Mapping(5, {each.order_param: each for each in placements}))


async def test_every_page_fits_a_phone():
    """At 390 px no page is wider than the screen, each has its one heading and title, and nothing fails."""
    async with dashboard(FakeBalancer(), PHONE) as (page, url, said):
        for fragment in PAGES:
            await page.goto("about:blank")
            await page.goto(url + fragment)
            await expect(page.locator("#page-title")).to_be_visible()
            await expect(page.locator("main [aria-busy]")).to_have_count(0)
            assert await page.locator("h1").count() == 1, fragment
            assert "plb-ray" in await page.title()
            assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], fragment
            assert await page.locator("main [role=alert]:visible").all_text_contents() == [], fragment
        assert said == []


async def test_a_page_that_does_not_exist_says_so():
    """An address without a page, or of an order param that is not there, is answered in a sentence."""
    async with dashboard(FakeBalancer()) as (page, url, _):
        await page.goto(url + "#/nowhere")
        await expect(page.locator("main [role=alert]")).to_contain_text("there is no page")
        await page.goto(url + "#/order-params/nobody")
        await expect(page.locator("main [role=alert]:visible").first).to_contain_text("nobody")


async def test_ten_thousand_order_params_are_scrolled_and_searched():
    """Of 10,000 rows only those in sight exist; the last one is reached, and a search finds one by a part of its name."""
    async with dashboard(many(10_000)) as (page, url, said):
        await page.goto(url + "#/order-params")
        rows = page.locator("tr[data-order-param]")
        await expect(rows.first).to_contain_text("tenant-00000")
        assert await page.locator("table").get_attribute("aria-rowcount") == "10001"
        await page.locator(".virtual").evaluate("node => { node.scrollTop = node.scrollHeight }")
        await expect(rows.last).to_contain_text("tenant-09999")
        assert await rows.count() < 80
        await page.get_by_label("Search order params").fill("ANT-04242")
        await expect(rows).to_have_count(1)
        await expect(page.locator("#mapping-count")).to_have_text("1 order param")
        assert said == []


async def test_of_many_shards_the_worst_come_first():
    """Of sixty shards those in trouble have the first cards, the rest come on demand, and only cards in sight are drawn."""
    status = FakeBalancer().status_now
    calm = next(shard for shard in status.shards if shard.congestion_at_s is None)
    hot = next(shard for shard in status.shards if shard.congestion_at_s is not None)
    shards = (*(replace(calm, shard_id=f"shard-{row}") for row in range(59)), replace(hot, shard_id="shard-hot"))
    async with dashboard(FakeBalancer(status_now=replace(status, shards=shards))) as (page, url, said):
        await page.goto(url)
        cards = page.locator("article.shard")
        await expect(cards).to_have_count(24)
        await expect(cards.first).to_contain_text("shard-hot")
        assert await page.locator(".load-chart").count() < 24
        await page.get_by_role("button", name="Show 24 more of 60 shards").click()
        await expect(cards).to_have_count(48)
        assert said == []


async def test_an_order_is_given_and_withdrawn():
    """What is ordered on the page is what the balancer keeps to, and the keyboard is enough for it."""
    balancer = FakeBalancer()
    async with dashboard(balancer) as (page, url, said):
        await page.goto(url + "#/orders")
        pins = page.get_by_role("form", name="Pins")
        await pins.get_by_label("Order param").fill("tenant/7/orders")
        await page.keyboard.press("Enter")
        withdraw = page.get_by_role("button", name="Withdraw: pin of tenant/7/orders")
        await expect(withdraw).to_be_visible()
        assert (await balancer.orders()).orders.pinned == {"tenant/7/orders"}
        await withdraw.focus()
        await page.keyboard.press("Enter")
        await expect(withdraw).to_have_count(0)
        assert (await balancer.orders()).orders.pinned == frozenset()
        await page.get_by_role("button", name="Pause the balancer").click()
        await expect(page.get_by_role("button", name="Resume")).to_be_visible()
        assert (await balancer.orders()).orders.paused
        assert said == []


async def test_a_refusal_is_told_where_it_was_asked_for():
    """What the service refuses stands beside the button, in the service's own sentence."""
    async with dashboard(FakeBalancer()) as (page, url, _):
        await page.goto(url + "#/orders")
        pins = page.get_by_role("form", name="Pins")
        await pins.get_by_label("Order param").fill("nobody")
        await pins.get_by_role("button", name="Pin").click()
        await expect(pins.get_by_role("status")).to_contain_text("Not done: ")
        await expect(pins.get_by_role("status")).to_contain_text("nobody")


async def test_a_plan_shows_each_shard_before_and_after():
    """Every kind of plan has the load of each shard, by resource; the question before an approval names the fullest."""
    balancer = FakeBalancer()
    async with dashboard(balancer) as (page, url, said):
        await page.goto(url + "#/plans/latest")
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="shard-3"))
        for text in ("112 %", "79 %", "88 %", "1.12 cores", "0.79 cores", "1 core", "90 %"):
            await expect(row).to_contain_text(text)
        await expect(page.locator(".load-gone")).to_have_count(1)
        await expect(page.locator(".load-come")).to_have_count(2)
        await page.get_by_text("memory", exact=True).click()
        await expect(row).to_contain_text("no limit")
        await expect(row).to_contain_text("4 MB")
        await expect(page.get_by_role("heading", name="shard-4").locator("..")).to_contain_text("CPU 50 % → 84 %")
        await page.goto(url + "#/plans")
        await page.get_by_role("button", name="Save what a tick would do now").click()
        await page.wait_for_url("**/#/plans/plan-1")
        await expect(row).to_contain_text("112 %")
        await page.get_by_role("button", name="Approve").click()
        question = "goes from 112 % (shard-3) to 84 % (shard-4) of CPU"
        await expect(page.get_by_role("dialog")).to_contain_text(question)
        assert said == []


async def test_an_earlier_releases_decision_says_that_its_loads_are_not_known():
    """No figures are made up where none were written down."""
    async with dashboard(FakeBalancer()) as (page, url, said):
        await page.goto(url + "#/decisions/82")
        await expect(page.locator("main")).to_contain_text("did not write down the load of each shard")
        await page.goto(url + "#/decisions/85")
        await expect(page.get_by_role("table", name="Load of each shard before and after, CPU")).to_be_visible()
        assert said == []


async def test_a_placement_history_says_how_far_it_looked():
    """Where older migrations may be there, that is said beside those that are shown; otherwise nothing is."""
    balancer = FakeBalancer()
    async with dashboard(balancer) as (page, url, said):
        await page.goto(url + "#/order-params/JFK-ATL")
        part = page.get_by_role("region", name="Placement history")
        await expect(part).to_contain_text("shard-3 → shard-4", timeout=20_000)
        await expect(part).not_to_contain_text("looked through")
        kept = balancer.records[0]
        balancer.records += [replace(kept, migration_id=f"old-{row}", order_param="JFK-BOS") for row in range(1000)]
        await page.reload()
        await expect(part).to_contain_text("Only the queue's last 1,000 migrations are looked through.", timeout=20_000)
        await expect(part.get_by_role("link", name="Decisions about it")).to_be_visible()
        assert said == []
