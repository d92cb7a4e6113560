"""What a demo ends with: the table for people, and the same figures as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from plb_ray.domain.migration import MigrationStep

if TYPE_CHECKING:
    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.simulation.traffic import TrafficReport


@dataclass(frozen=True)
class ArmResult:
    """One arm's traffic and migrations."""

    arm: str
    traffic: TrafficReport
    migrations: tuple[MigrationRecord, ...]

    @property
    def completed(self) -> int:
        """Migrations that are done."""
        return sum(record.step is MigrationStep.DONE for record in self.migrations)

    @property
    def rolled_back(self) -> int:
        """Migrations that were undone before their commit point."""
        return sum(record.step is MigrationStep.ABORTED for record in self.migrations)

    def pause_ms(self, percentile: float) -> float:
        """Return a percentile of the pauses, 0 when nothing was paused."""
        pauses = [record.pause_ms for record in self.migrations if record.pause_ms is not None]
        return float(np.percentile(pauses, percentile)) if pauses else 0.0

    def document(self) -> dict[str, object]:
        """Return the figures of this arm for JSON."""
        verdict = self.traffic.verdict
        return {
            "sent": verdict.sent,
            "consumed": verdict.consumed,
            "order_violations": verdict.order_violations,
            "lost": verdict.lost,
            "duplicates": verdict.duplicates,
            "overload_shard_seconds": round(self.traffic.overload_shard_seconds, 3),
            "delay_ms": {name: round(value, 2) for name, value in self.traffic.delay_ms.items()},
            "migrations": {
                "planned": len(self.migrations),
                "completed": self.completed,
                "rolled_back": self.rolled_back,
            },
            "pause_ms": {"p50": round(self.pause_ms(50), 2), "p99": round(self.pause_ms(99), 2)},
        }


def result_table(results: list[ArmResult]) -> Table:
    """Return one column per arm, one row per figure."""
    table = Table(title="identical traffic, with and without plb-ray", title_justify="left")
    table.add_column("")
    for result in results:
        table.add_column(result.arm, justify="right")
    rows = {
        "messages sent": [f"{result.traffic.verdict.sent:,}" for result in results],
        "messages consumed": [f"{result.traffic.verdict.consumed:,}" for result in results],
        "order violations": [str(result.traffic.verdict.order_violations) for result in results],
        "lost": [str(result.traffic.verdict.lost) for result in results],
        "duplicated": [str(result.traffic.verdict.duplicates) for result in results],
        "shard-seconds over capacity": [f"{result.traffic.overload_shard_seconds:.1f}" for result in results],
        "delay p50 (ms)": [f"{result.traffic.delay_ms['p50']:,.1f}" for result in results],
        "delay p99 (ms)": [f"{result.traffic.delay_ms['p99']:,.1f}" for result in results],
        "delay max (ms)": [f"{result.traffic.delay_ms['max']:,.1f}" for result in results],
        "migrations done": [f"{result.completed} of {len(result.migrations)}" for result in results],
        "migrations rolled back": [str(result.rolled_back) for result in results],
        "pause p50 / p99 (ms)": [f"{result.pause_ms(50):.1f} / {result.pause_ms(99):.1f}" for result in results],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table
