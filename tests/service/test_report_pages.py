"""The HTML pages that commands write, in a browser: readable in light and in dark, no wider than a phone, quiet, offline."""

from __future__ import annotations

import re

import chromium
import pytest
from playwright.async_api import async_playwright

from service.report_frame import INK, chart, heads, table, whole_page

pytestmark = [pytest.mark.skipif(chromium.BINARY is None, reason="no Chromium is installed"), pytest.mark.timeout(400)]

WORDS = "a sentence of some length, such as reasons are, that has to be broken into lines where the page is narrow"
NAMES = ("wave", "a name of a column", "figures", "more figures", "still more figures", "and the last figures")
COLOURS = """() => {
  const text = [...document.querySelectorAll("p, h1, h2, td, th, .xtick text, .ytick text, .gtitle, .legendtext")];
  const style = (node) => getComputedStyle(node);
  return { ground: style(document.body).backgroundColor, line: style(document.querySelector(".js-line")).stroke,
    texts: text.map((node) => (node instanceof SVGElement ? style(node).fill : style(node).color)) };
}"""
REPAINTED = "(before) => getComputedStyle(document.querySelector('.js-line')).stroke !== before"
CONTRAST_MIN = 4.5
LOAD_MS_MAX = 150_000  # 4.5 MB of script take their time on a machine that is busy with other tests


@pytest.fixture
def page_file(tmp_path):
    """A page with what the pages of commands are made of."""
    from plotly.graph_objects import Bar, Scatter  # noqa: PLC0415  slow to import

    steps = list(range(40))
    lines = [
        Scatter(name="actual", x=steps, y=steps, line={"color": INK}),
        Scatter(name="a rather long name of an arm", x=steps, y=steps[::-1], line={"color": "#2563eb"}),
    ]
    bars = [Bar(name=f"model {row}", x=[WORDS[:30], "b"], y=[row, 2]) for row in range(8)]
    cells = "".join('<td class="n">1,234,567.8</td>' for _ in NAMES[2:])
    rows = (f'<tr><td>{row}</td><td class="why">{WORDS}</td>{cells}</tr>' for row in range(3))
    parts = (
        f"<p>{WORDS}</p>",
        table("Rows", heads(NAMES, first_text=2), rows),
        chart(lines, "lines", yaxis_title="messages"),
        chart(bars, "bars", barmode="group"),
    )
    path = tmp_path / "page.html"
    path.write_text(whole_page("A page <b>about</b> something", WORDS, parts), encoding="utf-8")
    return path


@pytest.mark.parametrize("size", [(1360, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_page_is_readable_everywhere(page_file, scheme, size):
    """Every text stands out from the ground, also in charts; nothing is wider than the screen, nothing is asked or said."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.BINARY, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        page.set_default_timeout(LOAD_MS_MAX)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(page_file.as_uri())
        await page.wait_for_selector("#bars .legendtext")
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
        found = await page.evaluate(COLOURS)
        drawn = await page.locator("#lines svg.main-svg").first.bounding_box()
        other = "light" if scheme == "dark" else "dark"
        await page.emulate_media(color_scheme=other)
        await page.wait_for_function(REPAINTED, arg=found["line"])
        changed = await page.evaluate(COLOURS)
        await browser.close()
    for colours in (found, changed):
        worst = min(colours["texts"], key=lambda each: contrast(each, colours["ground"]))
        assert contrast(worst, colours["ground"]) >= CONTRAST_MIN, worst
        assert contrast(colours["line"], colours["ground"]) >= CONTRAST_MIN
    assert found["ground"] != changed["ground"]
    assert drawn["width"] <= size[0]
    assert (said, asked) == ([], [page_file.as_uri()])


async def test_text_stays_text(page_file):
    """What is told as text is never markup."""
    assert "<h1>A page &lt;b&gt;about&lt;/b&gt; something</h1>" in page_file.read_text(encoding="utf-8")


def contrast(one: str, other: str) -> float:
    """Return the contrast of two CSS colours, as WCAG 2 defines it."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (int(each) / 255 for each in re.findall(r"\d+", colour)[:3])
    linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
