"""The small queue, its shards' data planes and its adapter as one process.

    python -m tests.own_queue --data queue.sqlite --shard a=500 --shard b=500 --listen 127.0.0.1:7070

Prints `ready HOST:PORT` when QueueControl is served there; SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from plb_ray.rpc.server import start_server
from tests.own_queue.adapter import Adapter
from tests.own_queue.data_plane import DataPlane, Described
from tests.own_queue.small_queue import Shard, SmallQueue


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the queue's SQLite file")
    parser.add_argument("--shard", action="append", required=True, help="NAME=MESSAGES_PER_SECOND; once per shard")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT of QueueControl; port 0 takes a free one")
    asked = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    queue = SmallQueue(asked.data, [Shard(name, float(rate)) for name, _, rate in (s.partition("=") for s in asked.shard)])
    servers = []
    for shard in queue.shards.values():
        services = {"ShardControl": Described(shard), "ShardData": DataPlane(queue, shard.shard_id)}
        servers.append(await start_server("127.0.0.1:0", services, shard.shard_id))
        shard.endpoint = servers[-1].endpoint
    servers.append(await start_server(asked.listen, {"QueueControl": Adapter(queue)}, "the adapter"))
    print(f"ready {servers[-1].endpoint}", flush=True)  # noqa: T201 - the promise of this process
    await stop.wait()
    await asyncio.gather(*(server.stop() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
