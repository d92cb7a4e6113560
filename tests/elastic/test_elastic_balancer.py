"""Elastic shards as `plb serve` wires them: the whole balancer over real shards, a minute of its time in a second."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from types import SimpleNamespace

import pytest

from plb_ray.clock import wall_time_s
from plb_ray.queues.fleet_file import read_fleet
from plb_ray.settings import BalancerSettings, ElasticSettings, ForecastSettings, QueueSettings, Settings
from service.launch import shard_processes
from service.ports import claim_port
from service.wiring import BalancerSpec, ReplayTime, build_balancer
from tests.elastic.elastic_queue import PacedTraffic

pytestmark = [pytest.mark.shards, pytest.mark.timeout(240)]
NAMES = tuple(f"op-{number}" for number in range(12))
RATE_PER_S = 200.0
STEP_S, SPEED = 60, 60.0
NEVER = 1_000_000
UP_PER_S, DOWN_PER_S = 37.0, 12.0  # of each: 444/s need 2.5 shards of 180 usable messages/s; 144/s need one


def settings_of(folder, **elastic):
    asked = {"enabled": True, "min_shards": 2, "max_shards": 3, "lead_s": 60.0, "dwell_s": 120.0, **elastic}
    return Settings(
        state_dir=folder,
        balancer=BalancerSettings(mode="predictive", step_s=STEP_S),
        queue=QueueSettings(
            listen=f"127.0.0.1:{claim_port('127.0.0.1', 0, 'QueueControl')}", count=2, service_rate_per_s=RATE_PER_S
        ),
        elastic=ElasticSettings(**asked),
        forecast=ForecastSettings(min_history_steps=NEVER),
    )


@contextlib.asynccontextmanager
async def balancing(folder, settings):
    """Run two shards that stay, and the balancer over them, as `plb serve` does but for Ray; yields the balancer."""
    start_s = float(int(wall_time_s()) // STEP_S * STEP_S)
    time = ReplayTime(start_s, SPEED, folder / "anchor")
    async with shard_processes(2, folder / "base", RATE_PER_S) as shards:
        runtime = await build_balancer(BalancerSpec(settings, shards, time, on_ray=False))
        time.clock().start(wall_time_s())
        running = asyncio.create_task(runtime.run())
        try:
            yield runtime.balancer
        finally:
            running.cancel()
            await asyncio.wait({running})
            await runtime.close()


async def until(balancer, so):
    """Return the status as soon as it is so; bounded by the test's timeout."""
    while not (status := await balancer.status()).fleet or not so(status):  # noqa: ASYNC110  bounded
        await asyncio.sleep(0.2)
    return status


def lives_on(status, shard_id):
    return sum(shard.order_params for shard in status.shards if shard.shard_id == shard_id)


async def test_load_that_grows_gets_a_shard_and_load_that_falls_gives_it_back(tmp_path):
    """The status says how many shards there should be and why; one comes, takes order params, is emptied and leaves."""
    settings = settings_of(tmp_path)
    async with balancing(tmp_path, settings) as balancer:
        traffic = PacedTraffic(SimpleNamespace(endpoint=settings.queue.listen), NAMES)
        traffic.per_s = DOWN_PER_S
        async with asyncio.timeout(200), traffic.running():
            calm = await until(balancer, lambda status: status.order_params == len(NAMES))
            assert (calm.fleet.managed, calm.fleet.shards, calm.fleet.starting, calm.fleet.draining) == (True, 2, (), ())
            traffic.per_s = UP_PER_S
            grown = await until(balancer, lambda status: lives_on(status, "elastic-1"))
            assert grown.fleet.needs[0].shards == 3
            assert (await balancer.fleet()).why
            traffic.per_s = DOWN_PER_S
            leaving = await until(balancer, lambda status: status.fleet.draining)
            assert leaving.fleet.draining == ("elastic-1",)
            await until(balancer, lambda status: {shard.shard_id for shard in status.shards} == {"shard-0", "shard-1"})
            assert read_fleet(tmp_path).shards == {}
        traffic.assert_clean()


async def test_while_no_moves_are_sent_no_shard_is_started(tmp_path):
    """In a mode that only forecasts the need is said, with why nothing is done about it."""
    settings = replace(settings_of(tmp_path), balancer=BalancerSettings(mode="forecast_only", step_s=STEP_S))
    async with balancing(tmp_path, settings) as balancer:
        traffic = PacedTraffic(SimpleNamespace(endpoint=settings.queue.listen), NAMES)
        traffic.per_s = UP_PER_S
        async with asyncio.timeout(100), traffic.running():
            short = await until(balancer, lambda status: status.fleet.wanted == 3)
        assert short.fleet.error == "in mode forecast_only no shards are started or drained"
        assert read_fleet(tmp_path).shards == {}


async def test_without_elastic_shards_it_advises_all_the_same(tmp_path):
    """Nothing is started and the status says nothing of it, but the advice is there, without any limit, for hours ahead."""
    settings = settings_of(tmp_path, enabled=False, max_shards=2)
    async with balancing(tmp_path, settings) as balancer:
        traffic = PacedTraffic(SimpleNamespace(endpoint=settings.queue.listen), NAMES)
        traffic.per_s = UP_PER_S
        async with asyncio.timeout(100), traffic.running():
            while (status := await balancer.status()).ticks < 4:  # noqa: ASYNC110  bounded by the timeout
                await asyncio.sleep(0.2)
            fleet = await balancer.fleet()
        assert status.fleet is None
        assert (fleet.managed, fleet.shards, fleet.short) == (False, 2, 0)
        assert fleet.wanted >= 3
        assert fleet.needs[-1].starts_s - fleet.at_s > 20 * 3600
        assert read_fleet(tmp_path).shards == {}
        traffic.assert_clean()
