"""`python -m tests.elastic`: the balancer is killed by SIGKILL at each written step of a shard's life, under traffic.

One shard comes and goes; whoever finds the state folder goes on: it has left at the end, every message was delivered once
and in order. It exits with 1 if not.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from plb_ray.client import QueueResolver
from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.errors import PortInUseError
from plb_ray.queues.fleet_file import read_fleet
from service.launch import shard_processes
from service.ports import claim_port
from tests.elastic.balancer_main import RATE_PER_S, STEP_S
from tests.elastic.elastic_queue import PacedTraffic

NAMES = tuple(f"op-{number}" for number in range(12))
UP_PER_S, DOWN_PER_S = 37.0, 12.0
LIFE = (("starting", UP_PER_S), ("serving", UP_PER_S), ("draining", DOWN_PER_S), ("gone", DOWN_PER_S))
PATIENCE_S = 120.0


async def run(folder):
    """Return what is wrong, in words; empty if nothing is."""
    listen = f"127.0.0.1:{_port()}"
    start_s = int(wall_time_s()) // STEP_S * STEP_S
    (folder / "start").write_text(str(start_s))
    (folder / "anchor").write_text(repr(wall_time_s()))
    async with shard_processes(2, folder / "base", RATE_PER_S) as base:
        arguments = [f"{shard.shard_id}={shard.endpoint}" for shard in base]

        async def balancer(stage):
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.elastic.balancer_main", str(folder), listen, stage, *arguments
            )

        child = await balancer(LIFE[0][0])
        try:
            return await _life(folder, listen, child, balancer)
        finally:
            await _end(folder)


async def _life(folder, listen, child, balancer):
    await _answers(listen)
    traffic = PacedTraffic(SimpleNamespace(endpoint=listen), NAMES)
    traffic.per_s, traffic.timeout_s = DOWN_PER_S, PATIENCE_S * len(LIFE)
    async with traffic.running():
        for number, (stage, per_s) in enumerate(LIFE):
            traffic.per_s, began_s = per_s, monotonic_s()
            async with asyncio.timeout(PATIENCE_S):
                code = await child.wait()
            if code != -signal.SIGKILL:
                return f"the balancer that was to die at {stage} ended with {code}"
            fleet = {shard.shard_id: shard.stage.value for shard in read_fleet(folder).shards.values()}
            _say(f"killed at {stage} after {monotonic_s() - began_s:.1f} s; written: {fleet or 'nothing'}")
            following = LIFE[number + 1][0] if number + 1 < len(LIFE) else "never"
            child = await balancer(following)
            _CHILD[:] = [child]
        await traffic.sent(2000)
        left = read_fleet(folder).shards
    verdict = traffic.checker.verdict()
    _say(
        f"{verdict.sent} messages, {verdict.lost} lost, {verdict.duplicates} twice, {verdict.order_violations} out of order"
    )
    if left:
        return f"a shard has not left: {sorted(left)}"
    return "" if verdict.clean and verdict.sent == verdict.consumed else f"not clean: {verdict.examples}"


_CHILD: list[asyncio.subprocess.Process] = []


async def _end(_folder):
    for child in _CHILD:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _answers(listen):
    """Return when QueueControl answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            resolver = QueueResolver(listen)
            try:
                if await resolver.endpoints():
                    return
            except Exception:  # noqa: BLE001  it is starting
                await asyncio.sleep(0.2)
            finally:
                await resolver.close()


def _port():
    """Return a free port that no client gets as its own: one that tries again and again to connect could take it."""
    for port in range(21_000, 30_000):
        try:
            return claim_port("127.0.0.1", port, "QueueControl")
        except PortInUseError:
            continue
    raise AssertionError


def _say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main():
    with tempfile.TemporaryDirectory(prefix="plb-elastic-") as folder:
        wrong = asyncio.run(run(Path(folder)))
    _say(wrong or "as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
