"""Undoing a migration whose source may have been sealed after all."""

from __future__ import annotations

import asyncio

import pytest

from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import OutcomeUnknownError
from plb_ray.migration.ports import OrderParamState, Ownership
from tests.migration.world import World

STALE = [
    OrderParamState("x", Ownership.ACTIVE, 1, last_seq=10),
    OrderParamState("x", Ownership.NONE, 0),
    OrderParamState("x", Ownership.PAUSED, 1, "an older one", last_seq=10),
]


async def _with_lost_seal(*stale):
    """Return a world in which SEAL is carried out, its reply is lost, and the source then answers what is stale."""
    world = World()
    coordinator = await world.start()
    await coordinator.allocate("x", ["a"])
    assert world.produce("x", 10) == 10
    source, answers = world.shards["a"], list(stale)
    true_state = source.state

    async def state(order_param):
        sealed = source.look(order_param).ownership is Ownership.SEALED
        return answers.pop(0) if sealed and answers else await true_state(order_param)

    source.state = state
    world.plan["a.seal/after"] = OutcomeUnknownError("lost")
    return world


@pytest.mark.parametrize("stale", [STALE[:1], STALE[1:2], STALE[2:], [STALE[0], STALE[0]], [STALE[0], STALE[2], STALE[0]]])
async def test_a_sealed_source_turns_an_undo_round(stale):
    """A rollback begun on a stale answer is turned round by the sealed source, and the destination keeps its copy."""
    world = await _with_lost_seal(*stale)
    record = await world.migrate("x", "a", "b")
    assert (record.step, record.error) == (MigrationStep.DONE, "")
    assert "b.abort/before" not in world.passed
    await world.settle()
    await world.check("x")


async def test_a_silent_source_keeps_the_destinations_copy():
    """After SEAL was sent, nothing is wiped while the source is silent; when it is back, the migration is done."""
    world = await _with_lost_seal(STALE[0])

    async def die_for_a_while():
        world.shards["a"].stop()
        world.plan[len(world.passed) + 20] = come_back

    async def come_back():
        assert world.shards["b"].look("x").ownership is Ownership.IMPORTING
        world.shards["a"].restart()

    world.plan["a.abort/before"] = die_for_a_while
    record = await asyncio.wait_for(world.migrate("x", "a", "b"), timeout=10)
    assert record.step is MigrationStep.DONE
    assert "b.abort/before" not in world.passed
    await world.settle()
    await world.check("x")
