"""A coordinator as a process of its own: `python -m tests.queue_bench.coordinator_main JOURNAL SHARD=HOST:PORT ...`.

Prints `ready HOST:PORT`; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from plb_ray.clock import WallClock
from plb_ray.journal.journal import open_journal
from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings
from plb_ray.rpc.queue_control import QueueControlServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.shard_client import ShardClient

SETTINGS = CoordinatorSettings(migrations_in_flight=64, migrations_per_shard=64)


async def serve(journal_file: str, shards: list[str]) -> None:
    journal = await open_journal(Path(journal_file))
    ports = [ShardClient(*shard.split("=", 1)) for shard in shards]
    coordinator = Coordinator(ports, journal, journal.mapping, WallClock(), SETTINGS)
    await coordinator.start()
    server = await start_server("127.0.0.1:0", {"QueueControl": QueueControlServicer(coordinator)}, "QueueControl")
    print(f"ready {server.endpoint}", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)
    await coordinator.close()
    await asyncio.gather(*(port.close() for port in ports))
    await journal.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2:]))
