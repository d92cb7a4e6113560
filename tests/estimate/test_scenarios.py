"""Joint scenarios of a shard's order params: against what truly happens, against adding quantiles, against rho."""

import numpy as np
import pytest

from plb_ray.domain.rates import Forecast, Horizon
from plb_ray.estimate.cost import CostModel, Ratio
from plb_ray.estimate.load import estimate_load
from plb_ray.estimate.scenarios import SCENARIOS_MIN, ScenarioGroup, Scenarios, quantile_weights, scenario_rates

LEVELS = (0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
COST = CostModel(cpu=Ratio(0.01, 1))
PAST = 100


def forecast(samples, names=None, horizon=None):
    """One step whose quantiles are those of samples (K, N)."""
    names = names or tuple(f"op-{k}" for k in range(len(samples)))
    values = np.quantile(samples, LEVELS, axis=1).T[:, None, :]
    return Forecast(names, horizon or Horizon("short", 600, 1), 1_700_000_400, LEVELS, values, ("test",) * len(names))


def past_of(samples, names=None, ahead_s=600):
    """What the levels of PAST draws were, each in its own distribution."""
    levels = (np.argsort(np.argsort(samples, axis=1), axis=1) + 0.5) / samples.shape[1]
    index = {name: k for k, name in enumerate(names or [f"op-{k}" for k in range(len(samples))])}
    group = ScenarioGroup("short", ahead_s, index, levels[:, :PAST].astype(np.float32), np.full(len(index), PAST))
    return Scenarios((group,))


def sum_of_targets(made, scenarios=None, level=0.9, rho=0.1, owner=None):
    owner = np.zeros(len(made.order_params), int) if owner is None else owner
    made = estimate_load(made, COST, level, owner, correlation=rho, scenarios=scenarios)
    return made.target[:, 0, 0].sum() / 0.01


def opposed(rng, draws=20_000):
    """Twenty order params: ten that are high when the other ten are low, as day and night customers are."""
    common = rng.normal(size=draws)
    sign = np.repeat([1.0, -1.0], 10)[:, None]
    return np.exp(0.6 * (0.9 * sign * common + np.sqrt(1 - 0.81) * rng.normal(size=(20, draws))))


def in_step(rng, draws=20_000):
    """Twenty order params that are high together."""
    return np.exp(0.6 * (0.9 * rng.normal(size=draws) + np.sqrt(1 - 0.81) * rng.normal(size=(20, draws))))


@pytest.mark.parametrize(("traffic", "closer"), [(opposed, 2.0), (in_step, 1.5)])
def test_scenarios_come_nearer_to_the_true_quantile_than_a_correlation_does(traffic, closer):
    """Of what rho = 0.1 is off by, scenarios leave a fraction, over five pasts of 100 steps each."""
    samples = traffic(np.random.default_rng(1))
    true = np.quantile(samples.sum(axis=0), 0.9)
    made = forecast(samples)
    by_rho = abs(sum_of_targets(made) - true)
    by_past = [
        abs(sum_of_targets(made, past_of(samples[:, begin : begin + PAST])) - true) for begin in range(0, 5 * PAST, PAST)
    ]
    assert np.mean(by_past) * closer < by_rho


def test_adding_quantiles_would_plan_for_what_never_happens():
    """Where one half is low when the other is high, the summed 0.9-quantiles are hardly ever exceeded."""
    samples = opposed(np.random.default_rng(2))
    made, sums = forecast(samples), samples.sum(axis=0)
    added = made.at_level(0.9).sum()
    assert (sums > added).mean() < 0.02
    assert (sums > sum_of_targets(made, past_of(samples))).mean() == pytest.approx(0.1, abs=0.06)
    assert sum_of_targets(made, past_of(samples)) < 0.85 * added


def test_a_short_past_falls_back_on_the_correlation():
    """With fewer than SCENARIOS_MIN steps scenarios change nothing at all."""
    samples = in_step(np.random.default_rng(3))
    (group,) = past_of(samples).groups
    few = ScenarioGroup("short", 600, group.index, group.levels[:, : SCENARIOS_MIN - 1], group.known)
    assert sum_of_targets(forecast(samples), Scenarios((few,))) == sum_of_targets(forecast(samples))


def test_order_params_without_a_past_join_by_the_correlation():
    """Half of them unknown to the scenarios: the target lies between rho alone and scenarios of all."""
    samples = in_step(np.random.default_rng(4))
    names = tuple(f"op-{k}" for k in range(20))
    all_of_them, none = sum_of_targets(forecast(samples), past_of(samples)), sum_of_targets(forecast(samples))
    half = sum_of_targets(forecast(samples), past_of(samples[:10], names[:10]))
    assert none < half < all_of_them


def test_a_lone_order_param_keeps_its_own_quantile():
    """Alone on its shard nothing cancels: scenarios give back the forecast's quantile within what a past of 100 can tell."""
    samples = np.random.default_rng(5).gamma(3.0, size=(1, 20_000))
    made = forecast(samples)
    assert sum_of_targets(made, past_of(samples)) == pytest.approx(made.at_level(0.9)[0, 0], rel=0.03)


def test_each_order_param_keeps_its_distribution_in_the_scenarios():
    """Whatever the past was, an order param's scenarios are the quantiles of its forecast of now, each once."""
    samples = np.random.default_rng(6).gamma(2.0, size=(3, 20_000))
    made = forecast(samples)
    (group,) = past_of(in_step(np.random.default_rng(7))[:3]).groups
    rates = scenario_rates(made.messages_per_s[:, 0], LEVELS, group, np.arange(3))
    expected = made.messages_per_s[:, 0] @ quantile_weights(LEVELS, PAST)
    assert np.sort(rates, axis=1) == pytest.approx(np.maximum(0, expected))
    inside = np.quantile(samples, (np.arange(PAST) + 0.5) / PAST, axis=1).T
    assert np.sort(rates, axis=1)[:, 5:-2] == pytest.approx(inside[:, 5:-2], rel=0.08)


def test_scenarios_of_one_shard_say_nothing_of_another():
    """Those in step on one shard are planned high, the opposed on the other low; each as if alone."""
    rng = np.random.default_rng(8)
    samples = np.concatenate([in_step(rng), opposed(rng)])
    owner = np.repeat([0, 1], 20)
    made = estimate_load(forecast(samples), COST, 0.9, owner, scenarios=past_of(samples))
    sums = [made.target[owner == s, 0, 0].sum() / 0.01 for s in (0, 1)]
    alone = [sum_of_targets(forecast(samples[owner == s]), past_of(samples[owner == s])) for s in (0, 1)]
    assert sums == pytest.approx(alone)


def test_steps_that_follow_take_over_the_correction():
    """The past tells of the first step alone; the second one's factor is corrected by the same ratio."""
    samples = in_step(np.random.default_rng(9))
    one = forecast(samples)
    values = np.repeat(one.messages_per_s, 2, axis=1)
    two = Forecast(one.order_params, Horizon("short", 600, 2), one.cutoff_s, LEVELS, values, one.sources)
    target = estimate_load(two, COST, 0.9, np.zeros(20, int), scenarios=past_of(samples)).target[:, :, 0]
    assert target[:, 1] == pytest.approx(target[:, 0])


def test_each_resource_is_planned_at_its_own_level():
    """Levels of 0.5 for CPU and 0.95 for I/O: CPU is planned far lower than at 0.95, I/O as with 0.95 for all."""
    samples = in_step(np.random.default_rng(10))
    cost = CostModel(cpu=Ratio(0.01, 1), amplification=Ratio(3, 1), payload=Ratio(100, 1))
    mixed, high = (estimate_load(forecast(samples), cost, level, np.zeros(20, int)) for level in ((0.5, 0.9, 0.95), 0.95))
    assert (mixed.target[..., 0] < 0.9 * high.target[..., 0]).all()
    assert mixed.target[..., 2] == pytest.approx(high.target[..., 2])
    assert mixed.level == 0.95


def test_lower_and_upper_hold_the_load_of_each_order_param():
    """With costs known for sure nine in ten draws lie between them; without any evidence they are far wider."""
    samples = np.random.default_rng(11).gamma(3.0, size=(4, 20_000))
    made = estimate_load(forecast(samples), COST, 0.9, np.arange(4))
    assert made.lower is not None
    assert made.upper is not None
    load = samples * 0.01
    inside = (load >= made.lower[:, 0, 0, None]) & (load <= made.upper[:, 0, 0, None])
    assert inside.mean() > 0.9
    assert (made.lower <= made.expected).all()
    assert (made.expected <= made.upper).all()
    assert (made.upper[:, 0, 0] > made.expected[:, 0, 0] * 2.6).all()  # nothing is known of what a message costs
