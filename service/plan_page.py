"""One HTML page about a plan that needs nothing else to be shown: summary, utilisation, cost and bound, moves."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from service.plan_report import STATUS_WORDS, TERMINATION_WORDS
from service.plan_screen import percent
from service.report_frame import cards, chart, heads, table, whole_page

if TYPE_CHECKING:
    from service.plan_report import Outcome

MOVES_SHOWN = 2000
SHARDS_SHOWN = 400
BEFORE, AFTER, LIMIT = "#9aa6b4", "#2563eb", "#dc2626"


def page(outcome: Outcome) -> str:
    """Return the page; it holds plotly itself (about 4.5 MB) and asks no network."""
    plan = outcome.plan
    verdict = f"{STATUS_WORDS[plan.status]}. Stopped because {TERMINATION_WORDS[plan.termination]}."
    parts = (_cards(outcome), _stays(outcome), _shards_chart(outcome), _cost_chart(outcome), _moves(outcome))
    return whole_page(f"Plan: {outcome.problem.mode.value}", verdict, parts)


def _cards(outcome: Outcome) -> str:
    plan = outcome.plan
    return cards(
        {
            "overload": f"{plan.overload_before:,.4g} → {plan.overload_after:,.4g}",
            "broken rules": f"{plan.broken_before:,} → {plan.broken_after:,}",
            "highest utilisation": f"{percent(outcome.before.peak.max(initial=0.0))} → {percent(plan.max_utilisation)}",
            "moves": f"{len(plan.moves):,} of {len(outcome.problem.order_params):,}",
            "migration cost": f"{plan.cost:,.6g}",
            "gap to the proven bound": f"{plan.gap:.2%}",
            "checked by the verifier": "yes",
            "took": f"{outcome.elapsed_s:.2f} s",
        }
    )


def _stays(outcome: Outcome) -> str:
    if not outcome.plan.unresolved:
        return ""
    return "<h2>What stays, and why</h2>" + "".join(
        f'<p class="stays">{escape(each)}</p>' for each in outcome.plan.unresolved
    )


def _shards_chart(outcome: Outcome) -> str:
    """Return before and after per shard, the hottest (before or after) first, and each shard's limit."""
    from plotly.graph_objects import Bar, Scatter  # noqa: PLC0415  slow to import

    problem = outcome.problem
    if not problem.shards:
        return "<p>There are no shards.</p>"
    hottest = np.argsort(-np.maximum(outcome.before.peak, outcome.after.peak), kind="stable")[:SHARDS_SHOWN]
    names = [problem.shards[shard] for shard in hottest.tolist()]
    binds = [_binds(outcome, shard) for shard in hottest.tolist()]
    limits, dotted = problem.headroom[hottest].tolist(), {"color": LIMIT, "dash": "dot"}
    traces = [
        Bar(name="before", x=names, y=_shares(outcome.before.peak[hottest]), marker_color=BEFORE),
        Bar(name="after", x=names, y=_shares(outcome.after.peak[hottest]), marker_color=AFTER, hovertext=binds),
        Scatter(name="limit", x=names, y=limits, mode="lines", line=dotted),
    ]
    drawn = chart(
        traces,
        "utilisation",
        barmode="group",
        bargap=0.25,
        xaxis_type="category",
        yaxis={"tickformat": ".0%", "title": "share of capacity"},
    )
    shown = f", the {SHARDS_SHOWN} hottest of {len(problem.shards):,}" if len(problem.shards) > SHARDS_SHOWN else ""
    return f"<h2>Utilisation of each shard, highest over resources and steps{shown}</h2>{drawn}"


def _shares(values: np.ndarray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _binds(outcome: Outcome, shard: int) -> str:
    step, each = outcome.after.binding(shard)
    return f"{escape(outcome.problem.resources[each])}, {escape(outcome.problem.words.steps[step])}"


def _cost_chart(outcome: Outcome) -> str:
    from plotly.graph_objects import Bar  # noqa: PLC0415  slow to import

    plan = outcome.plan
    costs = [plan.bound, plan.cost]
    bar = Bar(x=costs, y=["proven<br>to be needed", "this plan"], orientation="h", marker_color=[BEFORE, AFTER])
    bar.update(text=[f"{cost:,.6g}" for cost in costs], textposition="auto")
    drawn = chart([bar], "cost", height=180, xaxis_rangemode="tozero", hovermode="y", yaxis_automargin=True)
    return f"<h2>Migration cost and its lower bound</h2>{drawn}"


def _moves(outcome: Outcome) -> str:
    moves = outcome.plan.moves
    if not moves:
        return "<h2>Moves</h2><p>None.</p>"
    rows = (
        f"<tr><td>{move.wave}</td><td>{escape(move.order_param)}{f' segment {move.segment}' if move.segment else ''}</td>"
        f'<td class="name">{escape(move.source)}</td><td class="name">'
        f"{escape(f'{move.via} → ' if move.via else '')}{escape(move.destination)}</td>"
        f'<td class="why">{escape(move.reason)}</td></tr>'
        for move in moves[:MOVES_SHOWN]
    )
    shown = table("Moves", heads(("wave", "order param", "from", "to", "why"), first_text=5), rows)
    more = f"<p>and {len(moves) - MOVES_SHOWN:,} more; --json lists all</p>" if len(moves) > MOVES_SHOWN else ""
    return f"<h2>Moves, in the order to carry them out</h2>{shown}{more}"
