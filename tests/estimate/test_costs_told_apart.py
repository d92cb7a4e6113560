"""Costs of order params that share a shard, from the shard's sums alone; error bars, units and drift."""

import numpy as np
import pytest

from plb_ray.estimate.cost import CostModel
from tests.estimate.shards_of_mixed_costs import daily_rates, mixed_queue

CPU, IO = 0, 2
DAY = 24 * 60


def shares(queue, rates):
    """(K,) part of its shard's CPU that each order param makes up."""
    used = rates.mean(axis=0) * queue.cpu_core_s
    return used / np.bincount(queue.owner, used)[queue.owner]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_costs_that_differ_tenfold_are_recovered_from_the_sums_of_a_day(seed):
    """Six order params a shard, 2 % meter noise: each that makes up 5 % of its shard within 10 %, nine in ten of all too."""
    queue = mixed_queue(seed, 24, 4)
    assert queue.cpu_core_s.max() == pytest.approx(10 * queue.cpu_core_s.min())
    rates = daily_rates(np.random.default_rng(seed + 10), 24, DAY)
    bands = queue.learn(CostModel(), rates).bands(queue.names)
    off = np.abs(bands.cost[:, CPU] / queue.cpu_core_s - 1)
    assert off[shares(queue, rates) >= 0.05].max() < 0.10
    assert np.quantile(off, 0.9) < 0.10
    assert np.quantile(np.abs(bands.cost[:, IO] / queue.io_bytes - 1), 0.9) < 0.10


def test_the_pooled_cost_alone_would_not_do():
    """The control: before anything is told apart the same costs are off by more than half for some."""
    queue = mixed_queue(1, 24, 4)
    bands = queue.learn(CostModel(), daily_rates(np.random.default_rng(11), 24, 1)).bands(queue.names)
    assert np.abs(bands.cost[:, CPU] / queue.cpu_core_s - 1).max() > 0.5


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_the_bands_hold_the_true_costs(noise):
    """A meter five times as noisy widens the bands, and nine in ten true costs lie inside either way."""
    queue = mixed_queue(4, 48, 6, meter_noise=noise)
    model = queue.learn(CostModel(), daily_rates(np.random.default_rng(14), 48, 600))
    bands = model.bands(queue.names)
    inside = (bands.lower[:, CPU] <= queue.cpu_core_s) & (queue.cpu_core_s <= bands.upper[:, CPU])
    assert inside.mean() >= 0.9
    assert model.apart[0].noise == pytest.approx(noise, rel=0.35)


def test_a_new_order_param_has_the_cost_of_all_and_a_wide_band():
    """Nothing is known of it but what the others cost: its band reaches from nothing to far above, theirs are narrow."""
    queue = mixed_queue(5, 12, 3)
    model = queue.learn(CostModel(), daily_rates(np.random.default_rng(15), 12, 600))
    bands = model.bands((*queue.names, "op-new"))
    width = (bands.upper - bands.lower) / bands.cost
    assert (width[-1] > 2).all()
    assert bands.messages[-1] == 0
    assert np.median(width[:-1, CPU]) < 0.6
    assert bands.cost[-1, CPU] == pytest.approx(queue.cpu_core_s.mean(), rel=0.5)


def test_order_params_whose_traffic_keeps_one_proportion_stay_wide_and_their_sum_is_known():
    """Nothing tells them apart, and the bands say so; what they cost together is known all the same."""
    queue = mixed_queue(6, 4, 2, payloads=(500, 501), exact=True)
    rng = np.random.default_rng(16)
    together = np.exp(rng.normal(size=600))[:, None] * np.array([40.0, 40.0, 60.0, 60.0])
    model = queue.learn(CostModel(), together)
    bands = model.bands(queue.names)
    assert ((bands.upper - bands.lower)[:, CPU] > bands.cost[:, CPU]).all()
    learnt = np.bincount(queue.owner, bands.cost[:, CPU] * together[0])
    assert learnt == pytest.approx(np.bincount(queue.owner, queue.cpu_core_s * together[0]), rel=0.03)


def test_a_migration_tells_apart_what_proportion_hid():
    """One of two that always come together moves away: both costs are within 10 % an hour later."""
    queue = mixed_queue(7, 4, 2, payloads=(500, 501), exact=True)
    together = np.exp(np.random.default_rng(17).normal(size=300))[:, None] * np.array([40.0, 40.0, 60.0, 60.0])
    model = queue.learn(CostModel(), together)
    queue.owner = np.array([0, 1, 1, 1])
    model = queue.learn(model, together[:60])
    alone = model.bands(("op-0",)).cost[0, CPU]
    assert alone == pytest.approx(queue.cpu_core_s[0], rel=0.10)


