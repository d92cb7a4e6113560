"""Coverage of the randomised PIT, the loss, and the verdict."""

from dataclasses import replace

import numpy as np
import pytest
from courses import DAY_S, LEVELS

from plb_ray.control.forecast_quality import ForecastQuality, VerdictRule, pit_bounds, tally, verdict
from plb_ray.errors import BadInputError
from plb_ray.history.outcomes import KEPT_LEVELS, Pairs

STEP_S = 60
GOOD = ForecastQuality("short", "champion", 5000, 0.0, 7.0 * DAY_S, 0.8, 0.95, 0.2, 0.3)


def pairs_of(observed, quantiles, naive=None):
    """Pairs of (N,) rates and (N, 13) quantiles."""
    kept = quantiles[:, [LEVELS.index(level) for level in KEPT_LEVELS]]
    pit = pit_bounds(observed, quantiles, LEVELS, STEP_S)
    return Pairs(observed, np.zeros(observed.size) if naive is None else naive, kept, pit)


def poisson_quantiles(mean):
    counts = np.arange(200)
    logs = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    cdf = np.cumsum(np.exp(counts * np.log(mean) - mean - logs))
    return np.array([np.searchsorted(cdf, level) for level in LEVELS]) / STEP_S


def test_the_truth_is_calibrated_for_small_counts():
    """Forecasting Poisson counts by their true quantiles covers within 2 points, where the literal share is far off."""
    rng = np.random.default_rng(3)
    means = np.repeat(np.geomspace(0.05, 30.0, 40), 500)
    quantiles = np.concatenate([np.tile(poisson_quantiles(mean), (500, 1)) for mean in means[::500]])
    observed = rng.poisson(means) / STEP_S
    sums = tally(pairs_of(observed, quantiles), 0, 0)
    assert sums.inside_80 / sums.pairs == pytest.approx(0.8, abs=0.02)
    assert sums.inside_95 / sums.pairs == pytest.approx(0.95, abs=0.02)
    literal = (quantiles[:, 1] <= observed) & (observed <= quantiles[:, 9])
    assert literal.mean() > 0.87


@pytest.mark.parametrize("mean", [0.05, 0.3, 0.7, 1.05, 2.0, 5.0, 30.0])
def test_one_mean_alone_is_calibrated_as_far_as_the_levels_tell(mean):
    """Where all order params are alike, the distance of the levels shows: the truth stays clear of a demotion."""
    observed = np.random.default_rng(3).poisson(mean, 20_000) / STEP_S
    sums = tally(pairs_of(observed, np.tile(poisson_quantiles(mean), (observed.size, 1))), 0, 0)
    assert sums.inside_80 / sums.pairs == pytest.approx(0.8, abs=0.04)
    assert sums.inside_95 / sums.pairs == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("rate", [0.0, 0.1, 3.0, 1e12])
def test_a_constant_foreseen_exactly_is_calibrated(rate):
    """All quantiles equal to the rate, but for the rounding of float32, is nominal coverage and no loss."""
    observed = np.full(4, rate)
    sums = tally(pairs_of(observed, np.full((4, 13), np.float32(rate))), 0, 0)
    assert (sums.inside_80 / 4, sums.inside_95 / 4) == pytest.approx((0.8, 0.95))
    assert sums.loss == pytest.approx(0.0, abs=1e-6 * max(1.0, 4 * rate))


def test_a_rate_that_meets_no_quantile_is_in_or_out():
    """Of continuous rates the coverage is the literal one."""
    quantiles = np.tile(np.arange(1.0, 14.0), (5, 1))  # 0.1 at 2, 0.9 at 10, 0.975 at 12
    sums = [tally(pairs_of(np.array([rate]), quantiles[:1]), 0, 0) for rate in (0.5, 1.5, 6.5, 11.5, 12.5)]
    assert [each.inside_80 for each in sums] == pytest.approx([0, 0, 1, 0, 0])
    assert [each.inside_95 for each in sums] == pytest.approx([0, 1, 1, 1, 0])


def test_an_order_param_believed_idle_that_is_not_is_not_covered():
    """Zero at all levels, and a message comes: outside both intervals; foreseen traffic that stays away: outside too."""
    woken = tally(pairs_of(np.array([1 / STEP_S]), np.zeros((1, 13))), 0, 0)
    asleep = tally(pairs_of(np.array([0.0]), np.full((1, 13), 1.0)), 0, 0)
    assert (woken.inside_95, asleep.inside_95) == (0.0, 0.0)


def test_the_loss_is_the_weighted_quantile_loss():
    """A single number is marked by its absolute error, like the seasonal naive; by hand for a spread."""
    observed, naive = np.array([4.0, 6.0]), np.array([5.0, 5.0])
    point = tally(pairs_of(observed, np.full((2, 13), 5.0), naive), 0, 0).quality("short", "champion")
    assert point.loss == pytest.approx(point.seasonal_naive_loss) == pytest.approx(0.2)
    spread = tally(pairs_of(np.array([4.0]), np.linspace(3.0, 5.0, 13)[None]), 0, 0)
    kept = np.linspace(3.0, 5.0, 13)[[LEVELS.index(level) for level in KEPT_LEVELS]]
    by_hand = [max(level * (4 - at), (level - 1) * (4 - at)) for level, at in zip(KEPT_LEVELS, kept, strict=True)]
    assert spread.loss == pytest.approx(2 * np.mean(by_hand))


def test_pairs_without_a_day_before_are_left_out():
    """What cannot be compared with the seasonal naive counts for neither; of nothing there is no tally."""
    pairs = pairs_of(np.array([4.0, 6.0]), np.full((2, 13), 5.0), np.array([np.nan, 6.0]))
    assert tally(pairs, 0, 0).pairs == 1
    assert tally(pairs.of(np.array([True, False])), 0, 0) is None


def test_without_traffic_there_is_no_relative_loss_and_no_verdict_on_it():
    """Nothing arrived for days: the losses are unknown rather than infinite."""
    quality = tally(pairs_of(np.zeros(500), np.full((500, 13), 0.0)), 0, 3 * DAY_S).quality("short", "champion")
    assert np.isnan(quality.loss)
    assert np.isnan(quality.seasonal_naive_loss)
    assert verdict(quality) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"loss": 0.3}, ""),
        ({"loss": 0.31}, "worse than the seasonal naive: loss 0.31 against 0.3"),
        ({"coverage_80": 0.75, "coverage_95": 0.9}, ""),
        ({"coverage_80": 0.74}, "the 80% interval held 74.0% of what came, more than 5 points off"),
        ({"coverage_80": 0.86}, "the 80% interval held 86.0%"),
        ({"coverage_95": 0.89}, "the 95% interval held 89.0%"),
        ({"loss": 0.9, "pairs": 199}, ""),
        ({"loss": 0.9, "pairs": 200}, "worse"),
        ({"loss": 0.9, "since_s": 5.1 * DAY_S}, ""),
        ({"loss": 0.9, "since_s": 5.0 * DAY_S}, "worse"),
    ],
)
def test_the_verdict(change, words):
    """Worse than the seasonal naive or a coverage more than 5 points off, after 2 days and 200 pairs, and not before."""
    reason = verdict(replace(GOOD, **change))
    assert reason.startswith(words) if words else not reason


@pytest.mark.parametrize("wrong", [{"span_s": 0.0}, {"pairs": 0}, {"tolerance": 1.0}])
def test_a_rule_out_of_range_is_refused(wrong):
    """Parameters are checked when they are made."""
    with pytest.raises(BadInputError):
        VerdictRule(**wrong)
