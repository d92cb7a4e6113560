"""Migrations as a coordinator runs them: refused, joined, capped, cancelled, followed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import (
    BadInputError,
    MigrationConflictError,
    OutcomeUnknownError,
    RetryableError,
    ShardUnavailableError,
    StaleEpochError,
    TooManyMigrationsError,
    UnknownMigrationError,
    UnknownOrderParamError,
    UnknownShardError,
)
from tests.coordinator.in_memory import held_at, request, started
from tests.migration.world import SETTINGS


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"order_param": "nobody"}, UnknownOrderParamError, "nobody"),
        ({"source": "z"}, UnknownShardError, "z"),
        ({"destination": "z"}, UnknownShardError, "z"),
        ({"destination": "a"}, BadInputError, "two shards"),
        ({"source": "c"}, MigrationConflictError, "lives on 'a'"),
        ({"request_id": ""}, BadInputError, "request id"),
    ],
)
async def test_refused_migrations(wrong, error, text):
    """A request that cannot be carried out is refused with the reason, and leaves no trace."""
    _, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    with pytest.raises(error, match=text):
        await anext(aiter(coordinator.migrate(replace(request(), **wrong))))
    assert await coordinator.migrations(10) == ()
    assert coordinator.active_migrations() == ()


async def test_one_migration_per_order_param_and_a_cap():
    """A second migration of an order param is refused, and one more than the cap; ended ones make room."""
    world, coordinator = await started(settings=replace(SETTINGS, migrations_in_flight=2))
    await asyncio.gather(*(coordinator.allocate(name, ["a"]) for name in "xyz"))
    first, go_on = await held_at(world, "b.begin/before")
    with pytest.raises(MigrationConflictError, match="'m1' already"):
        await world.migrate("x", "a", "c", "m2")
    second, go_on_too = await held_at(world, "b.begin/before", "y", "m3")
    assert [record.migration_id for record in coordinator.active_migrations()] == ["m3", "m1"]
    with pytest.raises(TooManyMigrationsError, match="2 migrations"):
        await world.migrate("z", "a", "b", "m4")
    go_on.set()
    assert (await first).step is MigrationStep.DONE
    assert (await world.migrate("z", "a", "b", "m4")).step is MigrationStep.DONE
    go_on_too.set()
    assert (await second).step is MigrationStep.DONE


async def test_draining_does_not_count():
    """A migration that only waits for its dead source to drain does not use up the cap."""
    world, coordinator = await started(settings=replace(SETTINGS, migrations_in_flight=1))
    await asyncio.gather(*(coordinator.allocate(name, ["a"]) for name in "xy"))
    draining, go_on = await held_at(world, "a.drain/before")
    assert (await world.migrate("y", "a", "b", "m2")).step is MigrationStep.DONE
    go_on.set()
    await draining


async def test_same_request_joins():
    """A repeat of a request follows the same migration from its first record, also after its end and after a restart."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    first, go_on = await held_at(world, "a.pause/after")
    follower = asyncio.create_task(_steps(coordinator, request()))
    await asyncio.sleep(0)
    go_on.set()
    await first
    assert await follower == [step for step in MigrationStep if step is not MigrationStep.ABORTED]
    assert await _steps(coordinator, request()) == [MigrationStep.DONE]
    await world.crash()
    assert await _steps(await world.start(), request()) == [MigrationStep.DONE]
    with pytest.raises(MigrationConflictError, match="another migration"):
        await _steps(world.coordinator, request(destination="c"))
    assert len([r for r in world.journal.written if r.step is MigrationStep.PREPARE]) == 1


async def test_leaving_does_not_cancel():
    """A caller that goes away after the first record leaves the migration running."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    following = coordinator.migrate(request())
    assert (await anext(following)).step is MigrationStep.PREPARE
    await following.aclose()
    await coordinator.settled()
    assert world.owner("x") == ("b", 2)
    assert (await coordinator.migration("m1")).step is MigrationStep.DONE


@pytest.mark.parametrize("where", ["b.copy_backlog/before", "b.copy_backlog/within", "a.pause/before", "a.pause/after"])
async def test_cancel_before_seal(where):
    """A migration cancelled before SEAL is rolled back at once, even while a call hangs; the source serves."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 5)
    task, _ = await held_at(world, where)
    record = await coordinator.cancel("m1")
    assert record.step is MigrationStep.ABORTED
    assert record.error.endswith("cancelled on request")
    assert await task == record
    assert world.produce("x", 1) == 1
    assert await coordinator.cancel("m1") == record
    await world.settle()
    await world.check("x")


