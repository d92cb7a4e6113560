"""What a benchmark ran on: written beside every figure."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("numpy", "numba", "ortools")


def machine() -> dict[str, str]:
    """Return the processor, its cores, the memory, and the versions of what computes."""
    return {
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory_gb": f"{psutil.virtual_memory().total / 1e9:.0f}",
        "load_at_start": f"{os.getloadavg()[0]:.2f}",
        "system": platform.system(),
        "python": platform.python_version(),
    } | {package: version(package) for package in PACKAGES}


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
