"""What people see of learned costs."""

import numpy as np
import pytest

from plb_ray.control.cost_pictures import cost_views
from plb_ray.estimate.cost import CostModel
from tests.estimate.shards_of_mixed_costs import daily_rates, mixed_queue


def test_a_view_shows_cost_band_and_evidence_of_each_order_param():
    """Cost lies within its band; evidence is the messages delivered; a stranger has none and a band that is wider."""
    queue = mixed_queue(1, 6, 2)
    model = queue.learn(CostModel(), daily_rates(np.random.default_rng(1), 6, 300))
    first, stranger = cost_views(model, ("op-0", "stranger"))
    assert first.order_param == "op-0"
    assert first.lower.cpu_cores < first.cost.cpu_cores < first.upper.cpu_cores
    assert first.messages == pytest.approx(queue.messages[0], rel=0.5)
    assert first.payload_bytes == pytest.approx(queue.payload[0], rel=0.02)
    assert stranger.messages == 0
    widths = [(v.upper.cpu_cores - v.lower.cpu_cores) / v.cost.cpu_cores for v in (first, stranger)]
    assert widths[0] < 0.5 * widths[1]
