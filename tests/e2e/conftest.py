"""One service and one browser for all end-to-end tests."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import sync_playwright

from tests.e2e.browser import AXE, CHROMIUM
from tests.e2e.world import Running, World


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A service of its own, or the one that PLB_E2E_URL, PLB_E2E_ADMIN and PLB_E2E_VIEWER (tokens) name."""
    if url := os.environ.get("PLB_E2E_URL"):
        yield World(url, "", os.environ["PLB_E2E_ADMIN"], os.environ["PLB_E2E_VIEWER"], 0.0)
        return
    running = Running(tmp_path_factory.mktemp("e2e"))
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.fail("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def _axe_is_there():
    if not AXE.exists():
        pytest.fail(f"axe-core is not at {AXE}: run `make e2e`, which gets it from npm")
