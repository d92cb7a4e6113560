"""The control actor on real Ray over real shards: it is killed in the middle of migrations and comes back."""

import asyncio
import contextlib
import os
import signal
from functools import partial

import pytest
from ray.exceptions import RayError

from plb_ray.client import Consumer, Producer, QueueResolver
from plb_ray.clock import monotonic_s
from plb_ray.cluster.control_actor import start_control_actor, stop_control_actor
from plb_ray.domain.migration import MigrationRequest
from plb_ray.errors import ControlUnavailableError, NotTheOwnerError, RetryableError
from plb_ray.migration.ports import Ownership
from plb_ray.rpc.shard_client import ShardClient
from plb_ray.settings import BalancerSettings, QueueSettings, Settings
from plb_ray.simulation.checker import OrderChecker
from service.launch import shard_processes
from service.ports import claim_port
from service.wiring import BalancerSpec, build_balancer

pytestmark = [pytest.mark.ray, pytest.mark.shards, pytest.mark.timeout(180)]
ORDER_PARAMS = tuple(f"k{index}" for index in range(12))
ROUNDS = 60
BACK_WITHIN_S = 30.0


def a_spec(folder, shards) -> BalancerSpec:
    endpoint = f"127.0.0.1:{claim_port('127.0.0.1', 0, 'QueueControl')}"
    settings = Settings(
        state_dir=folder,
        balancer=BalancerSettings(mode="static", migrations_in_flight=4),
        queue=QueueSettings(listen=endpoint),
    )
    return BalancerSpec(settings, shards, order_params=ORDER_PARAMS, on_ray=False)


async def back(handle, restarts: int):
    """Return the status once the actor has come back so often."""
    deadline_s = monotonic_s() + BACK_WITHIN_S
    while monotonic_s() < deadline_s:
        try:
            status = await handle.ask.remote("status")
        except RayError:
            status = None
        if status is not None and status.restarts == restarts:
            return status
        await asyncio.sleep(0.1)
    raise AssertionError(f"the control actor was not back after {BACK_WITHIN_S} s")


async def migrate_all(handle, turn: int) -> None:
    """Ask for a migration of every order param to the other shard, without waiting for their ends."""
    mapping = await handle.ask.remote("mapping")
    for name in ORDER_PARAMS:
        source = mapping.placements[name].owner
        destination = "shard-1" if source == "shard-0" else "shard-0"
        with contextlib.suppress(RetryableError):  # the cap on migrations: those asked for already are enough
            await handle.ask.remote("migrate", MigrationRequest(f"{turn}-{name}", name, source, destination, "test"))


async def traffic(resolver, checker) -> None:
    """Send to every order param in rounds, consume everything, and tell the checker."""
    producer = Producer(resolver, "test")

    def consumed(delivered) -> None:
        checker.consumed(delivered.order_param, delivered.seq, delivered.producer, delivered.producer_seq)

    consumer = Consumer(resolver.endpoints, resolver, consumed, name="test")
    consuming = asyncio.create_task(consumer.run())

    async def send(name: str) -> None:
        receipt = await producer.send(name, [b"payload"] * 5)
        checker.appended(name, receipt.last_seq, 5, receipt.shard_id, receipt.epoch)

    for _ in range(ROUNDS):
        await asyncio.gather(*(send(name) for name in ORDER_PARAMS))
        await asyncio.sleep(0.05)
    deadline_s = monotonic_s() + 30
    while checker.outstanding() and monotonic_s() < deadline_s:  # noqa: ASYNC110  bounded by time
        await asyncio.sleep(0.05)
    await consumer.stop()
    await consuming
    await producer.close()


async def owners_of(shards) -> dict[str, list[str]]:
    """Ask the shards themselves who serves what."""
    owners: dict[str, list[str]] = {name: [] for name in ORDER_PARAMS}
    for shard in shards:
        client = ShardClient(shard.shard_id, shard.endpoint)
        async for state in client.states():
            if state.ownership in (Ownership.ACTIVE, Ownership.PAUSED):
                owners[state.order_param].append(shard.shard_id)
        await client.close()
    return owners


async def settled(handle):
    """Return all migrations once none is under way."""
    deadline_s = monotonic_s() + BACK_WITHIN_S
    while monotonic_s() < deadline_s:
        records = await handle.ask.remote("migrations", 1000)
        if all(record.step.terminal for record in records):
            return records
        await asyncio.sleep(0.1)
    raise AssertionError("a migration did not end")


async def test_a_killed_control_actor_comes_back_without_two_owners_or_loss(ray_here, tmp_path):
    """SIGKILL twice amid migrations under traffic: it recovers, order holds, and each order param has one owner."""
    async with shard_processes(2, tmp_path / "shards", 0.0) as shards:
        spec = a_spec(tmp_path / "state", shards)
        handle = await asyncio.to_thread(start_control_actor, partial(build_balancer, spec))
        resolver = QueueResolver(spec.settings.queue.listen)
        checker = OrderChecker()
        try:
            running = asyncio.create_task(traffic(resolver, checker))
            for turn in (1, 2):
                await asyncio.sleep(0.5)
                pid = await handle.pid.remote()
                await migrate_all(handle, turn)
                os.kill(pid, signal.SIGKILL)
                await back(handle, restarts=turn)
            await running
            records = await settled(handle)
            owners = await owners_of(shards)
            mapping = await handle.ask.remote("mapping")
        finally:
            await resolver.close()
            await stop_control_actor(handle)
    verdict = checker.verdict()
    assert verdict.clean, verdict.examples
    assert verdict.sent == verdict.consumed == ROUNDS * len(ORDER_PARAMS) * 5
    assert {record.migration_id[0] for record in records} == {"1", "2"}
    assert owners == {name: [mapping.placements[name].owner] for name in ORDER_PARAMS}


async def test_a_second_balancer_on_the_same_state_is_refused(ray_here, tmp_path):
    """The journal has one owner; who comes second is told whose it is."""
    async with shard_processes(2, tmp_path / "shards", 0.0) as shards:
        spec = a_spec(tmp_path / "state", shards)
        first = await build_balancer(spec)
        try:
            with pytest.raises(NotTheOwnerError, match=str(os.getpid())):
                await asyncio.to_thread(start_control_actor, partial(build_balancer, spec))
        finally:
            await first.close()


async def test_a_start_that_takes_too_long_is_said(ray_here):
    """A control loop that does not come up in time is an error in words, and no actor is left that would go on trying."""
    never = partial(asyncio.sleep, 3600)
    for _ in range(2):  # the second one finds the actor's name free
        with pytest.raises(ControlUnavailableError, match=r"did not start within 0\.3 s; is the machine busy"):
            await asyncio.to_thread(start_control_actor, never, 0.3)
