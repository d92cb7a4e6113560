"""Opens a page in headless Chromium and returns what it has become, with everything it said on the console."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE
from dataclasses import dataclass

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RENDER_MS = 4000
TIMEOUT_S = 60


@dataclass(frozen=True)
class Page:
    dom: str
    console: tuple[str, ...]


async def render(url, profile, size="1360,1500"):
    """Return the page after `RENDER_MS` of its own (virtual) time."""
    assert BINARY is not None
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr")
    more = (f"--user-data-dir={profile}", f"--virtual-time-budget={RENDER_MS}", f"--window-size={size}", "--dump-dom")
    process = await asyncio.create_subprocess_exec(BINARY, *flags, *more, url, stdout=PIPE, stderr=PIPE)
    try:
        dom, log = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = tuple(line for line in log.decode().splitlines() if ":CONSOLE" in line)
    return Page(dom.decode(), said)
