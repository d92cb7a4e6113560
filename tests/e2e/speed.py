"""How fast the dashboard is: first load, and scrolling through all order params. Figures are kept beside the pictures."""

from __future__ import annotations

import json
from statistics import median

from playwright.sync_api import expect

from tests.e2e.browser import ARTIFACTS, opened
from tests.e2e.world import QUIET_COUNT, SHARDS

FIRST_LOAD_MS_MAX = 2000
LONGEST_TASK_MS_MAX = 400
LOADS = 5
SCROLLS = 60
SCROLL = """async (steps) => {
  const frame = document.querySelector(".virtual");
  let longest = 0, rows = 0;
  const seen = (list) => { for (const each of list.getEntries()) longest = Math.max(longest, each.duration); };
  new PerformanceObserver(seen).observe({ type: "longtask" });
  for (let step = 1; step <= steps; step += 1) {
    frame.scrollTop = (frame.scrollHeight * step) / steps;
    await new Promise((resolve) => setTimeout(resolve, 50));
    rows = Math.max(rows, document.querySelectorAll(".virtual tbody tr:not(.spacer)").length);
  }
  return { longest_task_ms: Math.round(longest), rows_max: rows };
}"""


def keep(name, value):
    """Add a figure to the file of figures."""
    path = ARTIFACTS / "figures.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**figures, name: value}, indent=2) + "\n")


def test_first_load(browser, world):
    """A browser with an empty cache shows all shards with their charts within two seconds of the request, in the median."""
    loads_ms = []
    for _ in range(LOADS):
        with opened(browser, world) as seen:
            seen.page.goto(seen.home, wait_until="commit")
            loads_ms.append(_drawn_ms(seen.page))
    keep("first_load_ms", {"median": round(median(loads_ms)), "all": [round(each) for each in loads_ms]})
    assert median(loads_ms) <= FIRST_LOAD_MS_MAX


def _drawn_ms(page):
    """Return when all charts were there, in ms since the request."""
    for _ in range(5000):
        charts, at_ms = page.evaluate("[document.querySelectorAll('.shard .load-chart').length, performance.now()]")
        if charts >= SHARDS:
            return at_ms
    raise TimeoutError("the charts were not drawn")


def test_scrolling_through_all_order_params(browser, world):
    """Scrolled from the first to the last of all order params, the page never stops for long and holds few rows."""
    with opened(browser, world) as seen:
        page = seen.go("#/order-params")
        expect(page.locator("tr[data-order-param]").first).to_be_visible()
        found = page.evaluate(SCROLL, SCROLLS)
        keep("scroll", {**found, "order_params": QUIET_COUNT})
        expect(page.locator("tr[data-order-param]").last).to_contain_text("tenant/7/orders")
        assert found["rows_max"] < 100
        assert found["longest_task_ms"] <= LONGEST_TASK_MS_MAX
