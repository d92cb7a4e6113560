"""The coordinator as a queue's control plane, over shards in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from plb_ray.domain.mapping import Placement, rendezvous_shard
from plb_ray.domain.migration import MigrationRequest, MigrationStep
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
from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings
from tests.migration.memory_stores import MemoryJournal, MemoryMapping
from tests.migration.world import SETTINGS, World


async def started(**kwargs):
    world = World(**kwargs)
    return world, await world.start()


def request(name="x", source="a", destination="b", request_id="m1"):
    return MigrationRequest(request_id, name, source, destination, "test")


async def held_at(world, where, name="x", request_id="m1", source="a", destination="b"):
    """Start a migration that stands still at a boundary; return (its task, the event that lets it go on)."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold():
        reached.set()
        await go_on.wait()

    world.plan[where] = hold
    task = asyncio.create_task(world.migrate(name, source, destination, request_id))
    await reached.wait()
    return task, go_on


async def test_resolve_places_by_hashing_once():
    """An unknown order param is placed by hashing, opened on its shard, and stays there."""
    world, coordinator = await started()
    placement = await coordinator.resolve("x", create=True)
    assert placement == Placement("x", (rendezvous_shard("x", ("a", "b", "c")),), 1)
    assert world.owner("x") == (placement.owner, 1)
    assert await coordinator.resolve("x") == placement
    assert world.mapping.generation == 1


async def test_resolve_does_not_create_unasked():
    """Asking for an unknown order param creates nothing; an empty name is refused."""
    world, coordinator = await started()
    with pytest.raises(UnknownOrderParamError, match="'x'"):
        await coordinator.resolve("x")
    assert world.mapping.placements == {}
    with pytest.raises(BadInputError, match="name"):
        await coordinator.resolve("", create=True)


async def test_concurrent_creation_places_once():
    """Any number of concurrent calls for the same order param get the same placement."""
    world, coordinator = await started()
    placements = await asyncio.gather(*(coordinator.resolve("x", create=True) for _ in range(20)))
    assert len(set(placements)) == 1
    assert world.mapping.generation == 1


async def test_ensure_many():
    """Many order params are placed at once, on all shards, in the order asked; known ones keep their place."""
    world, coordinator = await started()
    await coordinator.allocate("n7", ["c"])
    names = [f"n{number}" for number in range(100)]
    placements = await coordinator.ensure(names)
    assert [placement.order_param for placement in placements] == names
    assert {placement.owner for placement in placements} == {"a", "b", "c"}
    assert placements[7].owner == "c"
    assert all(world.owner(name) == (placement.owner, 1) for name, placement in zip(names, placements, strict=True))


async def test_new_order_params_avoid_dead_shards():
    """A shard that was never reached gets no new order params; with none reached the call can be repeated."""
    world, coordinator = await started()
    await coordinator.allocate("old", ["b"])  # a mapping that has placements is trusted
    await world.crash()
    world.shards["a"].stop()
    coordinator = await world.start()
    placements = await coordinator.ensure(f"n{number}" for number in range(30))
    assert {placement.owner for placement in placements} == {"b", "c"}
    world = World(("a",))
    world.shards["a"].stop()
    coordinator = await world.start()
    with pytest.raises(RetryableError, match="no shard answers"):
        await coordinator.resolve("x", create=True)
    world.shards["a"].restart()
    assert (await coordinator.resolve("x", create=True)).owner == "a"


async def test_placement_stands_when_its_shard_dies_before_open():
    """When the shard does not take a stored placement, the call says so, and a repeat, or a restart, completes it."""
    for restart in (False, True):
        world, coordinator = await started()
        world.plan["a.open/before"] = ShardUnavailableError("a", "memory:a", "lost")
        with pytest.raises(ShardUnavailableError):
            await coordinator.allocate("x", ["a"])
        assert world.owner("x") is None
        if restart:
            await world.crash()
            coordinator = await world.start()
        else:
            await coordinator.resolve("x")
        assert world.owner("x") == ("a", 1)


async def test_ensure_does_without_a_shard_that_is_away():
    """Ensuring places order params on a shard that has gone away, opens the others, and the rest when it is back."""
    world, coordinator = await started()
    world.shards["a"].stop()
    placements = await coordinator.ensure(f"n{number}" for number in range(30))
    away = [placement.order_param for placement in placements if placement.owner == "a"]
    assert away
    assert all(world.owner(p.order_param) == (p.owner, 1) for p in placements if p.owner != "a")
    world.shards["a"].restart()
    for name in away:
        await coordinator.resolve(name)
        assert world.owner(name) == ("a", 1)


async def test_ensure_still_refuses_a_shard_that_does_not_exist():
    """An order param placed on a shard that is not configured any more is no shard that is away: it is refused."""
    world, _ = await started()
    world.mapping.placements["x"] = Placement("x", ("gone",), 1)
    await world.crash()
    coordinator = await world.start()
    with pytest.raises(UnknownShardError):
        await coordinator.ensure(["x"])


