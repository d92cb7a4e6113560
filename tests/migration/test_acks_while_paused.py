"""Acks go on while an order param is paused."""

from plb_ray.domain.migration import MigrationStep
from tests.migration.world import World


async def test_a_tail_that_is_acknowledged_while_paused_needs_no_copy():
    """What consumers finish between PAUSE and the copy of the tail is not there to copy, and is no reason to roll back."""
    world = World()
    await world.start()
    await world.coordinator.allocate("k", ["a"])

    async def append_more():
        world.produce("k", 2)

    async def finish_everything():
        world.consume("k")

    world.produce("k", 1)
    world.plan["a.pause/before"] = append_more
    world.plan["a.pause/after"] = finish_everything
    record = await world.migrate("k", "a", "b")
    assert record.step is MigrationStep.DONE
    assert record.messages_copied < 3
    world.produce("k", 2)
    world.consume("k")
    assert world.checker.verdict().clean
    await world.crash()
