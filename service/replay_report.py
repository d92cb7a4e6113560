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
        "verdict": verdict(replay),
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


def verdict(replay: Replay) -> dict[str, float | None]:
    """Return the shares that a replay is about; None where an arm is missing, or there is nothing to save.

    Excess is without what single order params larger than a shard bring. `of_reactive` is how much less predicting leaves
    than the best reactive run; `of_reactive_with_as_few_moves` than the best of those with no more migrations than it;
    `of_oracle` its part of the oracle's saving over hashing; `of_shard_hours` how many fewer the elastic arm needs than
    static-peak.
    """
    left = {arm: _left(replay, runs[0]) for arm, runs in replay.runs.items()}
    hours = {arm: runs[0].result.totals.shard_s for arm, runs in replay.runs.items()}
    predictive = left.get("predictive")
    few = _reactive_with_as_few_moves(replay)
    static, oracle = left.get("static"), left.get("oracle")
    return {
        "of_reactive": _less(predictive, left.get("reactive")),
        "of_reactive_with_as_few_moves": _less(predictive, few),
        "of_oracle": _part(static, predictive, oracle),
        "of_shard_hours": _less(hours.get("elastic"), hours.get("static-peak")),
    }


def _left(replay: Replay, run: Run) -> float:
    return max(0.0, run.result.totals.excess_messages - replay.unavoidable)


def _reactive_with_as_few_moves(replay: Replay) -> float | None:
    if not {"reactive", "predictive"} <= replay.runs.keys():
        return None
    most = replay.reported("predictive").result.totals.migrations
    return min((_left(replay, run) for run in replay.runs["reactive"] if run.result.totals.migrations <= most), default=None)


def _less(one: float | None, other: float | None) -> float | None:
    """Return by what share one is less than the other."""
    return None if one is None or not other else 1 - one / other


def _part(worst: float | None, found: float | None, best: float | None) -> float | None:
    if worst is None or found is None or best is None or worst <= best:
        return None
    return (worst - found) / (worst - best)


SENTENCES = {
    "of_reactive": (
        "Predicting leaves {:.0%} less avoidable excess than the best reactive setting.",
        "Predicting leaves {:.1f} times the avoidable excess of the best reactive setting.",
    ),
    "of_reactive_with_as_few_moves": (
        "It leaves {:.0%} less than the best reactive setting with no more migrations than it.",
        "It leaves {:.1f} times that of the best reactive setting with no more migrations than it.",
    ),
    "of_oracle": (
        "It reaches {:.0%} of what knowing the future would save over hashing.",
        "Knowing the future would save over hashing; predicting does not.",
    ),
    "of_shard_hours": (
        "Elastic shards need {:.0%} fewer shard-hours than as many as hashing needs at the peak.",
        "Elastic shards need {:.1f} times the shard-hours of as many as hashing needs at the peak.",
    ),
}
"""What is said of a share: of a gain, and of a loss, which is told as how many times the other one it is."""


def words(replay: Replay) -> list[str]:
    """Return what the figures say, in sentences."""
    said = [
        better.format(share) if share >= 0 else worse.format(1 - share)
        for name, (better, worse) in SENTENCES.items()
        if (share := verdict(replay)[name]) is not None
    ]
    if replay.unavoidable > 0:
        said.append(
            f"{replay.unavoidable:,.0f} messages over capacity are of single order params larger than a shard; no mapping "
            "takes them away."
        )
    return said
