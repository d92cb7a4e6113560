"""What the loop counts of itself, seen through its status; and that looking at it is cheap."""

import pytest

from plb_ray.control.views import Admission
from plb_ray.errors import ShardUnavailableError
from tests.control.test_control_loop import STEADY, World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.history.close()


async def test_moves_and_trust_and_ages_are_counted(world):
    """After a move that was sent the status has it by its admission, the guard's word, and the age of both forecasts."""
    await world.steps(6, STEADY)
    counts = (await world.loop.status()).counts
    assert counts.moves[Admission.ADMITTED] == len(world.queue.records) == 1
    assert counts.trusted is not None
    assert counts.forecast_age_s.keys() == {"short", "medium"}
    world.clock.at_s += 90.0
    later = (await world.loop.status()).counts
    assert later.forecast_age_s["short"] == counts.forecast_age_s["short"] + 90.0


async def test_ticks_that_fail_are_counted(world):
    """Only ticks that ended with an error count as failed; all of them have a duration."""
    await world.loop._tick_safely()
    world.pool.fail = ShardUnavailableError("forecaster", "here", "away")
    world.queue.arrive(STEADY)
    world.clock.at_s += 120.0
    await world.loop._tick_safely()
    counts = (await world.loop.status()).counts
    assert sum(counts.tick_s.counts) == 2
    assert counts.ticks_failed == 1


async def test_pictures_of_shards_are_made_once_a_tick(world):
    """Whoever asks between two ticks gets the same pictures; a tick makes new ones."""
    await world.steps(4, STEADY)
    first = (await world.loop.status()).shards
    assert (await world.loop.status()).shards is first
    await world.loop.tick()
    second = (await world.loop.status()).shards
    assert second is not first
