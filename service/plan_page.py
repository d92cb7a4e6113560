"""One HTML page about a plan that needs nothing else to be shown: summary, utilisation, cost and bound, moves."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from service.plan_report import STATUS_WORDS, TERMINATION_WORDS
from service.plan_screen import percent

if TYPE_CHECKING:
    from service.plan_report import Outcome

MOVES_SHOWN = 2000
SHARDS_SHOWN = 400
BEFORE, AFTER, LIMIT = "#b8bec9", "#2563eb", "#dc2626"
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1.5rem;color:#1f2430}
h1{font-size:1.5rem;margin-bottom:.2rem} h2{font-size:1.1rem;margin:2rem 0 .5rem} .verdict{color:#4b5263;margin-top:0}
table{border-collapse:collapse;width:100%} th{text-align:left;color:#6b7280;font-weight:500;font-size:.85rem}
th,td{padding:.35rem .75rem .35rem 0;border-bottom:1px solid #e5e7eb;vertical-align:top} td.n{white-space:nowrap}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1.25rem 0}
.card{border:1px solid #e5e7eb;border-radius:.5rem;padding:.7rem .9rem}
.card b{display:block;font-size:1.25rem;font-weight:600;overflow-wrap:anywhere} .card span{color:#6b7280;font-size:.85rem}
.stays{border-left:3px solid #d97706;padding-left:.75rem}
"""


def page(outcome: Outcome) -> str:
    """Return the page; it holds plotly itself (about 4.5 MB) and asks no network."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  4.5 MB, needed here alone

    plan, mode = outcome.plan, outcome.problem.mode.value
    verdict = f"{STATUS_WORDS[plan.status]}. Stopped because {TERMINATION_WORDS[plan.termination]}."
    return "".join(
        (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Plan ({mode})</title><style>{STYLE}</style>',
            f"<script>{get_plotlyjs()}</script></head><body>",
            f'<h1>Plan: {mode}</h1><p class="verdict">{escape(verdict)}</p>',
            _cards(outcome),
            _stays(outcome),
            _shards_chart(outcome),
            _cost_chart(outcome),
            _moves(outcome),
            "</body></html>\n",
        )
    )


def _cards(outcome: Outcome) -> str:
    plan = outcome.plan
    cards = {
        "overload": f"{plan.overload_before:,.4g} → {plan.overload_after:,.4g}",
        "broken rules": f"{plan.broken_before:,} → {plan.broken_after:,}",
        "highest utilisation": f"{percent(outcome.before.peak.max(initial=0.0))} → {percent(plan.max_utilisation)}",
        "moves": f"{len(plan.moves):,} of {len(outcome.problem.order_params):,}",
        "migration cost": f"{plan.cost:,.6g}",
        "gap to the proven bound": f"{plan.gap:.2%}",
        "checked by the verifier": "yes",
        "took": f"{outcome.elapsed_s:.2f} s",
    }
    return f'<div class="cards">{"".join(_card(*each) for each in cards.items())}</div>'


def _card(name: str, value: str) -> str:
    return f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _stays(outcome: Outcome) -> str:
    if not outcome.plan.unresolved:
        return ""
    return "<h2>What stays, and why</h2>" + "".join(
        f'<p class="stays">{escape(each)}</p>' for each in outcome.plan.unresolved
    )


def _shards_chart(outcome: Outcome) -> str:
    """Return before and after per shard, the hottest (before or after) first, and each shard's limit."""
    from plotly.graph_objects import Bar, Figure, Scatter  # noqa: PLC0415  slow to import

    problem = outcome.problem
    if not problem.shards:
        return "<p>There are no shards.</p>"
    hottest = np.argsort(-np.maximum(outcome.before.peak, outcome.after.peak), kind="stable")[:SHARDS_SHOWN]
    names = [problem.shards[shard] for shard in hottest.tolist()]
    binds = [_binds(outcome, shard) for shard in hottest.tolist()]
    figure = Figure(
        [
            Bar(name="before", x=names, y=_shares(outcome.before.peak[hottest]), marker_color=BEFORE),
            Bar(name="after", x=names, y=_shares(outcome.after.peak[hottest]), marker_color=AFTER, hovertext=binds),
            Scatter(
                name="limit",
                x=names,
                y=problem.headroom[hottest].tolist(),
                mode="lines",
                line={"color": LIMIT, "dash": "dot"},
            ),
        ]
    )
    figure.update_layout(barmode="group", bargap=0.25, height=420, yaxis_tickformat=".0%", hovermode="x unified")
    figure.update_xaxes(type="category")
    shown = f", the {SHARDS_SHOWN} hottest of {len(problem.shards):,}" if len(problem.shards) > SHARDS_SHOWN else ""
    return f"<h2>Utilisation of each shard, highest over resources and steps{shown}</h2>{_drawn(figure, 'utilisation')}"


def _shares(values: np.ndarray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _binds(outcome: Outcome, shard: int) -> str:
    step, each = outcome.after.binding(shard)
    return f"{escape(outcome.problem.resources[each])}, {escape(outcome.problem.words.steps[step])}"


def _cost_chart(outcome: Outcome) -> str:
    from plotly.graph_objects import Bar, Figure  # noqa: PLC0415  slow to import

    plan = outcome.plan
    costs = [plan.bound, plan.cost]
    figure = Figure([Bar(x=costs, y=["proven to be needed", "this plan"], orientation="h", marker_color=[BEFORE, AFTER])])
    figure.update_traces(text=[f"{cost:,.6g}" for cost in costs], textposition="auto")
    figure.update_layout(height=180, xaxis_rangemode="tozero")
    return f"<h2>Migration cost and its lower bound</h2>{_drawn(figure, 'cost')}"


def _drawn(figure: object, name: str) -> str:
    figure.update_layout(  # type: ignore[attr-defined]
        template="plotly_white", margin={"l": 60, "r": 20, "t": 20, "b": 60}, legend={"orientation": "h", "y": 1.1}
    )
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config={"displaylogo": False})  # type: ignore[attr-defined]
    return html


def _moves(outcome: Outcome) -> str:
    moves = outcome.plan.moves
    if not moves:
        return "<h2>Moves</h2><p>None.</p>"
    head = "".join(f"<th>{name}</th>" for name in ("wave", "order param", "from", "to", "why"))
    rows = "".join(
        f"<tr><td>{move.wave}</td><td>{escape(move.order_param)}{f' segment {move.segment}' if move.segment else ''}</td>"
        f'<td class="n">{escape(move.source)}</td><td class="n">'
        f"{escape(f'{move.via} → ' if move.via else '')}{escape(move.destination)}</td><td>{escape(move.reason)}</td></tr>"
        for move in moves[:MOVES_SHOWN]
    )
    more = f"<p>and {len(moves) - MOVES_SHOWN:,} more; --json lists all</p>" if len(moves) > MOVES_SHOWN else ""
    return f"<h2>Moves, in the order to carry them out</h2><table><tr>{head}</tr>{rows}</table>{more}"
