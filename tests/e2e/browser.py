"""The browser: contexts by theme and size, log-in, what axe-core says of a page, and pictures that are kept."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.e2e.world import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from tests.e2e.world import World

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARTIFACTS = Path(os.environ.get("PLB_E2E_ARTIFACTS", ROOT / "artifacts" / "e2e"))
AXE = Path(os.environ.get("PLB_AXE", ARTIFACTS / "node_modules" / "axe-core" / "axe.min.js"))
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
SIZES = {"desktop": (1360, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
TIMEOUT_MS = 30_000


@dataclass
class Seen:
    """A page of the browser, and what it has complained about so far."""

    page: Page
    home: str
    complaints: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        """Take what the page writes to the console."""
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def watch(self, request: Request) -> None:
        """Take what the page asks; anything but its own service is a complaint: it has to work offline."""
        if not request.url.startswith((self.home.removesuffix("dashboard/"), "data:", "blob:", "about:")):
            self.complaints.append(f"asks elsewhere: {request.url}")

    def go(self, fragment: str) -> Page:
        """Open one page of the dashboard, and return when its parts have their first answers."""
        self.page.goto("about:blank")
        self.page.goto(self.home + fragment)
        return self.settled()

    def settled(self) -> Page:
        """Return when the page has its heading, no part waits for its first answer, and the charts are drawn."""
        expect(self.page.locator("#page-title")).to_be_visible()
        expect(self.page.locator("main [aria-busy]")).to_have_count(0)
        expect(self.page.locator("[data-chart]:not(:has(.main-svg))")).to_have_count(0)
        return self.page


@contextmanager
def opened(
    browser: Browser, world: World, theme: str = "light", size: str = "desktop", token: str | None = None
) -> Iterator[Seen]:
    """Yield a page of a fresh profile that is logged in: as admin, or with the token given; an empty one logs nobody in."""
    width, height = SIZES[size]
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    page = context.new_page()
    seen = Seen(page, world.dashboard)
    if token != "":
        answer = context.request.post(f"{world.url}/v1/session", data={"token": token or world.admin})
        assert answer.ok, answer.text()
    page.on("console", seen.hear)
    page.on("request", seen.watch)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    yield seen
    context.close()


def faults(page: Page) -> list[str]:
    """Return what axe-core finds wrong with the page as it is now, a line for each element."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", list(RULES))
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def picture(page: Page, name: str) -> Path:
    """Keep a picture of the whole page. It is scrolled through first, since charts are drawn when they come into sight."""
    page.evaluate(
        """async () => {
          for (let y = 0; y < document.body.scrollHeight; y += innerHeight / 2) {
            scrollTo(0, y);
            await new Promise(requestAnimationFrame);
          }
          scrollTo(0, 0);
        }"""
    )
    page.wait_for_timeout(300)
    path = ARTIFACTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=True)
    return path
