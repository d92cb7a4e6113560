"""The record of a balancer as `plb serve` builds it, over real shards: what is learned and done outlives a restart."""

from __future__ import annotations

import asyncio

import pytest

from plb_ray.client import Producer, QueueResolver
from plb_ray.domain.audit import AuditQuery
from plb_ray.domain.migration import MigrationRequest
from plb_ray.settings import BalancerSettings, QueueSettings, Settings
from service.launch import shard_processes
from service.wiring import BalancerSpec, build_balancer

NAMES = ("small", "large ☕")
MESSAGES = 300


async def produced(endpoint):
    """Send messages of two sizes, all acknowledged by the shards."""
    resolver = QueueResolver(endpoint)
    producer = Producer(resolver, "test")
    for name, size in zip(NAMES, (100, 2000), strict=True):
        await producer.send(name, [b"x" * size] * MESSAGES)
    await producer.close()
    await resolver.close()


@pytest.mark.shards
async def test_costs_and_the_audit_log_outlive_a_restart(tmp_path):
    """After traffic, a migration and a restart: the same costs and bands, and an entry that says how the migration ended."""
    settings = Settings(tmp_path / "state", BalancerSettings(step_s=60), QueueSettings(listen="127.0.0.1:0"))
    async with shard_processes(2, tmp_path / "shards", 0.0) as shards:
        runtime = await build_balancer(BalancerSpec(settings, shards, order_params=NAMES, on_ray=False))
        balancer = runtime.balancer
        await balancer.tick()
        await produced((await balancer.status()).queue_endpoint)
        await asyncio.sleep(0.1)  # two looks need some time between them
        await balancer.tick()
        costs = await balancer.costs("", 10, 0)
        payloads = {each.order_param: each.payload_bytes for each in costs.items}
        assert payloads["large ☕"] > 5 * payloads["small"] > 0
        placement = (await balancer.mapping()).placements["small"]
        other = next(shard.shard_id for shard in (await balancer.status()).shards if shard.shard_id != placement.owner)
        await balancer.migrate(MigrationRequest("by-hand", "small", placement.owner, other))
        async with asyncio.timeout(20):
            while not (ended := await balancer.audit_log(AuditQuery(action="migration.ended"))):  # noqa: ASYNC110  a poll
                await asyncio.sleep(0.05)
        await runtime.close()
        runtime = await build_balancer(BalancerSpec(settings, shards, order_params=NAMES, on_ray=False))
        await runtime.balancer.tick()
        assert await runtime.balancer.costs("", 10, 0) == costs
        assert await runtime.balancer.audit_log(AuditQuery(action="migration.ended")) == ended
        await runtime.close()
    assert [(each.target, each.outcome) for each in ended] == [("by-hand", "done")]
