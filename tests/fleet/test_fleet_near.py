"""From a packing to one near today's mapping."""

from dataclasses import replace

import numpy as np
import pytest
from fleet_builders import fleet_problem, plan

from optimizer.fleet import verify_fleet
from optimizer.fleet_near import near_home


@pytest.mark.parametrize("uncertain", [False, True])
def test_nearly_everything_stays_where_it_is(uncertain):
    """300 order params on 12 shards that 10 can hold: sound, and most of those whose shard stays are still there."""
    rng = np.random.default_rng(3)
    load = rng.uniform(0.005, 0.05, (300, 2))
    problem = fleet_problem(load, (((1.0, 1.0), 1.0),), excess=0.2 * load[:, None] if uncertain else None, correlation=0.1)
    found = plan(problem, wall_s=60.0, work=500_000)
    shards = found.shards + 2
    current = rng.integers(0, shards, 300)
    may_stand = np.arange(shards)[None] < found.shards
    after = near_home(problem, found, np.ones((shards, 2)), may_stand, current)
    assert after.max() < found.shards  # nothing is on a shard that goes
    assert verify_fleet(problem, replace(found, shard_of=after)) == ()
    stays = current < found.shards
    assert (after[stays] == current[stays]).mean() > 0.6
    assert (found.shard_of[stays] == current[stays]).mean() < 0.3  # what the packing alone would keep
