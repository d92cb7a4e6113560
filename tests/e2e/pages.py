"""Every page in both themes and two sizes: usable by everybody, no wider than the screen, quiet; a picture of each."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.e2e.browser import SIZES, THEMES, faults, opened, picture
from tests.e2e.world import BUSY, SHARDS

HOT = BUSY[0]
PAGES = {
    "overview": "#/",
    "order-params": "#/order-params",
    "order-param": None,
    "shard": "#/shards/shard-0",
    "migrations": "#/migrations",
    "migration": None,
    "plans": "#/plans",
    "plan": "#/plans/latest",
    "capacity": "#/capacity",
    "events": "#/events",
    "models": "#/models",
    "decisions": "#/decisions",
    "decision": None,
    "audit": "#/audit",
    "orders": "#/orders",
    "settings": "#/settings",
    "tokens": "#/tokens",
}


@pytest.fixture(scope="module")
def addresses(world):
    """The pages, with the newest migration, and the newest decision: one that sent a move if there is any."""
    _, found = world.get("/v1/migrations?limit=1")
    _, sent = world.get("/v1/decisions?limit=1&admission=admitted")
    _, decided = world.get("/v1/decisions?limit=1")
    decision = (sent["items"] or decided["items"])[0]
    migration = found["items"][0]["migration_id"] if found["items"] else None
    order_param = next((move["order_param"] for move in decision["moves"] if move["admission"] == "admitted"), HOT)
    return {
        **PAGES,
        "order-param": f"#/order-params/{quote(order_param, safe='')}",
        "migration": migration and f"#/migrations/{quote(migration, safe='')}",
        "decision": f"#/decisions/{decision['number']}",
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.timeout(600)
def test_every_page(browser, world, addresses, theme, size):
    """axe-core finds nothing, nothing is wider than the screen, nothing is said on the console, no part is missing."""
    wrong = {}
    with opened(browser, world, theme, size) as seen:
        for name, fragment in addresses.items():
            if fragment is None:
                continue
            page = seen.go(fragment)
            picture(page, f"{name}-{theme}-{size}")
            found = faults(page)
            found += [f"not shown: {text}" for text in page.locator("main [role=alert]:visible").all_text_contents()]
            if page.evaluate("document.documentElement.scrollWidth") > SIZES[size][0]:
                found.append("wider than the screen")
            found += [f"console: {text}" for text in seen.complaints]
            seen.complaints.clear()
            if found:
                wrong[name] = found
    assert wrong == {}


@pytest.mark.parametrize("theme", THEMES)
def test_the_login_page(browser, world, theme):
    """Without a login each page leads to the log-in, which axe-core finds nothing wrong with."""
    with opened(browser, world, theme, token="") as seen:
        page = seen.go("#/orders")
        page.wait_for_url("**/#/login?next=*")
        assert faults(seen.settled()) == []
        picture(page, f"login-{theme}-desktop")


def test_the_menu_of_a_phone(browser, world):
    """The open menu of a phone is usable by everybody, and Escape closes it."""
    with opened(browser, world, "light", "phone") as seen:
        page = seen.go("#/")
        page.get_by_role("button", name="Menu").click()
        assert page.get_by_role("navigation", name="Pages").is_visible()
        assert faults(page) == []
        picture(page, "menu-light-phone")
        page.keyboard.press("Escape")
        assert not page.get_by_role("navigation", name="Pages").is_visible()


def test_the_fleet_is_there(world):
    """The pictures show the real service: its shards answer and carry real traffic."""
    _, status = world.get("/v1/status")
    assert len(status["shards"]) == SHARDS
    assert not any(shard["error"] for shard in status["shards"])
    assert sum(shard["arrival_messages_per_s"] for shard in status["shards"]) > 1