def test_a_meter_in_milliseconds_is_told_and_does_not_set_the_costs_of_others():
    """One shard of four tells a thousand times too much: a sentence names it and the unit; other costs stay as they are."""
    queue = mixed_queue(8, 16, 4)
    queue.meter_factor[2] = 1000.0
    rates = daily_rates(np.random.default_rng(18), 16, 600)
    model = queue.learn(CostModel(), rates)
    assert any("shard-2" in note and "milliseconds for seconds" in note and "CPU" in note for note in model.notes)
    assert not any("shard-1" in note for note in model.notes)
    others = queue.owner != 2
    off = np.abs(model.bands(queue.names).cost[:, CPU] / queue.cpu_core_s - 1)[others]
    assert np.median(off) < 0.10
    assert model.bands(("op-new",)).cost[0, CPU] < queue.cpu_core_s.max()


def test_all_meters_in_milliseconds_are_found_by_what_the_shards_have():
    """Where every shard is wrong in the same way their capacity tells; nothing is learned, so nothing is planned on it."""
    queue = mixed_queue(9, 16, 4)
    queue.meter_factor = dict.fromkeys(range(4), 1000.0)
    model = queue.learn(
        CostModel(), daily_rates(np.random.default_rng(19), 16, 5), cores={f"shard-{s}": 2.0 for s in range(4)}
    )
    assert sum("check the unit of its CPU meter" in note for note in model.notes) == 4
    assert not model.load(queue.names, np.ones(16))[:, 0].any()


def test_a_meter_that_begins_to_report_bits_is_not_believed_at_once_and_told():
    """Eight times the I/O from one interval to the next: two intervals teach nothing, and the sentence names the shard."""
    queue = mixed_queue(10, 8, 2)
    rates = daily_rates(np.random.default_rng(20), 8, 400)
    model = queue.learn(CostModel(), rates)
    before = model.bands(queue.names).cost[:, IO]
    queue.meter_factor[0] = 8.0
    model = queue.learn(model, rates[:2])
    assert model.bands(queue.names).cost[queue.owner == 0, IO] == pytest.approx(before[queue.owner == 0], rel=0.001)
    assert any("shard-0" in note and "I/O" in note and "not believed yet" in note for note in model.notes)


def test_a_release_that_makes_messages_dearer_is_told_and_followed():
    """Messages of one shard cost 1.5 times as much from one day to the next: it is noticed, and learned in five hours."""
    queue = mixed_queue(11, 16, 4)
    rates = daily_rates(np.random.default_rng(21), 16, DAY)
    model = queue.learn(CostModel(), rates)
    queue.cpu_core_s = np.where(queue.owner == 1, 1.5 * queue.cpu_core_s, queue.cpu_core_s)
    told = []
    for begin in range(0, 300, 5):
        model = queue.learn(model, rates[begin : begin + 5])
        told += [note for note in model.notes if "has changed" in note]
    assert told
    assert all("shard-1" in note for note in told)
    used = np.bincount(queue.owner, model.load(queue.names, rates[0][:, None])[:, 0, CPU])
    assert used[1] == pytest.approx(np.bincount(queue.owner, queue.cpu_core_s * rates[0])[1], rel=0.05)


def test_steady_costs_raise_no_alarm():
    """A day of ordinary noise: not one sentence after the first hour."""
    queue = mixed_queue(12, 24, 4, meter_noise=0.05)
    rates = daily_rates(np.random.default_rng(22), 24, DAY)
    model = queue.learn(CostModel(), rates[:60])
    notes = []
    for row in rates[60:]:
        model = queue.learn(model, row[None])
        notes += model.notes
    assert notes == []


def test_of_many_order_params_on_a_shard_the_busiest_are_told_apart():
    """300 on one shard: memory and work are bounded, the busiest's cost is found, and an idle one's band stays wide."""
    queue = mixed_queue(13, 300, 1)
    rates = daily_rates(np.random.default_rng(23), 300, 400, base=(0.05, 0.5))
    rates[:, 7] = 400 * np.exp(0.5 * np.random.default_rng(24).normal(size=400))
    model = queue.learn(CostModel(), rates)
    assert len(model.apart[0].blocks["shard-0"].rows) == 128
    bands = model.bands(queue.names)
    assert bands.cost[7, CPU] == pytest.approx(queue.cpu_core_s[7], rel=0.10)
    quiet = int(np.argmin(rates.mean(axis=0)))
    assert bands.upper[quiet, CPU] - bands.lower[quiet, CPU] > bands.cost[quiet, CPU]


def test_a_night_without_messages_teaches_nothing_wrong():
    """Who was there before the first message of all costs what the group costs at once, and nothing "has changed"."""
    queue, rng = mixed_queue(1, 12, 4), np.random.default_rng(2)
    model = queue.learn(CostModel(), np.zeros((10, 12)))
    assert (model.bands(queue.names).cost[:, CPU] == 0).all()
    rates = rng.uniform(2, 20, (20, 12))
    rates[:, 6:] = 0
    told = []
    for row in rates:  # half of them are silent for longer
        model = queue.learn(model, row[None])
        told += model.notes
    cost = model.bands(queue.names).cost[:, CPU]
    assert told == []
    assert np.abs(cost[:6] / queue.cpu_core_s[:6] - 1).max() < 0.5
    assert cost[6:] == pytest.approx(model.cpu.value, rel=0.5)