async def test_a_new_journal_waits_for_every_shard():
    """With an empty mapping nothing unknown is placed until every shard was asked; then its owner is found, not doubled."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    await coordinator.allocate("y", ["b"])
    await world.crash()
    world.mapping = MemoryMapping()
    world.shards["a"].stop()
    for _ in range(2):  # what was never asked is remembered from start to start
        coordinator = await world.start()
        for name, arguments in (("resolve", {"create": True}), ("allocate", {"shards": ["c"]})):
            with pytest.raises(RetryableError, match="shard a,"):
                await getattr(coordinator, name)("x", **arguments)
    assert (await coordinator.resolve("y", create=True)).owner == "b"
    assert [placement.order_param for placement in await coordinator.ensure(["x", "y"])] == ["y"]
    world.shards["a"].restart()
    found = await asyncio.gather(*(coordinator.resolve("x", create=True) for _ in range(5)))
    assert set(found) == {Placement("x", ("a",), 1)}
    assert world.owner("x") == ("a", 1)
    assert (await coordinator.resolve("z", create=True)).epoch == 1


async def test_a_late_shard_tells_of_what_it_gave_away():
    """What a shard that was away has sealed is not placed anew: its migration is found and done."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 5)
    await held_at(world, "a.seal/after")
    await world.crash()
    world.mapping, world.journal = MemoryMapping(), MemoryJournal()
    world.shards["a"].stop()
    coordinator = await world.start()
    with pytest.raises(RetryableError, match="shard a,"):
        await coordinator.resolve("x", create=True)
    world.shards["a"].restart()
    placement = await coordinator.resolve("x", create=True)
    assert placement == Placement("x", ("b",), 2)
    await world.settle()
    await world.check("x")


async def test_allocate():
    """Allocation is idempotent for the same shard, and refuses another one, an unknown one, none, and one twice."""
    world, coordinator = await started()
    for _ in range(2):
        assert await coordinator.allocate("x", ["a"]) == Placement("x", ("a",), 1)
    assert world.owner("x") == ("a", 1)
    with pytest.raises(MigrationConflictError, match="'a'"):
        await coordinator.allocate("x", ["b"])
    with pytest.raises(UnknownShardError):
        await coordinator.allocate("y", ["z"])
    for shards, why in (([], "no shard given"), (["a", "b", "a"], "named twice")):
        with pytest.raises(BadInputError, match=why):
            await coordinator.allocate("y", shards)


async def test_load_of_shards_that_do_not_answer():
    """A dead shard and a slow one are missing with the reason; the others are there. Unknown ones are refused."""
    settings = CoordinatorSettings(answer_s=0.05)
    world, coordinator = await started(settings=settings)
    await coordinator.allocate("x", ["a"])
    world.produce("x", 3)
    world.shards["b"].stop()
    world.plan["c.load/before"] = asyncio.Event().wait
    snapshot = await coordinator.load_metrics()
    assert [load.shard_id for load in snapshot.shards] == ["a"]
    assert snapshot.shards[0].order_params[0].messages_total == 3
    assert "does not answer" in snapshot.missing["b"]
    assert "no answer in 0.05 s" in snapshot.missing["c"]
    assert [load.shard_id for load in (await coordinator.load_metrics(["c"])).shards] == ["c"]
    with pytest.raises(UnknownShardError):
        await coordinator.load_metrics(["z"])


async def test_shards_keep_their_description():
    """A shard that has described itself stays known while it is away; one that never did is left out."""
    world = World()
    world.shards["c"].stop()
    coordinator = await world.start()
    world.shards["a"].stop()
    assert [shard.shard_id for shard in await coordinator.shards()] == ["a", "b"]
    world.shards["c"].restart()
    assert [shard.shard_id for shard in await coordinator.shards()] == ["a", "b", "c"]
    assert coordinator.endpoints["c"] == "memory:c"


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


async def test_watching_the_mapping():
    """A watcher gets the whole mapping first, then every change once, with generations that grow by one."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    watching = coordinator.watch_mapping()
    whole = await anext(watching)
    assert (whole.complete, whole.placements) == (True, (Placement("x", ("a",), 1),))
    await coordinator.allocate("y", ["b"])
    await world.migrate("x", "a", "b")
    changes = [await anext(watching), await anext(watching)]
    assert [change.placements for change in changes] == [(Placement("y", ("b",), 1),), (Placement("x", ("b",), 2),)]
    assert [change.generation for change in changes] == [whole.generation + 1, whole.generation + 2]
    assert (await coordinator.mapping()).generation == world.mapping.generation == changes[-1].generation
    await watching.aclose()


async def test_slow_watcher_gets_everything_again(monkeypatch):
    """A watcher that falls behind gets the whole mapping instead of a queue without end."""
    monkeypatch.setattr("plb_ray.migration.live_mapping.QUEUED_CHANGES_MAX", 3)
    _, coordinator = await started()
    watching = coordinator.watch_mapping()
    await anext(watching)
    await coordinator.ensure(f"n{number}" for number in range(4))
    change = await anext(watching)
    assert change.complete
    assert len(change.placements) == 4
    await watching.aclose()


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


async def test_a_shard_that_was_removed():
    """A migration that only had to drain a shard which is not configured any more ends; the others wait for theirs."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 5)
    await held_at(world, "a.drain/before")
    await world.crash()
    del world.shards["a"]
    await world.start()
    await world.settle()
    assert (await world.journal.get("m1")).step is MigrationStep.DONE
    assert world.owner("x") == ("b", 2)


async def test_settings_out_of_range():
    """A limit that makes no sense is refused by name."""
    for wrong in ({"migrations_in_flight": 0}, {"answer_s": 0}, {"survey_s": -1}, {"opens_in_flight": 0}):
        with pytest.raises(BadInputError, match=next(iter(wrong))):
            CoordinatorSettings(**wrong)


async def test_coordinator_without_shards():
    """A coordinator of nothing starts, knows nothing, and says so."""
    world = World(())
    coordinator = Coordinator((), world.journal, world.mapping, world.clock)
    await coordinator.start()
    assert await coordinator.shards() == ()
    assert (await coordinator.load_metrics()).shards == ()
    with pytest.raises(RetryableError, match="no shard answers"):
        await coordinator.resolve("x", create=True)
    await coordinator.close()


async def _steps(coordinator, wanted):
    return [record.step async for record in coordinator.migrate(wanted)]
