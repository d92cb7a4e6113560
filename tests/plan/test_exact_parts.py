"""What the exact search looks at around a costly shard."""

import numpy as np

from optimizer.exact import improve_part
from optimizer.packing import pack
from tests.plan.plan_builders import problem


def test_empty_shards_that_take_nothing_hide_no_other():
    """Of two small moves one larger one is made, to the only shard with room, though closed shards are emptier."""
    loads, current = [0.9, 0.15, 0.15, 0.8, 0.8, 0.05], [0, 0, 0, 1, 2, 3]
    packing = pack(problem(loads, current, 40, closed=range(4, 40)))
    best = np.array([0, 1, 2, 1, 2, 3])
    lower = np.zeros(packing.shards)
    lower[0] = 1.0
    for seed in range(5):
        found = improve_part(packing, best, lower, np.random.default_rng(seed), 6, 200, 10.0, 10.0, seed)
        assert found.tolist() == [3, 0, 0, 1, 2, 3]
