"""The migration under a crash of the coordinator, lost calls and dead shards, at every boundary there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import OutcomeUnknownError, ShardUnavailableError
from plb_ray.migration import protocol, undoing
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import ownership
from tests.migration.world import LEASE_S, Crash, World

BACKLOG = 10


async def _ready(**kwargs):
    world = World(**kwargs)
    coordinator = await world.start()
    await coordinator.allocate("x", ["a"])
    assert world.produce("x", BACKLOG) == BACKLOG
    world.consume("x", 3)
    world.consume("x", 2, ack=False)  # in flight
    world.passed.clear()
    return world


async def _boundaries():
    world = await _ready()
    record = await world.migrate("x", "a", "b")
    assert record.step is MigrationStep.DONE
    return list(world.passed)


async def test_undisturbed():
    """A migration moves order param, backlog, cursor and dedupe table, journals each step once, and measures the pause."""
    world = await _ready()
    record = await world.migrate("x", "a", "b")
    assert world.owner("x") == ("b", 2)
    assert world.journal.steps("m1") == [s for s in MigrationStep if s is not MigrationStep.ABORTED]
    assert record.messages_copied == BACKLOG - 3
    assert record.pause_ms is not None
    assert record.finished_s is not None
    await world.settle()
    await world.check("x")


@pytest.mark.parametrize("between", ["nothing", "lease ends", "source restarts", "destination restarts", "all restart"])
async def test_crash_everywhere(between):
    """Wherever the coordinator crashes, and whatever restarts before it is back: one owner, nothing lost, nothing stuck."""
    boundaries = await _boundaries()
    outcomes = set()
    for number in range(len(boundaries)):
        world = await _ready()
        world.plan[number] = Crash()
        with pytest.raises(Crash):
            await world.migrate("x", "a", "b")
        await world.crash()
        world.produce("x", 2)  # whoever serves goes on
        if between == "lease ends":
            world.clock.advance(LEASE_S + 1)
        for shard_id in {"source restarts": "a", "destination restarts": "b", "all restart": "abc"}.get(between, ""):
            world.shards[shard_id].restart()
        await world.start()
        await world.settle()
        await world.check("x")
        last = await world.journal.get("m1")
        outcomes.add(last.step if last else None)
    assert outcomes >= {MigrationStep.DONE, MigrationStep.ABORTED}


async def test_crash_during_recovery():
    """A second crash, at any boundary of the recovery from a first one, changes nothing about the result."""
    boundaries = await _boundaries()
    for first in range(0, len(boundaries), 3):
        second = 0
        while True:
            world = await _ready()
            world.plan[first] = Crash()
            with pytest.raises(Crash):
                await world.migrate("x", "a", "b")
            await world.crash()
            world.passed.clear()
            world.plan[second] = Crash()
            crashed = await _start_until_crash(world)
            await world.crash()
            world.plan.clear()
            await world.start()
            await world.settle()
            await world.check("x")
            if not crashed:
                break
            second += 2
        assert second > 6


async def _start_until_crash(world):
    try:
        await world.start()
        await world.coordinator.settled()
    except Crash:
        return True
    return not world.plan


@pytest.mark.parametrize("fault", ["request lost", "reply lost"])
async def test_lost_calls(fault):
    """Any one call to a shard may get lost, or its reply: the migration ends by itself, in one of its two ends."""
    boundaries = await _boundaries()
    suffix, error = {
        "request lost": ("before", ShardUnavailableError("?", "?", "lost")),
        "reply lost": ("after", OutcomeUnknownError("lost")),
    }[fault]
    for number, where in enumerate(boundaries):
        if where.split(".")[0] not in ("a", "b") or not where.endswith(suffix):
            continue
        world = await _ready()
        world.plan[number] = error
        record = await world.migrate("x", "a", "b")
        committed = where.split("/")[0] in ("a.seal", "b.resume", "a.update_mapping", "a.drain")
        assert record.step is (MigrationStep.DONE if committed else MigrationStep.ABORTED), where
        await world.settle()
        await world.check("x")


async def test_destination_dies_before_seal():
    """A destination that dies before SEAL leaves the order param on its source, and says where and why."""
    for where in ("b.copy_backlog/within", "journal.write/after", "a.pause/before"):
        world = await _ready()
        world.plan[where] = _stop(world, "b")
        record = await world.migrate("x", "a", "b")
        assert record.step is MigrationStep.ABORTED, where
        assert "does not answer" in record.error
        assert world.owner("x") == ("a", 1)
        assert world.shards["a"].look("x").ownership is Ownership.ACTIVE
        await world.settle()
        assert world.produce("x", 3) == 3


@pytest.mark.parametrize("shard_id", ["a", "b"])
@pytest.mark.parametrize("where", ["a.seal/after", "mapping.compare_and_set/before", "b.resume/before", "b.resume/after"])
async def test_shard_dies_after_seal(where, shard_id):
    """After SEAL the migration waits for a dead source or destination as long as it takes, and goes on to its end."""
    world = await _ready()

    async def die_for_a_while():
        world.shards[shard_id].stop()
        world.plan[len(world.passed) + 12] = come_back

    async def come_back():
        world.shards[shard_id].restart()

    world.plan[where] = die_for_a_while
    record = await world.migrate("x", "a", "b")
    assert record.step is MigrationStep.DONE
    assert world.owner("x") == ("b", 2)
    await world.settle()
    await world.check("x")


async def test_source_lost_after_seal_is_not_needed():
    """Once SEALED is journaled the source's machine may be lost for good: the destination takes over from the journal."""
    for where in ("mapping.compare_and_set/after", "b.resume/after", "a.drain/before"):
        world = await _ready()
        world.plan[where] = Crash()
        with pytest.raises(Crash):
            await world.migrate("x", "a", "b")
        await world.crash()
        world.shards["a"].lose_everything()
        await world.start()
        await world.settle()
        await world.check("x")
        assert world.owner("x") == ("b", 2)


