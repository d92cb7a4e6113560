"""The highest resident memory of this process since it was last reset; Linux only."""

from __future__ import annotations

import gc
from pathlib import Path


def reset_peak() -> None:
    """Let the highest resident memory be that of now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """Return the highest resident memory since the last reset, in MB of 10^6 bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) * 1024 / 1e6
