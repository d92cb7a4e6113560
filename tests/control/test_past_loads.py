"""What is told of the past: moments, and surges of single order params."""

import numpy as np

from plb_ray.control.past_loads import SURGE_S, SURGES_MAX, past_loads, with_surges
from plb_ray.domain.rates import RateHistory
from plb_ray.estimate.cost import CostModel, Ratio

COST = CostModel(cpu=Ratio(1.0, 1.0))
NOW_S, STEP_S, LASTS_S = 1_800_000_000, 60, 600.0


def told(rates, days=7.0):
    history = RateHistory(tuple(f"o{row}" for row in range(len(rates))), NOW_S - rates.shape[1] * STEP_S, STEP_S, rates)
    return past_loads(history, COST, days)


def test_of_each_stretch_the_highest_moment_is_kept():
    """A past longer than can be kept is told by the highest moment of each stretch; what is not told counts as nothing."""
    rates = np.zeros((2, 3000), dtype=np.float32)
    rates[:, 1500], rates[0, 7] = (3.0, 4.0), np.nan
    found = told(rates)
    moments, surges = found.load[:, len(found.surging) :, 0], len(found.surging)
    assert (moments.shape, set(found.lasts_s[surges:]), found.resources) == ((2, 1000), {180.0}, (0,))
    assert moments[:, 500].tolist() == [3.0, 4.0]
    assert np.isfinite(found.load).all()
    assert found.moments_s == 3000 * 60
    assert told(rates, days=0) is None


def test_a_surge_goes_as_far_beyond_the_record_as_that_is_above_the_usual_day():
    """One order param a surge, the others at their mean; records count though no kept moment holds them."""
    rates = np.tile(np.array([[1.0], [2.0]], dtype=np.float32), (1, 3 * 1440))
    rates[0, [100, 1600, 3000]] = (2.0, 3.0, 5.0)
    rates[1, 3002] = 9.0  # of the same stretch of five steps, and higher: this moment is kept, the 5 of the other is not
    found = told(rates)
    assert found.surging.tolist() == [1, 0]
    mean = found.load[:, 2:, 0].mean(axis=1)
    np.testing.assert_allclose(found.load[:, 0, 0], [mean[0], 2 * 9.0 - 2.0], rtol=1e-6)
    np.testing.assert_allclose(found.load[:, 1, 0], [2 * 5.0 - 3.0, mean[1]], rtol=1e-6)
    assert found.lasts_s[:2].tolist() == [SURGE_S, SURGE_S]


def test_what_comes_every_day_surges_to_its_record():
    """Without records that stand out nothing is foreseen beyond them."""
    daily = np.tile(np.array([0.1] * 100 + [0.6] * 44, dtype=np.float32), 5)[None, :, None]
    found = with_surges(daily, (0,), LASTS_S)
    assert found.load[0, 0, 0] == np.float32(0.6)


def test_the_largest_surges_are_kept_and_few_moments_have_fewer():
    """Of many order params the ones that surge highest, at most half as many as there are moments."""
    peaks = np.arange(100, dtype=np.float32)[:, None, None]
    for moments, kept in ((1008, SURGES_MAX), (10, 5), (1, 0)):
        found = with_surges(np.zeros((100, moments, 1), dtype=np.float32), (0,), LASTS_S, peaks)
        assert found.surging.tolist() == list(range(99, 99 - kept, -1))


def test_days_are_counted_back_from_now_and_begin_after_the_surges():
    """Of two days and a half the half comes first."""
    found = with_surges(np.zeros((1, 360, 1), dtype=np.float32), (0,), LASTS_S, np.ones((1, 3, 1), dtype=np.float32))
    assert found.days == (1, 73, 217)
