"""One HTML page about a capacity answer, made from its JSON; it needs nothing else to be shown, in light and in dark."""

from __future__ import annotations

from html import escape
from typing import Any

from service.plan_page import STYLE

MOVES_SHOWN = 500
NEEDED, BOUND, HAVE = "#2563eb", "#d97706", "#059669"
MORE_STYLE = """
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
@media (prefers-color-scheme:dark){body{background:#0f141b;color:#dbe1ea}.verdict,.card span,th{color:#97a3b4}
th,td{border-color:#2a3340}.card{border-color:#2a3340}}
"""
# Plotly draws with fixed colours; what is transparent and grey reads on both backgrounds.
LAYOUT: dict[str, Any] = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": "#7b8794"},
    "margin": {"l": 60, "r": 20, "t": 20, "b": 60},
    "legend": {"orientation": "h", "y": 1.12},
    "hovermode": "x unified",
    "height": 420,
    "yaxis": {"title": "shards", "rangemode": "tozero", "gridcolor": "rgba(128,128,128,.25)"},
    "xaxis": {"gridcolor": "rgba(128,128,128,.15)"},
}


def page(found: dict[str, Any]) -> str:
    """Return the page; it holds plotly itself (about 4.5 MB) and asks no network."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  4.5 MB, needed here alone

    title = f"Capacity for the next {found['horizon']}"
    return "".join(
        (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">',
            f"<style>{STYLE}{MORE_STYLE}</style><script>{get_plotlyjs()}</script></head><body>",
            f'<h1>{title}</h1><p class="verdict">{escape(verdict(found))}</p>',
            _cards(found),
            *(f'<p class="stays">{escape(each)}</p>' for each in _left(found)),
            "<h2>Shards needed, step by step</h2>",
            _chart(found),
            _types(found),
            _plan(found),
            "<h2>How this was understood</h2>",
            *(f"<p>{escape(note)}</p>" for note in found["notes"]),
            "</body></html>\n",
        )
    )


def verdict(found: dict[str, Any]) -> str:
    """Return the answer in one sentence."""
    if not found["shards"]:
        return found["reason"] or "nothing needs a shard"
    of_types = ", ".join(f"{each['shards']} {each['name']}" for each in found["types"] if each["shards"])
    proof = "no fewer can do" if found["shards"] == found["shards_lower_bound"] else _between(found)
    zone = f", any one of {found['zones']} zones may be lost" if found["zones"] > 1 else ""
    scarce = found["binding_resource"] or "nothing"
    return f"{found['shards']} shards ({of_types}) for a risk of at most {found['alpha']:.2g}{zone}; {proof}; {scarce} binds"


def _between(found: dict[str, Any]) -> str:
    return f"no fewer than {found['shards_lower_bound']} can do"


def _cards(found: dict[str, Any]) -> str:
    cards = {
        "shards": f"{found['shards']:,}",
        "proven to be needed": f"{found['shards_lower_bound']:,}",
        "price": f"{found['price']:,.6g} (at least {found['price_lower_bound']:,.6g})",
        "risk of overload, per shard and step": f"{found['risk']:.2%}",
        "what binds": f"{found['binding_resource'] or 'nothing'}",
        "when": found["binding_at"] or "",
        "order params": f"{found['order_params']:,}",
        "took": f"{found['took_s']:.2f} s",
    }
    each = (f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for name, value in cards.items())
    return f'<div class="cards">{"".join(each)}</div>'


def _left(found: dict[str, Any]) -> list[str]:
    named = [f"{each['order_param']} fits no shard: {each['reason']}" for each in found["leftovers"]]
    more = found["leftovers_count"] - len(named)
    return [*named, f"and {more} more order params that fit no shard"] if more else named


def _chart(found: dict[str, Any]) -> str:
    from plotly.graph_objects import Figure, Scatter  # noqa: PLC0415  slow to import

    steps = found["hours"]["steps"]
    times = [each["start"] for each in steps]
    stairs = {"x": times, "mode": "lines", "line_shape": "hv"}
    lines = [
        Scatter(name="needed", y=[each["needed"] for each in steps], line_color=NEEDED, **stairs),
        Scatter(
            name="proven lower bound",
            y=[each["lower_bound"] for each in steps],
            line={"color": BOUND, "dash": "dot"},
            **stairs,
        ),
        Scatter(
            name="fleet for all of it", y=[found["shards"]] * len(steps), line={"color": HAVE, "dash": "dash"}, **stairs
        ),
    ]
    figure = Figure(lines)
    figure.update_layout(**LAYOUT)
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id="hours", config={"displaylogo": False})
    return f'<p class="verdict">Shards of type {escape(found["hours"]["type"])}, each step by itself.</p>{html}'


def _types(found: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><td>{escape(each["name"])}</td><td class="n">{each["shards"]}</td><td class="n">{each["price"]:g}</td>'
        f"<td>{escape(amounts(each['capacity']))}</td></tr>"
        for each in found["types"]
    )
    head = '<tr><th>type</th><th class="n">shards</th><th class="n">price of one</th><th>capacity of one</th></tr>'
    return f"<h2>Shard types</h2><table>{head}{rows}</table>"


def amounts(capacity: dict[str, float | None]) -> str:
    """Return a capacity in words."""
    return ", ".join(f"{name} {each:,.4g}" for name, each in capacity.items() if each is not None) or "no limit"


def _plan(found: dict[str, Any]) -> str:
    plan = found["plan"]
    if plan is None:
        return ""
    words = [f"start {count} of type {name}" for name, count in plan["start"].items()]
    words += [f"drain {name}" for name in plan["drain"]]
    moves = plan["moves"]
    rows = "".join(
        f"<tr><td>{each['wave']}</td><td>{escape(each['order_param'])}</td><td>{escape(each['source'] or '(new)')}</td>"
        f"<td>{escape(each['destination'])}</td><td>{escape(each['reason'])}</td></tr>"
        for each in moves[:MOVES_SHOWN]
    )
    more = f"<p>and {len(moves) - MOVES_SHOWN:,} more; --json lists all</p>" if len(moves) > MOVES_SHOWN else ""
    head = "<tr><th>wave</th><th>order param</th><th>from</th><th>to</th><th>why</th></tr>"
    table = f"<table>{head}{rows}</table>{more}" if moves else ""
    steps = escape("; ".join(words) or "the shards there are suffice")
    return f"<h2>How to get there</h2><p>{steps}; {len(moves):,} moves, {escape(plan['quality'])}.</p>{table}"
