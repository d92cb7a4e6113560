"""Figures of a phase of ticks, and their table."""

import numpy as np

COLUMNS = ("phase", "ticks", "p50_ms", "p99_ms", "max_ms", "by_network")


def summary(phase: str, seconds: np.ndarray, by_network: float) -> dict:
    """Return what is shown of (N,) seconds; N >= 1."""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {
        "phase": phase,
        "ticks": len(seconds),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "max_ms": round(float(seconds.max()) * 1000, 1),
        "by_network": round(by_network, 3),
    }


def table(rows: list[dict]) -> str:
    """Return one line per phase."""
    cells = [COLUMNS, *(tuple(str(row[name]) for name in COLUMNS) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
