"""From forecasts to load: which steps, and quantiles of sums."""

import numpy as np
import pytest

from plb_ray.domain.rates import Forecast, Horizon
from plb_ray.estimate.cost import CostModel, Ratio
from plb_ray.estimate.load import estimate_load, mean_rates
from plb_ray.estimate.pooling import pooling_factors, residual_correlation

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
COST = CostModel(cpu=Ratio(0.01, 1))  # 10 ms of a core per message
CUTOFF_S = 1_700_000_400  # 22:20


def forecast(values, *, name="short", step_s=600, cutoff_s=CUTOFF_S, names=None):
    """`values` is (K, H, Q)."""
    values = np.asarray(values, dtype=float)
    names = names or tuple(f"op-{k}" for k in range(values.shape[0]))
    horizon = Horizon(name, step_s, values.shape[1])
    return Forecast(names, horizon, cutoff_s, LEVELS, values, ("test",) * len(names))


def from_samples(samples, **more):
    """One step whose quantiles are those of samples (K, N)."""
    return forecast(np.quantile(samples, LEVELS, axis=1).T[:, None, :], **more)


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0])
def test_the_pooled_sum_is_near_the_true_quantile_and_the_sum_of_quantiles_is_far_above(shape):
    """By Monte Carlo, for 60 independent gamma rates of Zipf sizes: within 5 %, against 20 % and more too high."""
    rng = np.random.default_rng(1)
    scale = 1 / np.arange(1, 61) ** 0.7
    samples = rng.gamma(shape, scale[:, None] / shape, size=(60, 40_000))
    true = np.quantile(samples.sum(axis=0), 0.9)
    made = from_samples(samples)
    target = estimate_load(made, COST, 0.9, np.zeros(60, int), correlation=0.0).target[:, 0, 0].sum() / 0.01
    naive = made.at_level(0.9).sum()
    assert target == pytest.approx(true, rel=0.05)
    assert naive > 1.2 * true


def test_correlated_errors_are_pooled_less():
    """With a common factor of known correlation the pooled sum is near the true quantile; independence falls short."""
    rng = np.random.default_rng(2)
    common, own = rng.normal(size=20_000), rng.normal(size=(50, 20_000))
    samples = 20 + np.sqrt(0.4) * common + np.sqrt(0.6) * own
    true = np.quantile(samples.sum(axis=0), 0.9)
    rho = residual_correlation(samples - samples.mean(axis=1, keepdims=True))
    assert rho == pytest.approx(0.4, abs=0.02)

    def pooled(correlation):
        made = estimate_load(from_samples(samples), COST, 0.9, np.zeros(50, int), correlation=correlation)
        return made.target[:, 0, 0].sum() / 0.01 - samples.sum(axis=0).mean()

    assert pooled(rho) == pytest.approx(true - samples.sum(axis=0).mean(), rel=0.03)
    assert pooled(0.0) < 0.3 * pooled(rho)


def test_a_lone_order_param_is_planned_at_its_own_quantile():
    """With nothing to pool with, the target is the quantile, and order params on other shards do not help."""
    values = [[[1, 2, 3, 4, 9, 12]], [[1, 2, 3, 4, 9, 12]]]
    estimate = estimate_load(forecast(values), COST, 0.9, np.array([0, 1]))
    assert estimate.target[:, 0, 0] == pytest.approx([0.09, 0.09])
    assert estimate.level == 0.9


def test_the_target_is_never_below_the_mean():
    """Where rare bursts put the mean above the quantile, the mean is planned with."""
    estimate = estimate_load(forecast([[[0, 0, 0, 0, 1, 50]]]), COST, 0.9, np.array([0]))
    assert estimate.target[0, 0, 0] == pytest.approx(estimate.expected[0, 0, 0])
    assert estimate.expected[0, 0, 0] > 0.01


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
def test_the_mean_of_quantiles_is_near_the_mean(draw):
    """For symmetric and skewed distributions the mean read off six quantiles is within 3 %."""
    samples = {
        "normal": np.random.default_rng(3).normal(10, 2, (1, 100_000)),
        "exponential": np.random.default_rng(3).exponential(5, (1, 100_000)),
        "uniform": np.random.default_rng(3).uniform(0, 8, (1, 100_000)),
    }[draw]
    assert mean_rates(from_samples(samples))[0, 0] == pytest.approx(samples.mean(), rel=0.03)


def test_pooling_factors_lie_between_independence_and_the_sum():
    """The factor is 1 alone, 1/sqrt(n) for n equal and independent, 1 with full correlation, and 1 where nothing exceeds."""
    excess = np.array([[1.0], [1.0], [1.0], [1.0], [5.0], [0.0]])
    owner = np.array([0, 0, 0, 0, 1, 2])
    assert pooling_factors(excess, owner, 0.0)[:, 0] == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0, 1.0])
    assert pooling_factors(excess, owner, 1.0)[:, 0] == pytest.approx([1.0] * 6)


def test_medium_steps_follow_the_short_ones_without_gap_or_overlap():
    """The medium step that the short horizon ends in is cut at its start; later ones follow up to the hours asked for."""
    short = forecast(np.ones((1, 2, 6)))  # 22:20, 22:30, until 22:40
    medium = forecast(np.full((1, 24, 6), 7.0), name="medium", step_s=3600, cutoff_s=CUTOFF_S - 1200)  # from 22:00
    estimate = estimate_load(short, COST, 0.9, np.array([0]), medium=medium, medium_hours=2)
    minutes = (estimate.starts_s - CUTOFF_S) // 60
    assert minutes.tolist() == [0, 10, 20, 40, 100]
    assert estimate.expected[0, :, 0] == pytest.approx([0.01, 0.01, 0.07, 0.07, 0.07])
    assert estimate_load(short, COST, 0.9, np.array([0]), medium=medium).starts_s.size == 2


def test_medium_rows_are_matched_by_name():
    """The medium forecast may list order params otherwise; one that it lacks keeps its last short rate."""
    short = forecast([[[1] * 6], [[2] * 6], [[3] * 6]], step_s=3600)
    medium = forecast([[[5] * 6] * 3, [[4] * 6] * 3], name="medium", step_s=3600, names=("op-1", "op-0"))
    estimate = estimate_load(short, COST, 0.5, np.zeros(3, int), medium=medium, medium_hours=2)
    assert estimate.expected[:, 1, 0] == pytest.approx([0.04, 0.05, 0.03])


def test_no_order_params_make_an_empty_estimate():
    """Before the first order param is placed there is nothing to estimate, and no error."""
    estimate = estimate_load(forecast(np.zeros((0, 2, 6))), COST, 0.9, np.zeros(0, int))
    assert estimate.target.shape == (0, 2, 3)
