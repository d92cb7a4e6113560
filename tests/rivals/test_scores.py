import math

import numpy as np
import pytest
from scipy import stats

from models.base import LEVELS
from models.scores import (
    MEDIAN,
    by_class,
    coverage,
    normalised_crps,
    randomised_coverage,
    score,
    seasonal_scale,
)
from models.traffic_class import BURSTY, HOT
from tests.forecast.synthetic import DAY, history_of


def draws(distribution, size=(400, 5, 10), seed=3):
    """Return rates (N, K, H) drawn from a distribution and that distribution's own quantiles (N, K, H, Q)."""
    actual = distribution.rvs(size=size, random_state=np.random.default_rng(seed))
    values = np.broadcast_to(distribution.ppf(LEVELS), (*size, len(LEVELS)))
    return actual.astype(np.float32), values.astype(np.float32)


@pytest.mark.parametrize("mean", [0.02, 0.2, 0.5, 1.0, 3.0, 12.0])
def test_counts_foreseen_by_their_own_distribution_are_covered_as_promised(mean):
    """For Poisson counts and their true quantiles the atom-aware coverage is nominal, up to the grid; the literal is not."""
    actual, values = draws(stats.poisson(mean))
    assert abs(randomised_coverage(actual, values, 0.1, 0.9) - 0.80) < 0.04
    assert abs(randomised_coverage(actual, values, 0.025, 0.975) - 0.95) < 0.015
    assert coverage(actual, values, 0.1, 0.9) > 0.84


def test_where_nothing_ties_both_coverages_are_one():
    """For continuous rates the atom-aware coverage is exactly the literal one, and nominal for the true quantiles."""
    actual, values = draws(stats.gamma(2.0))
    for interval in ((0.1, 0.9), (0.025, 0.975)):
        literal = coverage(actual, values, *interval)
        assert randomised_coverage(actual, values, *interval) == pytest.approx(literal, abs=1e-12)
        assert abs(literal - (interval[1] - interval[0])) < 0.01


def test_idle_foreseen_as_idle_counts_as_calibrated():
    """An order param that is always 0 and always foreseen as 0 has exactly the nominal coverage, not 1."""
    marks = score(np.zeros((4, 2, 3)), np.zeros((4, 2, 3, len(LEVELS))), np.zeros(2))
    assert marks.coverage_80 == pytest.approx(0.8)
    assert marks.coverage_95 == pytest.approx(0.95)
    assert (marks.wql, marks.crps, marks.wape) == (0.0, 0.0, 0.0)


def test_too_narrow_and_missed_atoms_are_seen():
    """Quantiles of half the true spread cover less than promised, and a zero that was never foreseen covers nothing."""
    actual, values = draws(stats.norm(50, 10))
    narrow = 50 + (values - 50) / 2
    assert randomised_coverage(actual, narrow, 0.1, 0.9) < 0.55
    assert randomised_coverage(np.zeros_like(actual), values, 0.025, 0.975) == 0.0


def test_equal_rates_of_another_float_width_are_equal():
    """A float64 rate meets the float32 quantile that was made from it."""
    actual = np.full((1, 1, 1), 1 / 600)
    values = np.full((1, 1, 1, len(LEVELS)), 1 / 600, dtype=np.float32)
    assert coverage(actual, values, 0.1, 0.9) == 1.0
    assert randomised_coverage(actual, values, 0.1, 0.9) == pytest.approx(0.8)


def test_crps_of_a_single_number_is_its_absolute_error():
    """With all quantiles equal the CRPS is exactly the WAPE, above as below the actual rate."""
    actual = np.array([[[4.0, 10.0]]])
    values = np.repeat(np.array([[[[7.0], [2.0]]]]), len(LEVELS), axis=3)
    assert normalised_crps(actual, values) == pytest.approx((3 + 8) / 14)
    assert score(actual, values, np.ones(1)).wape == pytest.approx((3 + 8) / 14)


def test_crps_is_that_of_the_closed_form():
    """For a normal distribution foreseen by itself it is sigma / sqrt(pi), within what thirteen levels can resolve."""
    actual, values = draws(stats.norm(50, 5), size=(2000, 2, 5))
    assert normalised_crps(actual, values) * actual.mean() == pytest.approx(5 / math.sqrt(math.pi), rel=0.02)


def test_wql_is_its_definition():
    """The WQL is twice the pinball loss of the nine deciles, averaged, over the sum of the actual rates."""
    rng = np.random.default_rng(5)
    actual, values = rng.uniform(0, 9, (3, 2, 4)), np.sort(rng.uniform(0, 9, (3, 2, 4, len(LEVELS))), axis=3)
    total = 0.0
    for tenth in range(1, 10):
        error = actual - values[..., LEVELS.index(tenth / 10)]
        total += np.where(error > 0, tenth / 10 * error, (tenth / 10 - 1) * error).sum() / 9
    assert score(actual, values, np.ones(2)).wql == pytest.approx(2 * total / actual.sum())


def test_mase_is_relative_to_the_same_time_yesterday_and_skips_what_has_no_scale():
    """A row whose rate differs by 2 from yesterday's and is missed by 1 has 0.5; a constant row is left out."""
    rates = np.stack([np.where(np.arange(4 * DAY) // DAY % 2 == 0, 3.0, 5.0), np.full(4 * DAY, 8.0)])
    scale = seasonal_scale(history_of(rates), 3 * DAY)
    np.testing.assert_allclose(scale, [2.0, 0.0])
    actual = np.full((2, 2, 3), 5.0)
    values = np.zeros((2, 2, 3, len(LEVELS)))
    values[..., MEDIAN] = 6.0
    assert score(actual, values, scale).mase == pytest.approx(0.5)
    assert math.isnan(score(actual, values, np.zeros(2)).mase)


def test_the_scale_reads_only_the_training_part():
    """What comes after the training part does not change the scale."""
    rates = np.ones((1, 4 * DAY))
    rates[:, 2 * DAY :] = 100.0
    assert seasonal_scale(history_of(rates), 2 * DAY)[0] == 0.0


@pytest.mark.parametrize(("steps", "expected"), [(1, 0.0), (2, 1.0), (DAY, 1.0)])
def test_a_training_part_of_a_day_or_less_is_scaled_by_the_last_rate(steps, expected):
    """Without a yesterday the in-sample error is that of the last rate; one step has none."""
    assert seasonal_scale(history_of(np.arange(steps)[None, :] % 2), steps)[0] == expected


def test_each_class_is_marked_by_its_own_rows():
    """The marks of a class are those of its order params alone; classes without any are absent."""
    actual, values = draws(stats.gamma(2.0), size=(20, 3, 2))
    values = values * np.array([1.0, 5.0, 1.0], dtype=np.float32)[None, :, None, None]
    marks = by_class(actual, values, np.ones(3), np.array([HOT, BURSTY, HOT]))
    assert list(marks) == ["hot", "bursty"]
    assert marks["bursty"] == score(actual[:, [1]], values[:, [1]], np.ones(1))
    assert marks["hot"] == score(actual[:, [0, 2]], values[:, [0, 2]], np.ones(2))
    assert marks["bursty"].wql > 2 * marks["hot"].wql
