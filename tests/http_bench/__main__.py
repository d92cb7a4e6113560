"""Run the benchmark of the HTTP service: `python -m tests.http_bench [--order-params N] [--seconds S] [--json FILE]`.

It starts the real `plb serve` on loopback, lets a load generator on the same cores ask it, and stops it again. Missed goals
are shown and do not fail the run: they depend on the machine, and on what else runs on it (`load_at_start`). What does not
depend on others as much is `cpu_ms`: the processor time of all processes of the service for one request, and beside it that
of the load generator, one process on the same cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.bench.cases import Goal
from tests.bench.machine import machine
from tests.bench.report import goals_text, table, verdicts
from tests.http_bench.load import load
from tests.http_bench.rig import serving

CONNECTIONS = 100
OPEN_RATE = 330.0  # offered; what is asked for is 300


class _Reads:
    goals = (
        Goal("p99_ms", "max", "<=", 50, "open loop, mix"),
        Goal("requests_per_s", "min", ">=", 300, "open loop, mix"),
        Goal("requests_per_s", "min", ">=", 300, "closed loop, mix"),
        Goal("failed", "max", "<=", 0, "open loop, mix"),
        Goal("ready_s", "max", "<=", 30, "cold start, empty"),
    )


def main(arguments=None) -> int:
    """Run what the arguments ask for; return the exit code."""
    asked = _parser().parse_args(arguments)
    about = machine()
    _say("  ".join(f"{name}: {value}" for name, value in about.items()))
    rows = uvloop.run(_measured(asked.order_params, asked.seconds))
    _say(table(rows))
    found = verdicts(_Reads, rows)
    _say(goals_text(found))
    if asked.json:
        Path(asked.json).write_text(json.dumps({"machine": about, "rows": rows, "goals": found}, indent=1), encoding="utf-8")
    return 0


async def _measured(order_params, seconds):
    rows = []
    with tempfile.TemporaryDirectory(prefix="plb-http-bench-") as folder:
        async with serving(Path(folder), 0) as service:
            rows.append({"who": "cold start, empty", "ready_s": round(service.ready_s, 1)})
            rows += _memory(service)
    with tempfile.TemporaryDirectory(prefix="plb-http-bench-") as folder:
        async with serving(Path(folder), order_params) as service:
            rows.append({"who": f"cold start, {order_params} order params imported", "ready_s": round(service.ready_s, 1)})
            rows += await _reads(service, seconds)
    return rows


def _memory(service):
    """Return the memory of each process of a service that nobody asks."""
    return [
        {"who": f"idle memory, {name}", "processes": count, "rss_mb": round(mb)}
        for name, (count, mb) in sorted(service.memory_mb().items(), key=lambda each: -each[1][1])
    ]


async def _reads(service, seconds):
    mix = _paths(service.names)
    everything = [path for paths in mix.values() for path in paths]
    await load("127.0.0.1", service.port, everything, connections=10, seconds=2)  # warm
    cases = {"mix": everything, **mix}
    rows = []
    for name, paths in cases.items():
        for loop, rate in (("open", OPEN_RATE), ("closed", None)):
            before_s, own_before_s = service.cpu_s(), time.process_time()
            found = await load("127.0.0.1", service.port, paths, connections=CONNECTIONS, seconds=seconds, rate=rate)
            per_ms = 1000 / len(found.latencies_s)
            used = {
                "cpu_ms": round((service.cpu_s() - before_s) * per_ms, 2),
                "generator_cpu_ms": round((time.process_time() - own_before_s) * per_ms, 2),
            }
            rows.append(found.row(f"{loop} loop, {name}", CONNECTIONS) | used)
    return rows


def _paths(names):
    """Return what dashboards and scripts read: the whole, pages of all order params, and single ones."""
    pages = range(0, len(names), 100)
    encoded = [name.replace("/", "%2F") for name in names[:: max(1, len(names) // 200)]]
    return {
        "status": ["/v1/status", "/v1/shards", "/v1/plans/latest", "/v1/migrations"],
        "pages": [f"/v1/order-params?sort=rate&offset={offset}" for offset in pages],
        "order params": [f"/v1/order-params/{name}" for name in encoded],
        "forecasts": [f"/v1/forecasts/{name}" for name in encoded],
    }


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.http_bench", description=__doc__)
    parser.add_argument("--order-params", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--json")
    return parser


def _say(text) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
