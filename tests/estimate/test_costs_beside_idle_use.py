"""Costs where shards do next to nothing for hours: idle use and the quanta of meters are no costs."""

import numpy as np
import pytest

from plb_ray.estimate.cost import CostModel
from tests.estimate.shards_of_mixed_costs import mixed_queue

CPU, IO = 0, 2
TICKS = {"tick_s": 0.01, "page_bytes": 4096.0}
IDLE = {"idle_cores": 0.001, "idle_io_bytes_per_s": 50.0}
HOURS = 4


def looks_of(queue, model, rates):
    """Return the model after these rates (T, K), and every note on the way."""
    notes = []
    for row in rates:
        model = queue.learn(model, row[None])
        notes += model.notes
    return model, notes


def busy(seed, minutes=120, order_params=8):
    return 10 * np.exp(np.random.default_rng(seed).normal(size=(minutes, order_params)))


@pytest.mark.parametrize("quiet_per_s", [0.0, 0.002, 0.2])
@pytest.mark.parametrize("meters", [TICKS, TICKS | IDLE], ids=["ticks", "idle"])
def test_what_idle_shards_report_teaches_no_cost_and_raises_no_alarm_when_traffic_comes(quiet_per_s, meters):
    """Four quiet hours, then traffic: costs are right two hours later, and nobody is told that they have changed."""
    queue = mixed_queue(3, 8, 2, **meters)
    model, notes = looks_of(queue, CostModel(), np.full((60 * HOURS, 8), quiet_per_s))
    model, more = looks_of(queue, model, busy(3))
    assert notes + more == []
    cost = model.bands(queue.names).cost
    assert np.abs(cost[:, CPU] / queue.cpu_core_s - 1).max() < 0.10
    assert np.abs(cost[:, IO] / queue.io_bytes - 1).max() < 0.10


def test_learned_costs_stay_through_a_quiet_night():
    """Busy hours, then four with a message every few minutes: costs are still right, and no note says that they changed."""
    queue = mixed_queue(4, 8, 2, **TICKS, **IDLE)
    model, _ = looks_of(queue, CostModel(), busy(4))
    model, notes = looks_of(queue, model, np.full((60 * HOURS, 8), 0.004))
    assert notes == []
    assert model.bands(queue.names).cost[:, CPU] == pytest.approx(queue.cpu_core_s, rel=0.10)


def test_idle_use_is_found_in_silent_intervals_and_is_no_cost_but_part_of_the_load():
    """A tenth of a core without a message: costs are those of messages, and what four shards use adds up all the same."""
    queue = mixed_queue(5, 16, 4, meter_noise=0.0, idle_cores=0.1, idle_io_bytes_per_s=5000.0)
    model = queue.learn(CostModel(), np.zeros((10, 16)))
    assert model.idle.per_s == pytest.approx([0.1, 5000.0])
    rates = busy(5, 300, 16)
    model = queue.learn(model, rates)
    assert np.abs(model.bands(queue.names).cost[:, CPU] / queue.cpu_core_s - 1).max() < 0.10
    load = model.load(queue.names, rates[0])
    assert load[:, CPU].sum() == pytest.approx(4 * 0.1 + queue.cpu_core_s @ rates[0], rel=0.03)
    assert load[:, IO].sum() == pytest.approx(4 * 5000 + queue.io_bytes @ rates[0], rel=0.03)


def test_one_shard_that_copies_or_tells_another_unit_does_not_set_idle_use():
    """Its meter shows a thousand times what the others' do: the median of the silent shards counts."""
    queue = mixed_queue(6, 8, 4, meter_noise=0.0, idle_cores=0.001)
    queue.meter_factor[2] = 1000.0
    model = queue.learn(CostModel(), np.zeros((10, 8)))
    assert model.idle.per_s[0] == pytest.approx(0.001)


def test_a_meter_that_stops_is_told_however_little_it_shows():
    """Messages by the thousand beside a meter that hardly moves: less than the blur, and yet not what was expected."""
    queue = mixed_queue(7, 8, 4)
    model, _ = looks_of(queue, CostModel(), busy(7, 60))
    queue.meter_factor[1] = 1e-4
    _, notes = looks_of(queue, model, busy(8, 3))
    assert any("shard-1" in note and "CPU" in note for note in notes)
