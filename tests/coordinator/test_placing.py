"""Where a coordinator places order params, what it knows of its shards, and who is told of changes; shards in memory."""

from __future__ import annotations

import asyncio

import pytest

from plb_ray.domain.mapping import Placement, rendezvous_shard
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import (
    BadInputError,
    MigrationConflictError,
    RetryableError,
    ShardUnavailableError,
    UnknownOrderParamError,
    UnknownShardError,
)
from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings
from tests.coordinator.in_memory import held_at, started
from tests.migration.memory_stores import MemoryJournal, MemoryMapping
from tests.migration.world import World


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
