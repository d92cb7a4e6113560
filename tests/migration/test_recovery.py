"""What a starting coordinator makes of the shards' answers."""

from __future__ import annotations

import pytest

from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import StaleEpochError
from plb_ray.migration import recovery
from plb_ray.migration.ports import OrderParamState, Ownership
from plb_ray.migration.switching import advance
from tests.migration.memory_stores import MemoryMapping
from tests.migration.world import Crash, World


def found(**states):
    return recovery.Survey({"x": {shard: OrderParamState("x", *state) for shard, state in states.items()}})


def test_the_highest_epoch_owns():
    """Of several shards that claim an order param the highest epoch owns it; tombstones and imports do not count."""
    states = found(
        a=(Ownership.ACTIVE, 3), b=(Ownership.PAUSED, 5), c=(Ownership.SEALED, 6), d=(Ownership.IMPORTING, 7)
    ).states["x"]
    assert recovery.owner_of(states) == Placement("x", ("b",), 5)
    assert recovery.owner_of(found(a=(Ownership.SEALED, 3)).states["x"]) is None


async def test_mapping_is_brought_up_to_the_shards():
    """A placement that is missing or older is repaired; one that is newer than what answers is kept."""
    for stored, repaired in ((None, 1), (Placement("x", ("a",), 2), 1), (Placement("x", ("c",), 9), 0)):
        mapping = MemoryMapping()
        if stored:
            await mapping.create(stored)
        assert await recovery.repair_mapping(mapping, found(b=(Ownership.ACTIVE, 4))) == repaired
        kept = (await mapping.load()).placements["x"]
        assert kept == (Placement("x", ("b",), 4) if repaired else stored)


async def test_advance_never_goes_back():
    """Switching the mapping works from any older epoch and leaves a newer one alone."""
    mapping = MemoryMapping()
    for epoch, expected in ((2, 2), (3, 3), (9, 9), (5, 9), (9, 9)):
        present = await advance(mapping, Placement("x", (f"s{epoch}",), epoch))
        assert present.epoch == expected
    assert mapping.placements["x"].owner == "s9"


async def test_compare_and_set_of_the_fake_is_strict():
    """Control: the mapping that these tests use refuses a wrong epoch."""
    mapping = MemoryMapping()
    await mapping.create(Placement("x", ("a",), 2))
    for expected in (1, 3):
        with pytest.raises(StaleEpochError, match="epoch 2"):
            await mapping.compare_and_set("x", expected, Placement("x", ("b",), expected + 1))


def test_orphans_are_sealed_and_served_by_nobody():
    """A sealed source without a serving destination is an orphan; a served one, or a redirect that was only told, is not."""
    sealed = (Ownership.SEALED, 4, "m", 0, 0, "b", "b:1")
    (orphan,) = recovery.orphans(found(a=sealed, b=(Ownership.IMPORTING, 4, "m")), now_s=7.0)
    assert (orphan.migration_id, orphan.source, orphan.destination, orphan.epoch) == ("m", "a", "b", 3)
    assert orphan.step is MigrationStep.SEALED
    assert recovery.orphans(found(a=sealed, b=(Ownership.ACTIVE, 4, "m")), 7.0) == []
    assert recovery.orphans(found(a=sealed, b=(Ownership.SEALED, 5, "m2", 0, 0, "c"), c=(Ownership.ACTIVE, 5)), 7.0) == []
    assert recovery.orphans(found(a=(Ownership.SEALED, 4, "", 0, 0, "b", "b:1")), 7.0) == []
    assert recovery.orphans(found(a=(Ownership.IMPORTING, 4, "m")), 7.0) == []


def test_leftovers_are_imports_of_ended_migrations():
    """Only imports whose migration is not going to be finished are cleaned up."""
    survey = found(a=(Ownership.IMPORTING, 4, "ended"), b=(Ownership.IMPORTING, 4, "running"), c=(Ownership.ACTIVE, 3))
    assert [shard for shard, _ in recovery.leftovers(survey, {"running"})] == ["a"]


def test_unopened_first_placements():
    """A stored first placement that no answering shard knows is opened; not if its shard is silent, or it has moved."""
    mapping = Mapping(1, {name: Placement(name, (shard,), epoch) for name, shard, epoch in [("n", "a", 1), ("o", "a", 2)]})
    assert [p.order_param for p in recovery.unopened(mapping, recovery.Survey())] == ["n"]
    assert recovery.unopened(mapping, recovery.Survey(silent={"a": "away"})) == []


async def test_lost_journal_and_mapping():
    """With journal and mapping gone, the shards alone are enough: a committed migration is finished, the rest served."""
    for where, moved in (("a.seal/after", True), ("b.resume/before", True), ("a.seal/before", False)):
        world = World()
        coordinator = await world.start()
        for name in ("x", "y"):
            await coordinator.allocate(name, ["a"])
            world.produce(name, 6)

        await _until_crash(world, world.migrate("x", "a", "b"), where)
        fresh = World()
        world.journal, world.mapping = fresh.journal, fresh.mapping
        world.clock.advance(60)
        await world.start()
        await world.settle()
        await world.coordinator.close()
        await world.start()
        await world.check("x", "y")
        assert world.owner("x") == (("b", 2) if moved else ("a", 1))


async def test_journal_that_says_aborted_is_overruled():
    """A source that is sealed with nobody serving is finished forward, also if the journal has the migration as aborted."""
    world = World()
    coordinator = await world.start()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 6)
    await _until_crash(world, world.migrate("x", "a", "b"), "a.seal/after")
    record = await world.journal.get("m1")
    await world.journal.write(type(record)(**{**vars(record), "step": MigrationStep.ABORTED}))
    await world.start()
    await world.settle()
    await world.check("x")
    assert world.owner("x") == ("b", 2)


async def _until_crash(world, request, where):
    world.plan[where] = Crash()
    with pytest.raises(Crash):
        await request
    await world.crash()
