"""One HTML page about a capacity answer, made from its JSON; it needs nothing else to be shown, in light and in dark."""

from __future__ import annotations

from html import escape
from typing import Any

from service.report_frame import cards, chart, heads, table, whole_page

MOVES_SHOWN = 500
NEEDED, BOUND, HAVE = "#2563eb", "#d97706", "#059669"


def page(found: dict[str, Any]) -> str:
    """Return the page; it holds plotly itself (about 4.5 MB) and asks no network."""
    parts = (
        _cards(found),
        *(f'<p class="stays">{escape(each)}</p>' for each in _left(found)),
        "<h2>Shards needed, step by step</h2>",
        _chart(found),
        _types(found),
        _plan(found),
        "<h2>How this was understood</h2>",
        *(f"<p>{escape(note)}</p>" for note in found["notes"]),
    )
    return whole_page(f"Capacity for the next {found['horizon']}", verdict(found), parts)


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
    return cards(
        {
            "shards": f"{found['shards']:,}",
            "proven to be needed": f"{found['shards_lower_bound']:,}",
            "price": f"{found['price']:,.6g} (at least {found['price_lower_bound']:,.6g})",
            "risk of overload, per shard and step": f"{found['risk']:.2%}",
            "what binds": f"{found['binding_resource'] or 'nothing'}",
            "when": found["binding_at"] or "",
            "order params": f"{found['order_params']:,}",
            "took": f"{found['took_s']:.2f} s",
        }
    )


def _left(found: dict[str, Any]) -> list[str]:
    named = [f"{each['order_param']} fits no shard: {each['reason']}" for each in found["leftovers"]]
    more = found["leftovers_count"] - len(named)
    return [*named, f"and {more} more order params that fit no shard"] if more else named


def _chart(found: dict[str, Any]) -> str:
    from plotly.graph_objects import Scatter  # noqa: PLC0415  slow to import

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
    drawn = chart(lines, "hours", yaxis={"title": "shards", "rangemode": "tozero"})
    return f'<p class="verdict">Shards of type {escape(found["hours"]["type"])}, each step by itself.</p>{drawn}'


def _types(found: dict[str, Any]) -> str:
    rows = (
        f'<tr><td>{escape(each["name"])}</td><td class="n">{each["shards"]}</td><td class="n">{each["price"]:g}</td>'
        f"<td>{escape(amounts(each['capacity']))}</td></tr>"
        for each in found["types"]
    )
    head = [*heads(("type", "shards", "price of one"), first_text=1), *heads(("capacity of one",), first_text=1)]
    return f"<h2>Shard types</h2>{table('Shard types', head, rows)}"


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
    rows = (
        f"<tr><td>{each['wave']}</td><td>{escape(each['order_param'])}</td><td>{escape(each['source'] or '(new)')}</td>"
        f"<td>{escape(each['destination'])}</td><td class=why>{escape(each['reason'])}</td></tr>"
        for each in moves[:MOVES_SHOWN]
    )
    more = f"<p>and {len(moves) - MOVES_SHOWN:,} more; --json lists all</p>" if len(moves) > MOVES_SHOWN else ""
    shown = table("Moves", heads(("wave", "order param", "from", "to", "why"), first_text=5), rows) + more if moves else ""
    steps = escape("; ".join(words) or "the shards there are suffice")
    return f"<h2>How to get there</h2><p>{steps}; {len(moves):,} moves, {escape(plan['quality'])}.</p>{shown}"
