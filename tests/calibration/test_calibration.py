"""The physics of replays against real shard processes."""

import pytest

from plb_ray.simulation.replay.physics import PhysicsParams
from tests.calibration.both_ways import LATE_MS_MOST, a_minute, compared, modelled, real

BINS = 28


@pytest.mark.shards
async def test_the_same_minute_both_ways(tmp_path):
    """Delays and what waits over time agree within the stated tolerances, with a migration out of a backlog in it.

    How long that one migration took is measured and told to the model, since it depends on how busy the machine is. On a
    machine so busy that the sender itself was late, the real figures are not those of the shards; then it is skipped.
    """
    minute = a_minute(BINS)
    seen, report = await real(minute, tmp_path)
    if report.sent_late_ms_max > LATE_MS_MOST:
        pytest.skip(f"the machine is too busy: the sender was {report.sent_late_ms_max:.0f} ms late")
    found = compared(seen, modelled(minute, PhysicsParams(), seen.moved_s))
    assert [each for each in found if not each.within] == []


@pytest.mark.parametrize("moved_s", [3.0, 1e6])
def test_a_model_that_is_wrong_is_told(moved_s):
    """A move that takes seconds instead of a tenth of one, or never happens, is outside the tolerances."""
    minute = a_minute(BINS)
    right = modelled(minute, PhysicsParams(), 0.1)
    wrong = modelled(minute, PhysicsParams(), moved_s)
    assert all(each.within for each in compared(right, right))
    assert not all(each.within for each in compared(right, wrong))


def test_a_model_of_other_shards_is_told():
    """Shards that serve a tenth less are outside the tolerances."""
    minute = a_minute(BINS)
    right, slower = modelled(minute, PhysicsParams(), 0.1), modelled(minute, PhysicsParams(), 0.1, rate_per_s=144.0)
    assert not all(each.within for each in compared(right, slower))
