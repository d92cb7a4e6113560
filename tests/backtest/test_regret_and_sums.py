import itertools

import numpy as np
import pytest

from models.base import LEVELS
from models.regret import quantile, regret_of, reserve, shards_for, spread
from models.sums import SETS, SIZES, sums_of
from tests.backtest.entrants import course, noisy
from tests.forecast.members import SPREAD
from tests.forecast.synthetic import history_of


def said(run_on, mean, deviation=0.0):
    """Quantiles (N, K, H, Q) of normal distributions, the same everywhere."""
    shape = (*run_on.actual.shape, len(LEVELS))
    return np.broadcast_to(np.maximum(0.0, mean + deviation * SPREAD), shape)


def test_perfect_foresight_has_no_regret():
    """Whoever says what comes at every level reserves just that."""
    run_on = course()
    exact = np.repeat(run_on.actual[..., None], len(LEVELS), axis=-1)
    found = regret_of(run_on, exact)
    assert found.regret == pytest.approx(0.0, abs=1e-5)


def test_regret_is_nine_times_overload_plus_idle():
    """Reserving 12 where 10 come is 20 % idle; reserving 8 is 20 % overload, nine times as bad."""
    run_on = course(history_of(np.full((8, 80), 10.0)))
    above, below = regret_of(run_on, said(run_on, 12.0)), regret_of(run_on, said(run_on, 8.0))
    assert (above.overload, above.idle, above.regret) == pytest.approx((0.0, 0.2, 0.2))
    assert (below.overload, below.idle, below.regret) == pytest.approx((0.2, 0.0, 1.8))


def test_the_true_distribution_costs_least():
    """Of normal forecasts too narrow, right and too wide, the right one has the least regret (independent order params)."""
    run_on = course(noisy(order_params=4, steps=2000, deviation=2.0), origins=400)
    costs = [regret_of(run_on, said(run_on, 10.0, deviation)).regret for deviation in (0.5, 1.85, 6.0)]
    assert min(costs) == costs[1]


def test_pooling_is_between_independence_and_adding():
    """The reserve of two equal order params is sqrt(2) excesses at rho 0, and both excesses at rho 1."""
    mean, upper, owner = np.full((2, 1), 10.0), np.full((2, 1), 13.0), np.zeros(2, dtype=np.int64)
    assert reserve(mean, upper, owner, 0.0).item() == pytest.approx(20 + 3 * np.sqrt(2))
    assert reserve(mean, upper, owner, 1.0).item() == pytest.approx(26)


def test_longest_processing_time_first():
    """The spread is that of the greedy rule, worked by hand, and within 4/3 of the best one of all."""
    means = np.array([7.0, 6.0, 5.0, 4.0, 3.0])
    owner = spread(means, 2)
    assert owner.tolist() == [0, 1, 1, 0, 0]
    fullest = np.bincount(owner, means).max()
    best = min(np.bincount(each, means, 2).max() for each in itertools.product((0, 1), repeat=5))
    assert fullest <= 4 / 3 * best


@pytest.mark.parametrize(("order_params", "shards"), [(1, 1), (7, 1), (8, 2), (43, 10), (5000, 16)])
def test_every_shard_has_several_order_params(order_params, shards):
    """There are as many shards as have four order params each, sixteen at most."""
    assert shards_for(order_params) == shards


def test_the_sum_of_quantiles_is_exceeded_far_less_than_promised_and_the_pooled_one_is_not():
    """For 50 independent normal order params, with the true quantiles, adding reserves more and is almost never exceeded."""
    run_on = course(noisy(order_params=60, steps=4000), origins=900)
    found = sums_of(run_on, said(run_on, 10.0, 2.0), np.random.default_rng(1))
    assert [(row.order_params, row.level) for row in found.rows] == [(size, q) for size in SIZES for q in (0.9, 0.95)]
    assert found.correlation == pytest.approx(0.0, abs=0.02)
    row = found.rows[-2]  # 50 at 0.9
    assert row.added_exceeded < 0.001
    assert row.pooled_exceeded == pytest.approx(0.1, abs=0.03)
    assert row.added_reserved > row.pooled_reserved > 1.0


def test_order_params_that_rise_together_leave_nothing_to_pool():
    """If all are the same series rho is 1, and pooled is added."""
    together = np.repeat(noisy(order_params=1, steps=800).messages_per_s, 6, axis=0)
    run_on = course(history_of(together), origins=100)
    found = sums_of(run_on, said(run_on, 10.0, 2.0), np.random.default_rng(1))
    assert found.correlation == pytest.approx(1.0)
    for row in found.rows:
        assert row.pooled_reserved == pytest.approx(row.added_reserved, rel=1e-3)


def test_silent_order_params_are_not_drawn():
    """One order param that speaks among silent ones makes no set."""
    rates = np.zeros((30, 80))
    rates[3] = 5
    run_on = course(history_of(rates))
    assert sums_of(run_on, said(run_on, 5.0), np.random.default_rng(1)).rows == ()


def test_the_same_seed_draws_the_same_sets():
    """The table is a function of the forecasts and the seed."""
    run_on = course(noisy(order_params=30, steps=160))
    tables = [sums_of(run_on, said(run_on, 10.0, 1.0), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert tables[0] == tables[1] != tables[2]
    assert SETS > 1
    assert quantile(said(run_on, 10.0, 1.0), 0.5).shape == (30, 12 * 2)