@pytest.mark.parametrize("where", ["a.seal/before", "a.seal/after", "b.resume/before", "a.drain/before"])
async def test_cancel_after_seal_was_sent(where):
    """From SEAL on a cancellation is refused and the migration goes on to its end."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    task, go_on = await held_at(world, where)
    with pytest.raises(StaleEpochError):
        await coordinator.cancel("m1")
    go_on.set()
    assert (await task).step is MigrationStep.DONE
    with pytest.raises(StaleEpochError):
        await coordinator.cancel("m1")


async def test_unknown_migration():
    """Asking for, or cancelling, a migration that never was names it."""
    _, coordinator = await started()
    for ask in (coordinator.migration, coordinator.timeline, coordinator.cancel):
        with pytest.raises(UnknownMigrationError, match="'nope'"):
            await ask("nope")


async def test_timeline():
    """The timeline has every step once, in order, each with its time; the records are those of the journal."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 5)
    await world.migrate("x", "a", "b")
    timeline = await coordinator.timeline("m1")
    assert [record.step for record in timeline] == [step for step in MigrationStep if step is not MigrationStep.ABORTED]
    assert [record.at_s for record in timeline] == sorted(record.at_s for record in timeline)
    assert all(record.at_s > 0 for record in timeline)
    assert timeline[-1].messages_copied == 5


async def test_cap_per_shard():
    """A shard takes part in so many migrations at once; others go on. One that only drains does not count."""
    settings = replace(SETTINGS, migrations_per_shard=1)
    world, coordinator = await started(settings=settings)
    for name, shard_id in (("x", "a"), ("y", "a"), ("z", "c")):
        await coordinator.allocate(name, [shard_id])
    moving, go_on = await held_at(world, "a.pause/before")
    for name, source, destination in (("y", "a", "c"), ("z", "c", "b")):
        with pytest.raises(TooManyMigrationsError, match=r"have shard '[ab]' in hand"):
            await world.migrate(name, source, destination, f"of {name}")
    go_on.set()
    assert (await moving).step is MigrationStep.DONE
    assert (await world.migrate("y", "a", "c", "again")).step is MigrationStep.DONE


async def test_recent_migrations():
    """Migrations are listed newest first, a running one with its progress."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 5)
    await world.migrate("x", "a", "b", "m1")
    world.clock.advance(1)
    task, go_on = await held_at(world, "b.pause/after", request_id="m2", source="b", destination="a")
    del task
    listed = await coordinator.migrations(10)
    assert [record.migration_id for record in listed] == ["m2", "m1"]
    assert listed[0].step is MigrationStep.PRECOPIED
    assert (listed[0].messages_copied, listed[0].bytes_copied) == (5, 5)
    assert await coordinator.migrations(1) == listed[:1]
    go_on.set()
    await coordinator.settled()


async def test_pause_is_measured():
    """The pause spans from before PAUSE to the resume, and a migration rolled back while paused has one too."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    assert 0 <= (await world.migrate("x", "a", "b")).pause_ms < 1000
    world.plan["b.pause/after"] = OutcomeUnknownError("lost")
    undone = await world.migrate("x", "b", "c", "m2")
    assert undone.step is MigrationStep.ABORTED
    assert 0 <= undone.pause_ms < 1000
    world.plan["c.begin/before"] = ShardUnavailableError("c", "memory:c", "lost")
    assert (await world.migrate("x", "b", "c", "m3")).pause_ms is None


async def test_closing_tells_the_followers():
    """Who follows a migration when the coordinator stops is told to come back, even if it had not begun to run."""
    world, coordinator = await started()
    await asyncio.gather(*(coordinator.allocate(name, ["a"]) for name in "xy"))
    task, _ = await held_at(world, "a.pause/after")
    following = coordinator.migrate(request("y", request_id="m2"))
    await anext(following)
    await coordinator.close()
    with pytest.raises(RetryableError, match="repeat the request"):
        await task
    with pytest.raises(RetryableError, match="repeat the request"):
        await anext(following)
    await world.start()
    await world.settle()
    await world.check("x", "y")


async def test_the_next_migration_can_follow_at_once():
    """Whoever has seen the last record of a migration can start the next one of that order param."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    for number in range(6):
        source, destination = ("a", "b") if number % 2 == 0 else ("b", "a")
        assert (await world.migrate("x", source, destination, f"m{number}")).step is MigrationStep.DONE


async def _steps(coordinator, wanted):
    return [record.step async for record in coordinator.migrate(wanted)]
