"""Starting and stopping what a balancer runs on: embedded shard processes, Ray, the control actor, and the HTTP service."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from plb_ray.errors import PlbError
from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions
from plb_ray.settings import ShardAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from service.wiring import BalancerSpec

LOG = logging.getLogger("plb")
SUPERVISE_EVERY_S = 0.5


@asynccontextmanager
async def shard_processes(count: int, folder: Path, service_rate_per_s: float) -> AsyncIterator[tuple[ShardAddress, ...]]:
    """Run embedded shards while the block runs. One that dies is started again on its data and its port.

    Args:
        count: how many.
        folder: each shard keeps its data in a subfolder with its name.
        service_rate_per_s: messages each delivers per second at most; 0 does not cap.
    """
    names = [f"shard-{index}" for index in range(count)]
    shards = [ShardProcess(ShardOptions(name, folder / name, service_rate_per_s=service_rate_per_s)) for name in names]
    supervisor: asyncio.Task[None] | None = None
    try:
        await asyncio.gather(*(shard.start() for shard in shards))
        supervisor = asyncio.create_task(_restart_the_dead(shards))
        yield tuple(ShardAddress(shard.shard_id, shard.endpoint) for shard in shards)
    finally:
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait({supervisor})
        await asyncio.gather(*(shard.terminate() for shard in shards), return_exceptions=True)


async def _restart_the_dead(shards: list[ShardProcess]) -> None:
    while True:
        await asyncio.sleep(SUPERVISE_EVERY_S)
        for shard in shards:
            if not shard.running:
                LOG.warning("shard %s died; starting it again", shard.shard_id)
                try:
                    await shard.start()
                except PlbError as error:  # the next round tries again
                    LOG.warning("shard %s does not start: %s", shard.shard_id, error)


@asynccontextmanager
async def control_actor(spec: BalancerSpec) -> AsyncIterator[Any]:
    """Run the control actor while the block runs, and yield its handle. Ray must have been started.

    Raises:
        PlbError: what the start failed with.
    """
    # Ray and the solver take seconds to import, which `plb --help` need not wait for.
    from plb_ray.cluster.control_actor import start_control_actor, stop_control_actor  # noqa: PLC0415
    from service.wiring import build_balancer  # noqa: PLC0415

    handle = await asyncio.to_thread(start_control_actor, partial(build_balancer, spec))
    try:
        yield handle
    finally:
        await stop_control_actor(handle)
