"""Cost per message, learned from counters."""

from dataclasses import replace

import numpy as np
import pytest

from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ResourceVector, ShardLoad
from plb_ray.estimate.cost import CostModel, Ratio

CPU_CORE_S, AMPLIFICATION = 0.002, 3.0


def counters(name, messages, payload=100, backlog_bytes=0):
    return OrderParamLoad(name, 1, messages, messages * payload, messages, 0, backlog_bytes, 0.0)


def shard(shard_id, order_params, *, served, cpu=0.0, io=0.0, memory=0.0, cpu_total=0.0, io_total=0.0):
    use = ResourceVector(cpu, memory, io)
    return ShardLoad(shard_id, 0.0, use, 0.0, served, 0.0, tuple(order_params), cpu_total, io_total)


def two_looks(rates, payloads, seconds=60.0):
    """Two looks at one shard per order param, in between which each served its rate at the true costs."""
    before, after = [], []
    for index, (rate, payload) in enumerate(zip(rates, payloads, strict=True)):
        name, messages = f"op-{index}", int(rate * seconds)
        before.append(shard(f"shard-{index}", [counters(name, 1000, payload)], served=500))
        io = messages * payload * AMPLIFICATION / seconds
        done = [counters(name, 1000 + messages, payload)]
        after.append(shard(f"shard-{index}", done, served=500 + messages, cpu=rate * CPU_CORE_S, io=io))
    return LoadSnapshot(0.0, tuple(before)), LoadSnapshot(seconds, tuple(after))


def test_known_costs_are_recovered_after_one_interval():
    """CPU per message and I/O per message of each size come out as they were put in."""
    model = CostModel().updated(*two_looks([50, 200], [100, 1000]))
    load = model.load(("op-0", "op-1"), np.array([1.0, 1.0]))
    assert load[:, 0] == pytest.approx([CPU_CORE_S] * 2)
    assert load[:, 2] == pytest.approx([100 * AMPLIFICATION, 1000 * AMPLIFICATION], rel=0.05)


def test_without_evidence_nothing_costs_anything():
    """A new model predicts no load, so nothing is planned on a guess; evidence can be given to start with."""
    assert not CostModel().load(("op-0",), np.array([5.0])).any()
    started = CostModel(cpu=Ratio(0.5, 100))
    assert started.load(("op-0",), np.array([10.0]))[0, 0] == pytest.approx(0.05)


def test_a_saturated_shard_does_not_distort_the_cost():
    """A shard that serves at its limit shows the cost per served message, however much more arrives."""
    before, after = two_looks([100], [100])
    flooded = replace(after.shards[0], order_params=(counters("op-0", 1_000_000),))
    model = CostModel().updated(before, replace(after, shards=(flooded,)))
    assert model.cpu.value == pytest.approx(CPU_CORE_S)


def test_a_change_of_cost_is_followed():
    """After ten half-lives the old cost weighs a thousandth."""
    model = CostModel(half_life_s=60.0).updated(*two_looks([100], [100]))
    dearer_before, dearer_after = two_looks([100], [100])
    use = replace(dearer_after.shards[0].use, cpu_cores=100 * CPU_CORE_S * 2)
    dearer_after = replace(dearer_after, shards=(replace(dearer_after.shards[0], use=use),))
    for _ in range(10):
        model = model.updated(dearer_before, dearer_after)
    assert model.cpu.value == pytest.approx(2 * CPU_CORE_S, rel=1e-3)


def test_a_restarted_or_new_or_nonsensical_shard_is_left_out():
    """Only shards whose two reports can be compared count."""
    before, after = two_looks([100, 100, 100], [100, 100, 100])
    restarted = replace(after.shards[0], served_total=3, use=ResourceVector(1.0))
    broken = replace(after.shards[1], use=ResourceVector(float("nan")))
    stranger = shard("shard-9", [], served=10**9, cpu=0.0)
    model = CostModel().updated(before, replace(after, shards=(restarted, broken, after.shards[2], stranger)))
    assert model.cpu.value == pytest.approx(CPU_CORE_S)


def test_an_order_param_that_moved_keeps_its_size():
    """Counters move with the order param: its payload is learned across the move."""
    before = LoadSnapshot(0.0, (shard("shard-0", [counters("op-0", 10, 700)], served=0), shard("shard-1", [], served=0)))
    after = LoadSnapshot(60.0, (shard("shard-0", [], served=9), shard("shard-1", [counters("op-0", 9000, 700)], served=9)))
    assert CostModel().updated(before, after).payload_bytes(("op-0",))[0] == pytest.approx(700)


def test_a_young_order_param_is_taken_for_an_average_one():
    """An unknown order param costs the pooled payload; one with few messages is drawn towards it."""
    model = CostModel().updated(*two_looks([100, 0.1], [100, 10_000]))
    known, young, unknown = model.payload_bytes(("op-0", "op-1", "op-2"))
    assert known == pytest.approx(100, rel=0.01)
    assert unknown < young < 10_000
    assert unknown == pytest.approx(model.payload.value)


def test_no_time_between_looks_changes_nothing():
    """Two looks at the same moment teach nothing and do not divide by zero."""
    before, after = two_looks([100], [100])
    model = CostModel()
    assert model.updated(before, replace(after, at_s=before.at_s)) is model


def test_memory_is_the_waiting_payload_and_a_share_of_the_rest():
    """Memory beyond payloads is shared out equally; an order param adds its own backlog; the rate does not matter."""
    loads = [counters("op-0", 10, backlog_bytes=600), counters("op-1", 10)]
    looks = [LoadSnapshot(at_s, (shard("shard-0", loads, served=0, memory=2600.0),)) for at_s in (0.0, 60.0)]
    memory = CostModel().updated(*looks).load(("op-0", "op-1"), np.array([[1.0, 9.0], [0.0, 0.0]]))[:, :, 1]
    assert memory == pytest.approx(np.array([[1600.0, 1600.0], [1000.0, 1000.0]]))


def test_a_counter_is_believed_over_the_sample_of_the_last_moment():
    """Traffic in bursts leaves a shard idle at the look; what it spent in between is known from its counters."""
    load = counters("op-0", 1000)
    before = shard("s", [load], served=500, cpu_total=7.0, io_total=1e6)
    after = shard("s", [counters("op-0", 2000)], served=1500, cpu=0.0, io=0.0, cpu_total=9.0, io_total=1.3e6)
    model = CostModel().updated(LoadSnapshot(0.0, (before,)), LoadSnapshot(60.0, (after,)))
    assert model.cpu.value == pytest.approx(2.0 / 1000)
    assert model.amplification.value == pytest.approx(0.3e6 / (1000 * 100))
