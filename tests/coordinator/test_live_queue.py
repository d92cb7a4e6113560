"""Migrations between real shard processes under traffic, while processes are killed and the coordinator crashes."""

from __future__ import annotations

import asyncio

import pytest

from plb_ray.domain.migration import MigrationStep
from plb_ray.migration.ports import Ownership
from tests.coordinator.live_queue import LiveTraffic, live_queue
from tests.migration.world import Crash

pytestmark = pytest.mark.shards
A, B = "shard-0", "shard-1"
STEPS = [step for step in MigrationStep if not step.terminal]


async def assert_served_by(live, order_param, shard_id, epoch):
    placement = (await live.coordinator.mapping()).placements[order_param]
    assert (placement.owner, placement.epoch) == (shard_id, epoch)
    owners = {
        name
        for name, shard in live.shards.items()
        if (await shard.control.state(order_param)).ownership in (Ownership.ACTIVE, Ownership.PAUSED)
    }
    assert owners == {shard_id}


async def test_order_is_kept_while_moving(tmp_path):
    """Order params that move to and fro under live traffic keep their order, and every pause is measured."""
    async with live_queue(tmp_path) as live:
        await live.coordinator.allocate("x", [A])
        await live.coordinator.allocate("y", [A])
        traffic = LiveTraffic(live, ["x", "y"])
        async with traffic.running():
            for number in range(4):
                source, destination = (A, B) if number % 2 == 0 else (B, A)
                record = await live.migrate("x", source, destination, f"m{number}")
                assert record.step is MigrationStep.DONE, record.error
                assert 0 < record.pause_ms < 1000
                await traffic.sent(30)
        traffic.assert_clean()
        await assert_served_by(live, "x", A, 5)
        await assert_served_by(live, "y", A, 1)


@pytest.mark.parametrize("where", [f"{B}.copy_backlog/within", f"{A}.pause/after"])
async def test_destination_killed_before_seal(tmp_path, where):
    """A destination killed before SEAL: rolled back, and the source goes on serving."""
    async with live_queue(tmp_path, migration={"tail_messages": 0}) as live:
        await live.coordinator.allocate("x", [A])
        traffic = LiveTraffic(live, ["x"])
        async with traffic.running():
            live.plan[where] = live.shards[B].process.kill
            record = await live.migrate("x", A, B)
            assert record.step is MigrationStep.ABORTED
            assert record.error
            await traffic.sent(50)
            await live.shards[B].back()
            await assert_served_by(live, "x", A, 1)
            assert (await live.migrate("x", A, B, "m2")).step is MigrationStep.DONE
        traffic.assert_clean()
        await assert_served_by(live, "x", B, 2)


async def test_source_killed_while_paused(tmp_path):
    """A source killed while paused comes back serving: the migration is rolled back, nothing is lost."""
    async with live_queue(tmp_path) as live:
        await live.coordinator.allocate("x", [A])
        traffic = LiveTraffic(live, ["x"])
        async with traffic.running():
            live.plan[f"{A}.pause/after"] = live.shards[A].process.kill
            migrating = asyncio.create_task(live.migrate("x", A, B))
            while live.plan:  # noqa: ASYNC110 - bounded by the traffic's timeout
                await asyncio.sleep(0.01)
            await live.shards[A].back()
            assert (await migrating).step is MigrationStep.ABORTED
            await traffic.sent(50)
        traffic.assert_clean()
        await assert_served_by(live, "x", A, 1)


@pytest.mark.parametrize("killed", [A, B])
@pytest.mark.parametrize("where", [f"{A}.seal/after", f"{B}.resume/before", f"{B}.resume/after"])
async def test_shard_killed_after_seal(tmp_path, where, killed):
    """A source or destination killed after SEAL and started again: the migration is rolled forward to its end."""
    async with live_queue(tmp_path) as live:
        await live.coordinator.allocate("x", [A])
        traffic = LiveTraffic(live, ["x"])
        async with traffic.running():
            live.plan[where] = live.shards[killed].process.kill
            migrating = asyncio.create_task(live.migrate("x", A, B))
            while live.plan:  # noqa: ASYNC110 - bounded by the traffic's timeout
                await asyncio.sleep(0.002)
            await live.shards[killed].back()
            assert (await migrating).step is MigrationStep.DONE
            await traffic.sent(50)
        traffic.assert_clean()
        await assert_served_by(live, "x", B, 2)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("crashed_at", STEPS)
async def test_coordinator_crashes_at_each_step(tmp_path, crashed_at, when):
    """A coordinator that dies before or after journaling any step: the next one finishes, back or forward, under traffic."""
    async with live_queue(tmp_path) as live:
        await live.coordinator.allocate("x", [A])
        traffic = LiveTraffic(live, ["x"])
        async with traffic.running():
            arm(live, crashed_at, when)
            with pytest.raises(Crash):
                await live.migrate("x", A, B)
            await live.crash()
            await traffic.sent(9 if crashed_at in (MigrationStep.PREPARE, MigrationStep.PRECOPIED) else 0)
            await live.start()
            await live.coordinator.settled()
            await traffic.sent(50)
        traffic.assert_clean()
        record = next(iter(await live.coordinator.migrations(1)), None)
        forward = record is not None and record.step is MigrationStep.DONE
        await assert_served_by(live, "x", *((B, 2) if forward else (A, 1)))
        together = (MigrationStep.PAUSED, MigrationStep.SEALING)  # written at once: SEALING may be there or not
        if record is not None and crashed_at not in together:
            assert forward is (STEPS.index(crashed_at) >= STEPS.index(MigrationStep.SEALED))


def arm(live, step, when):
    """Crash at the journal's write of a step."""
    number = STEPS.index(step)

    async def count_down():
        nonlocal number
        if number == 0:
            raise Crash
        number -= 1
        live.plan[f"journal.write/{when}"] = count_down

    live.plan[f"journal.write/{when}"] = count_down
