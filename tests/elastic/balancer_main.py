"""The balancer of `plb serve` as an OS process, which kills itself right after a step was written to `fleet.json`.

    python -m tests.elastic.balancer_main FOLDER LISTEN STAGE SHARD=HOST:PORT ...

STAGE: starting, serving, draining, gone (taken out of the list), or never.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from plb_ray.queues import embedded_provider
from plb_ray.queues.fleet_file import write_fleet
from plb_ray.settings import BalancerSettings, ElasticSettings, ForecastSettings, QueueSettings, Settings, ShardAddress
from service.wiring import BalancerSpec, ReplayTime, build_balancer

STEP_S, SPEED, RATE_PER_S = 60, 60.0, 200.0


def dying_at(stage):
    """Write the fleet for real, and die as the machine's power would make it, once this stage stands in it."""
    seen = set()

    def write(folder, fleet):
        write_fleet(folder, fleet)
        stages = {shard.stage.value for shard in fleet.shards.values()}
        seen.update(fleet.shards)
        if stage in stages or (stage == "gone" and seen - set(fleet.shards)):
            os.kill(os.getpid(), signal.SIGKILL)

    return write


async def main(folder, listen, stage, *shards):
    embedded_provider.write_fleet = dying_at(stage)
    path = Path(folder)
    elastic = ElasticSettings(enabled=True, min_shards=2, max_shards=3, lead_s=60.0, dwell_s=120.0)
    settings = Settings(
        state_dir=path,
        balancer=BalancerSettings(mode="predictive", step_s=STEP_S),
        queue=QueueSettings(listen=listen, count=2, service_rate_per_s=RATE_PER_S),
        elastic=elastic,
        forecast=ForecastSettings(min_history_steps=1_000_000),
    )
    addresses = tuple(ShardAddress(*shard.split("=", 1)) for shard in shards)
    anchor = path / "anchor"
    time = ReplayTime(float((path / "start").read_text()), SPEED, anchor)
    runtime = await build_balancer(BalancerSpec(settings, addresses, time, on_ray=False))
    await runtime.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
