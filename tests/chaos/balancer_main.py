"""The balancer as an OS process: the real coordinator, its journal on disk, QueueControl, and a gate around all it does.

    python -m tests.chaos.balancer_main JOURNAL LISTEN LEASE_MS SHARD=HOST:PORT ...

Words of the driver: arm (order_param, where), open, passed (order_param).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

from tests.chaos import jumping_clock, lines


async def main(path, listen, lease_ms, *shards):
    from plb_ray.clock import WallClock  # noqa: PLC0415 - after the clock was replaced, like all below
    from plb_ray.journal.journal import open_journal  # noqa: PLC0415
    from plb_ray.migration.settings import MigrationSettings  # noqa: PLC0415
    from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings  # noqa: PLC0415
    from plb_ray.rpc.queue_control import QueueControlServicer  # noqa: PLC0415
    from plb_ray.rpc.server import start_server  # noqa: PLC0415
    from plb_ray.rpc.shard_client import ShardClient  # noqa: PLC0415
    from tests.chaos.gate import Gate, Gated  # noqa: PLC0415

    gate = Gate()
    async with contextlib.AsyncExitStack() as stack:
        journal = await open_journal(Path(path))
        stack.push_async_callback(journal.close)
        ports = [ShardClient(*shard.split("=", 1)) for shard in shards]
        for port in ports:
            stack.push_async_callback(port.close)
        # 0: every copy passes the same boundaries
        migration = MigrationSettings(lease_ms=int(lease_ms), tail_messages=0)
        settings = CoordinatorSettings(answer_s=1.0, survey_s=2.0, migration=migration)
        gated = [Gated(port, port.shard_id, gate) for port in ports]
        coordinator = Coordinator(
            gated, Gated(journal, "journal", gate), Gated(journal.mapping, "mapping", gate), WallClock(), settings
        )
        stack.push_async_callback(coordinator.close)
        await coordinator.start()
        server = await start_server(listen, {"QueueControl": QueueControlServicer(coordinator)}, "QueueControl")
        stack.push_async_callback(server.stop, 0)
        lines.say("ready", endpoint=server.endpoint)
        await obey(gate)


async def obey(gate):
    async for word in lines.words():
        match word.pop("do"):
            case "arm":
                gate.arm(**word)
                lines.say("armed")
            case "open":
                gate.open()
            case "passed":
                lines.say("passed", boundaries=gate.passed[word["order_param"]])


if __name__ == "__main__":
    lines.die_with_parent()
    jumping_clock.install()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main(*sys.argv[1:]))
