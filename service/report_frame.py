"""The frame of the HTML pages that commands write: one file that needs nothing else, in light and dark, on any width.

Plotly draws with fixed colours, so a script gives text, grid and whatever is drawn in `INK` the colours of the light that
the reader has chosen, and again when that changes.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

INK = "#18212b"
"""The colour of what stands out most: dark on light, and light on dark."""

STYLE = """
:root{color-scheme:light dark;--ground:light-dark(#fff,#0e1216);--text:light-dark(#18212b,#e7ebf0);
--muted:light-dark(#566270,#9aa6b4);--line:light-dark(#e0e4e9,#29323b);--chosen:light-dark(#eff6ff,#1a2536);
--warn:light-dark(#b7791f,#e0ac55)}
*{box-sizing:border-box} body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1.25rem;
background:var(--ground);color:var(--text);font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin-bottom:.2rem} h2{font-size:1.1rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1.2rem 0 0} small,.verdict,p.how{color:var(--muted)} .verdict{margin-top:0}
p.how{max-width:60rem;margin:.2rem 0 .6rem} .frame{overflow-x:auto} .frame:focus-visible{outline:2px solid #2563eb}
table{border-collapse:collapse;width:100%} th{text-align:left;color:var(--muted);font-weight:500;font-size:.85rem}
th,td{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:normal}
td.n,th.n{text-align:right;white-space:nowrap} th.n{white-space:normal;vertical-align:bottom} td.name{white-space:nowrap}
td.why{min-width:18rem} tr.first{background:var(--chosen);font-weight:600}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1.25rem 0}
.card{border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}
.card b{display:block;font-size:1.25rem;font-weight:600} .card span{color:var(--muted);font-size:.85rem}
.stays{border-left:3px solid var(--warn);padding-left:.75rem}
"""
SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const INKS = ["__INK__", "#e7ebf0"];
function paint() {
  const [text, grid] = dark.matches ? ["#9aa6b4", "#29323b"] : ["#566270", "#e0e4e9"];
  const ink = INKS[Number(dark.matches)];
  for (const node of document.querySelectorAll(".plotly-graph-div")) {
    const axes = Object.keys(node._fullLayout).filter((name) => /^[xy]axis/.test(name));
    const parts = axes.flatMap((name) => [`${name}.gridcolor`, `${name}.zerolinecolor`, `${name}.linecolor`]);
    Plotly.relayout(node, { "font.color": text, ...Object.fromEntries(parts.map((part) => [part, grid])) });
    const inked = node.data.flatMap((trace, row) => (INKS.includes(trace.line?.color) ? [row] : []));
    if (inked.length) Plotly.restyle(node, { "line.color": ink }, inked);
  }
}
dark.addEventListener("change", paint);
addEventListener("load", paint);
""".replace("__INK__", INK)
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    "hovermode": "x unified",
    "height": 420,
}


def whole_page(title: str, lead: str, parts: Iterable[str]) -> str:
    """Return a page; it holds plotly itself (about 4.5 MB) and asks no network.

    Args:
        title: of the page, as plain text.
        lead: the one sentence below it, as plain text.
        parts: pieces of HTML.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  4.5 MB, needed here alone

    return "".join(
        (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body><main>",
            f'<h1>{escape(title)}</h1><p class="verdict">{escape(lead)}</p>',
            *parts,
            f"</main><script>{SCRIPT}</script></body></html>\n",
        )
    )


def chart(traces: Iterable[Any], name: str, **layout: Any) -> str:
    """Return a chart as wide as the page; `name` is its id, `layout` what is special about it."""
    from plotly.graph_objects import Figure  # noqa: PLC0415  slow to import

    figure = Figure(list(traces))
    figure.update_layout(**{**LAYOUT, **layout})
    config = {"displaylogo": False, "responsive": True}
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config)
    return html


def table(label: str, head: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table that scrolls by itself where it is wider than the page; `head` and `rows` are HTML."""
    inside = f"<thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="frame" role="region" tabindex="0" aria-label="{escape(label)}"><table>{inside}</table></div>'


def heads(names: Iterable[str], *, first_text: int) -> list[str]:
    """Return the heads of columns, the first so many of which hold text and the others figures."""
    return [
        f'<th scope="col"{"" if place < first_text else " class=n"}>{escape(name)}</th>' for place, name in enumerate(names)
    ]


def cards(values: dict[str, str]) -> str:
    """Return figures by name, each as a card."""
    each = (f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for name, value in values.items())
    return f'<div class="cards">{"".join(each)}</div>'
