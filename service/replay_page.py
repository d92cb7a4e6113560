"""One HTML page about a replay that needs nothing else to be shown: the arms, the frontier, and the course of time."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from service.replay_report import document, words
from service.report_frame import chart, heads, table, whole_page

if TYPE_CHECKING:
    from service.replay_run import Replay

COLOURS = {
    "static": "#8a95a3",
    "static-peak": "#db2777",
    "reactive": "#d97706",
    "predictive": "#2563eb",
    "oracle": "#059669",
    "elastic": "#7c3aed",
}
COLUMNS = {
    "headroom": "headroom",
    "overload_shard_seconds": "over capacity (shard-s)",
    "excess_messages": "excess messages",
    "migrations": "migrations",
    "bytes_moved": "bytes moved",
    "thrash_pct": "thrash (%)",
    "shard_hours": "shard-hours",
    "elapsed_s": "took (s)",
}


def page(replay: Replay) -> str:
    """Return the page; it holds plotly itself (about 4.5 MB) and asks no network."""
    parts = (
        "<h2>Arms</h2>",
        _arms(replay),
        "<h2>Excess against migrations</h2>",
        '<p class="how">Each dot is a run at one headroom; down and to the left is better.</p>',
        _frontier(replay),
        "<h2>Messages waiting</h2>",
        _course(replay),
    )
    return whole_page(f"Replay: {replay.field.trace.name}", " ".join(words(replay)), parts)


def _arms(replay: Replay) -> str:
    head = heads(("arm", *COLUMNS.values(), "delay p50 / p99 / p99.9 (s)"), first_text=1)
    return table("Arms", head, (_row(arm, figures) for arm, figures in document(replay)["arms"].items()))


def _row(arm: str, figures: dict[str, Any]) -> str:
    delays = " / ".join(f"{value:,.2f}" for value in figures["delay_s"].values())
    cells = "".join(f'<td class="n">{_number(figures[key])}</td>' if key in figures else "<td></td>" for key in COLUMNS)
    return f'<tr><td class="name">{escape(arm)}</td>{cells}<td class="n">{delays}</td></tr>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _frontier(replay: Replay) -> str:
    from plotly.graph_objects import Scatter  # noqa: PLC0415  slow to import

    lines = []
    for arm, runs in replay.runs.items():
        ordered = sorted(runs, key=lambda run: run.result.totals.migrations)
        lines.append(
            Scatter(
                name=arm,
                x=[run.result.totals.migrations for run in ordered],
                y=[run.result.totals.excess_messages for run in ordered],
                text=[f"headroom {run.headroom}" if run.headroom else "" for run in ordered],
                mode="lines+markers",
                line={"color": COLOURS[arm]},
            )
        )
    return chart(lines, "frontier", xaxis_title="migrations", yaxis_title="messages over capacity", hovermode="closest")


def _course(replay: Replay) -> str:
    from plotly.graph_objects import Scatter  # noqa: PLC0415  slow to import

    trace = replay.field.trace
    start_s = trace.start_s + replay.field.first_bin * trace.step_s
    times = [datetime.fromtimestamp(start_s + number * trace.step_s, UTC) for number in range(replay.field.bins)]
    lines = [
        Scatter(name=arm, x=times, y=runs[0].result.waiting.tolist(), line={"color": COLOURS[arm], "width": 1.6})
        for arm, runs in replay.runs.items()
    ]
    return chart(lines, "course", yaxis_title="messages waiting at the end of the bin")
