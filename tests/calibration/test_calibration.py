"""The physics of replays against real shard processes."""

import pytest

from plb_ray.simulation.replay.physics import PhysicsParams
from tests.calibration.both_ways import a_minute, compared, modelled, real

pytestmark = pytest.mark.shards
BINS = 28


async def test_the_same_minute_both_ways(tmp_path):
    """Delays and what waits over time agree within the stated tolerances, with a migration out of a backlog in it.

    How long that one migration took is measured and told to the model, since it depends on how busy the machine is.
    """
    minute = a_minute(BINS)
    seen, _ = await real(minute, tmp_path)
    found = compared(seen, modelled(minute, PhysicsParams(), seen.moved_s))
    assert [each for each in found if not each.within] == []


def test_a_model_that_is_wrong_is_told():
    """Shards that are a fifth slower than the real ones, or a move that takes nothing along, are outside the tolerances."""
    minute = a_minute(BINS)
    right = modelled(minute, PhysicsParams(), 0.1)
    slow = modelled(minute, PhysicsParams(), 3.0)
    assert all(each.within for each in compared(right, right))
    assert not all(each.within for each in compared(right, slow))
