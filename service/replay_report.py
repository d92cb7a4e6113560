"""What a replay found: as the JSON document, and as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from service.replay_run import Replay, Run

COLUMNS = (
    "headroom",
    "over capacity (shard-s)",
    "excess messages",
    "avoidable",
    "p99 (s)",
    "p99.9 (s)",
    "migrations",
    "thrash",
    "shard-hours",
)


def document(replay: Replay) -> dict[str, Any]:
    """Return the figures; see docs/replay.md."""
    on = replay.field
    return {
        "shards": len(on.rates),
        "bins": on.bins,
        "step_s": on.trace.step_s,
        "shard_messages_per_s": [float(rate) for rate in on.rates],
        "unavoidable_messages": replay.unavoidable,
        "forecast_s": replay.forecast_s,
        "source": replay.source,
        "arms": {arm: _arm(runs) for arm, runs in replay.runs.items()},
    }


def _arm(runs: list[Run]) -> dict[str, Any]:
    figures = _figures(runs[0])
    if runs[0].headroom is not None:
        figures["frontier"] = [_figures(each) for each in sorted(runs, key=lambda run: run.headroom or 0.0)]
    return figures


def _figures(run: Run) -> dict[str, Any]:
    totals = run.result.totals
    figures: dict[str, Any] = {
        "overload_shard_seconds": totals.overload_shard_s,
        "excess_messages": totals.excess_messages,
        "delay_s": {"p50": totals.delay_s(0.5), "p99": totals.delay_s(0.99), "p999": totals.delay_s(0.999)},
        "migrations": totals.migrations,
        "bytes_moved": totals.moved_bytes,
        "shard_hours": totals.shard_s / 3600,
        "thrash_pct": 100 * run.result.thrash,
        "elapsed_s": run.result.elapsed_s,
    }
    if run.headroom is not None:
        figures |= {"headroom": run.headroom, "measured_ticks": run.result.measured_ticks}
    return figures


def table(replay: Replay) -> Table:
    """Return an arm a row."""
    from rich.table import Table  # noqa: PLC0415  only to show

    shown = Table("arm", title=f"{replay.field.trace.name}: {replay.field.bins} bins on {len(replay.field.rates)} shards")
    for name in COLUMNS:
        shown.add_column(name, justify="right")
    for arm, runs in replay.runs.items():
        totals, first = runs[0].result.totals, runs[0]
        shown.add_row(
            arm,
            f"{first.headroom:.2f}" if first.headroom is not None else "",
            f"{totals.overload_shard_s:,.0f}",
            f"{totals.excess_messages:,.0f}",
            f"{max(0.0, totals.excess_messages - replay.unavoidable):,.0f}",
            f"{totals.delay_s(0.99):,.2f}",
            f"{totals.delay_s(0.999):,.2f}",
            f"{totals.migrations:,}",
            f"{100 * first.result.thrash:.1f} %",
            f"{totals.shard_s / 3600:,.0f}",
        )
    return shown


def words(replay: Replay) -> list[str]:
    """Return what the figures say, in sentences."""
    found = {arm: runs[0].result.totals.excess_messages - replay.unavoidable for arm, runs in replay.runs.items()}
    said = []
    if {"reactive", "predictive"} <= found.keys() and found["reactive"] > 0:
        share = 1 - found["predictive"] / found["reactive"]
        said.append(f"Predicting takes away {share:.0%} of the avoidable excess that the best reactive setting leaves.")
    if {"static", "predictive", "oracle"} <= found.keys() and found["static"] > found["oracle"]:
        share = (found["static"] - found["predictive"]) / (found["static"] - found["oracle"])
        said.append(f"It reaches {share:.0%} of what knowing the future would save over hashing.")
    if replay.unavoidable > 0:
        said.append(
            f"{replay.unavoidable:,.0f} messages over capacity are of single order params larger than a shard; no mapping "
            "takes them away."
        )
    return said
