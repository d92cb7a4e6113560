"""The real thing to measure: `plb serve` as a process of its own, over embedded shards, with many order params."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import numpy as np
import pandas as pd
import psutil

from plb_ray.clock import monotonic_s
from service.ports import claim_port

READY_TIMEOUT_S = 300.0
STEPS = 120


@dataclass(frozen=True)
class Service:
    """A service that is ready.

    Attributes:
        ready_s: from the start of the process to 200 of /readyz.
        names: of its order params.
    """

    port: int
    process: psutil.Process
    ready_s: float
    names: tuple[str, ...]

    def cpu_s(self):
        """Return the processor time that all its processes have used so far."""
        used_s = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used_s += times.user + times.system
        return used_s

    def memory_mb(self):
        """Return the resident memory by process name, those of one name added up."""
        found = {}
        for process in (self.process, *self.process.children(recursive=True)):
            try:
                name, mb = _name(process), process.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
            count, sum_mb = found.get(name, (0, 0.0))
            found[name] = (count + 1, sum_mb + mb)
        return found


@asynccontextmanager
async def serving(folder, order_params):
    """Run `plb serve` over so many order params with two hours of history while the block runs."""
    names = tuple(f"tenant/{number:05d}/orders" for number in range(order_params))
    port = claim_port("127.0.0.1", 0, "the benchmark")
    (folder / "plb.toml").write_text(_settings(folder, port, names))
    started_s = monotonic_s()
    plb = os.path.join(os.path.dirname(sys.executable), "plb")  # noqa: PTH118, PTH120  not resolved: it is a venv's
    log = (folder / "serve.log").open("wb")
    process = await asyncio.create_subprocess_exec(plb, "serve", "-c", str(folder / "plb.toml"), stdout=log, stderr=log)
    try:
        await _ready(port, process, folder)
        yield Service(port, psutil.Process(process.pid), monotonic_s() - started_s, names)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
        log.close()


def _settings(folder, port, names):
    """Return plb.toml; with order params their history is imported. Nothing is trained while it is measured."""
    history = ""
    if names:
        _trace(names).to_parquet(folder / "trace.parquet")
        history = f'[history]\nimport_file = "{folder}/trace.parquet"\n'
    return (
        f'state_dir = "{folder}/state"\n{history}[forecast]\nmin_history_steps = 1000000\n'
        f'[http]\nport = {port}\n[queue]\nlisten = "127.0.0.1:0"\n'
    )


def _trace(names):
    generator = np.random.default_rng(1)
    mean = 0.5 * generator.pareto(1.2, len(names)) * 60
    counts = generator.poisson(mean[:, None], (len(names), STEPS)).astype(np.float32)
    row, step = np.nonzero(counts)
    times = pd.date_range("2026-01-05T00:00:00Z", periods=STEPS, freq="60s")
    return pd.DataFrame({"order_param": np.array(names)[row], "ts": times[step], "messages": counts[row, step]})


async def _ready(port, process, folder):
    deadline_s = monotonic_s() + READY_TIMEOUT_S
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as http:
        while monotonic_s() < deadline_s and process.returncode is None:
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)
    raise RuntimeError(f"plb serve did not get ready: {(folder / 'serve.log').read_text()}")


def _name(process):
    """Return a short name of a process: of Ray's workers what they run, of others the program or module."""
    line = process.cmdline()
    text = " ".join(line)
    if text.startswith("ray::"):
        return re.split(r"[.( ]", text)[0]
    for mark in ("plb serve", "plb_ray.queues.embedded", "gcs_server", "raylet", "dashboard", "monitor"):
        if mark in text:
            return {"plb_ray.queues.embedded": "embedded shards"}.get(mark, mark)
    return process.name()