async def test_destination_that_lost_its_copy_gets_it_again():
    """A destination that forgets its import after SEAL is given the backlog again before it takes over."""
    world = await _ready()

    async def forget():
        world.shards["b"].lose_everything()

    world.plan["b.resume/before"] = forget
    record = await world.migrate("x", "a", "b")
    assert record.step is MigrationStep.DONE
    await world.settle()
    await world.check("x")


async def test_lease_that_ends_before_seal_rolls_back():
    """When the pause outlives its lease, the late SEAL is refused and the source goes on."""
    world = await _ready()

    async def dawdle():
        world.clock.advance(LEASE_S + 0.1)
        assert world.produce("x", 1) == 1

    world.plan["a.seal/before"] = dawdle
    record = await world.migrate("x", "a", "b")
    assert record.step is MigrationStep.ABORTED
    assert "SEAL came too late" in record.error
    assert "at sealing" in record.error
    await world.settle()
    await world.check("x")


async def test_journal_that_refuses_for_a_while():
    """A journal that cannot be written holds the migration up, and neither loses it nor lets it act unrecorded."""
    for where in ("a.pause/after", "a.seal/after", "b.resume/after"):
        world = await _ready()

        async def refuse(world=world):
            world.journal.refusals = 4

        world.plan[where] = refuse
        record = await world.migrate("x", "a", "b")
        assert record.step is MigrationStep.DONE
        await world.settle()
        await world.check("x")


async def test_appends_go_on_while_precopying():
    """Writes are accepted until PAUSE, and what arrives meanwhile is copied too."""
    world = await _ready()
    accepted = []

    async def write():
        accepted.append(world.produce("x", 5))

    for number in range(0, 30, 2):
        world.plan[number] = write
    record = await world.migrate("x", "a", "b")
    assert record.step is MigrationStep.DONE
    assert accepted[0] == 5
    await world.settle()
    await world.check("x")


async def test_empty_order_param_moves():
    """An order param that never had a message, or has none left, can be moved like any other."""
    world = World()
    coordinator = await world.start()
    await coordinator.ensure(["x", "y"])
    source = world.owner("x")[0]
    world.produce("y", 4)
    world.consume("y")
    assert (await world.migrate("x", source, _other(source))).step is MigrationStep.DONE
    source = world.owner("y")[0]
    assert (await world.migrate("y", source, _other(source), "m2")).step is MigrationStep.DONE
    await world.settle()
    await world.check("x", "y")


async def test_control_unknown_seal_taken_for_failure(monkeypatch):
    """Control: a protocol that rolls back on an unknown outcome of SEAL is caught by these checks."""
    broken = protocol._ROLLBACK | {(MigrationStep.SEALING, protocol.Event.FAILED)}
    monkeypatch.setattr(protocol, "_ROLLBACK", broken)
    monkeypatch.setattr(undoing, "source_event", lambda *_: protocol.Event.SOURCE_OTHER)  # undo asks the source as well
    world = await _ready()
    world.plan["a.seal/after"] = OutcomeUnknownError("lost")
    await world.migrate("x", "a", "b")
    await world.settle()
    with pytest.raises(AssertionError, match="no owner"):
        await world.check("x")


async def test_control_tail_not_copied(monkeypatch):
    """Control: a shard that takes over with half its backlog is caught by these checks."""
    world = await _ready()
    whole = world.shards["a"].exported
    monkeypatch.setattr(world.shards["a"], "exported", lambda name, after, limit: whole(name, max(after, 7), limit))
    monkeypatch.setattr(ownership, "resumed", _resumed_unchecked)
    assert (await world.migrate("x", "a", "b")).step is MigrationStep.DONE
    await world.settle()
    with pytest.raises(AssertionError):
        await world.check("x")


def _resumed_unchecked(record, migration_id, seal):
    return replace(record, ownership=Ownership.ACTIVE, last_seq=seal.final_seq, acked_seq=seal.acked_seq)


async def test_there_and_back_again():
    """An order param that returns to a shard it has left finds its tombstone replaced."""
    world = await _ready()
    for number, (source, destination) in enumerate([("a", "b"), ("b", "a"), ("a", "c"), ("c", "b"), ("b", "a")]):
        world.produce("x", 2)
        assert (await world.migrate("x", source, destination, f"m{number}")).step is MigrationStep.DONE
    assert world.owner("x") == ("a", 6)
    await world.settle()
    await world.check("x")


def _other(shard_id):
    return "a" if shard_id != "a" else "b"


def _stop(world, shard_id):
    async def stop():
        world.shards[shard_id].stop()

    return stop
