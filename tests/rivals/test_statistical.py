import numpy as np
import pytest
from scipy.stats import norm

from models.base import LEVELS
from models.statistical import RIVALS, StatisticalForecaster, _quiet
from plb_ray.errors import BadInputError, NoForecastError
from tests.forecast.synthetic import DAY, SHORT, before, history_of, seasonal_history

MEDIAN = LEVELS.index(0.5)
CUT = 4 * DAY


def history(rows=2, days=6):
    """Two order params with a rhythm of eight hours; the first four days are for training."""
    return seasonal_history(rows, days, seed=6)


def fitted(kind, past, on_progress=lambda _: None):
    forecaster = StatisticalForecaster(kind)
    forecaster.fit(past, SHORT, on_progress)
    return forecaster


@pytest.mark.parametrize("kind", RIVALS)
def test_every_rival_says_quantiles_without_help(kind):
    """Of a plain series each gives finite rates >= 0, rising along Q with some width, and never needs the naive one."""
    grid = history()
    forecaster = fitted(kind, before(grid, CUT))
    said = forecaster.quantiles(grid, np.array([CUT, CUT + 7]))
    assert said.shape == (2, 2, SHORT.steps, len(LEVELS))
    assert said.dtype == np.float32
    assert np.isfinite(said).all()
    assert (said >= 0).all()
    assert (np.diff(said, axis=3) >= 0).all()
    assert (said[..., -1] > said[..., MEDIAN]).all()
    assert forecaster.fallbacks == 0


def test_naive_is_the_last_rate_with_normal_errors():
    """The median is the last rate, the others lie the normal quantile of the one-step errors times sqrt(h) from it."""
    grid = history_of(20 + np.random.default_rng(1).normal(size=(1, 100)))
    past = grid.messages_per_s[0, :90]
    sigma = np.sqrt((np.diff(past) ** 2).sum() / 89)
    said = fitted("naive", before(grid, 60)).quantiles(grid, np.array([90]))[0, 0]
    for h in range(SHORT.steps):
        np.testing.assert_allclose(said[h], past[-1] + norm.ppf(LEVELS) * sigma * np.sqrt(h + 1), rtol=1e-4)


def test_seasonal_naive_is_yesterday():
    """The median at each step is the rate of the same time of the day before."""
    grid = history()
    said = fitted("seasonal_naive", before(grid, CUT)).quantiles(grid, np.array([CUT + 5]))[0, :, :, MEDIAN]
    yesterday = grid.messages_per_s[:, CUT + 5 - DAY : CUT + 5 - DAY + SHORT.steps]
    np.testing.assert_allclose(said, yesterday, rtol=1e-6)


def test_ets_is_fitted_once_and_moved_forward():
    """At an origin after the training part it says what statsforecast's model, fitted on that part, says there."""
    grid = history(rows=1)
    said = fitted("auto_ets", before(grid, CUT)).quantiles(grid, np.array([CUT + 9]))[0, 0]
    rates = grid.messages_per_s[0].astype(float)
    with _quiet():
        from statsforecast.models import AutoETS  # noqa: PLC0415 (importing it costs seconds)

        model = AutoETS(season_length=DAY).fit(rates[:CUT])
        expected = model.forward(rates[: CUT + 9], SHORT.steps, level=[80, 90, 95])
    for level, key in ((0.025, "lo-95"), (0.1, "lo-80"), (0.5, "mean"), (0.9, "hi-80"), (0.95, "hi-90"), (0.975, "hi-95")):
        np.testing.assert_allclose(said[:, LEVELS.index(level)], np.maximum(expected[key], 0), rtol=1e-5)


@pytest.mark.parametrize("kind", ["auto_ets", "mstl"])
def test_what_lies_behind_an_origin_is_not_read(kind):
    """Changing the steps from the origin on changes nothing, for order params that were fitted and for new ones."""
    grid, changed = history(), history()
    changed.messages_per_s[:, CUT:] = 999.0
    forecaster = fitted(kind, before(grid, CUT).rows(("op-0",)))
    at = np.array([CUT])
    np.testing.assert_array_equal(forecaster.quantiles(grid, at), forecaster.quantiles(changed, at))


def test_a_later_grid_is_placed_by_its_clock():
    """A grid that starts after the training did gives the forecast that the same steps of the whole grid give."""
    grid = history()
    forecaster = fitted("naive", before(grid, CUT).last(2 * DAY))
    whole = forecaster.quantiles(grid, np.array([CUT + 3]))
    late = forecaster.quantiles(grid.last(4 * DAY), np.array([CUT + 3 - 2 * DAY]))
    np.testing.assert_array_equal(whole, late)


@pytest.mark.parametrize(("kind", "steps"), [("auto_ets", 3), ("auto_theta", 2), ("mstl", 4), ("croston_sba", 3)])
def test_a_rival_that_fails_is_replaced_and_counted(kind, steps):
    """A history too short for the model gives the naive forecast, once counted for each order param and origin."""
    grid = before(history(), steps)
    at = np.array([steps - 1, steps])
    forecaster = fitted(kind, grid)
    np.testing.assert_array_equal(forecaster.quantiles(grid, at), fitted("naive", grid).quantiles(grid, at))
    assert forecaster.fallbacks == 4


def test_a_silent_order_param_is_foreseen_as_silent():
    """All zeros are no failure of the model."""
    grid = history_of(np.zeros((2, 3 * DAY)))
    forecaster = fitted("auto_ets", grid)
    assert forecaster.quantiles(grid, np.array([2 * DAY])).max() == 0
    assert forecaster.fallbacks == 0


@pytest.mark.parametrize("kind", ["naive", "seasonal_naive", "auto_ets", "auto_theta", "mstl"])
@pytest.mark.parametrize("rate", [3.0, 1e15])
def test_a_constant_rate_stays(kind, rate):
    """A rate that never changes is foreseen as itself, however large."""
    grid = history_of(np.full((1, 3 * DAY), rate))
    said = fitted(kind, grid).quantiles(grid, np.array([3 * DAY]))
    np.testing.assert_allclose(said, rate, rtol=1e-3)


def test_progress_rises_to_one():
    """It is told after each order param."""
    told = []
    fitted("naive", history(rows=4), told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_misuse_is_refused():
    """An unknown kind, a forecast without fit and a fit without any step are errors that say so."""
    with pytest.raises(BadInputError, match=r"'arima'; known are naive, .*mstl"):
        StatisticalForecaster("arima")
    with pytest.raises(NoForecastError, match="not trained"):
        StatisticalForecaster("naive").quantiles(history(), np.array([9]))
    with pytest.raises(NoForecastError, match="at least one step"):
        fitted("naive", history_of(np.zeros((1, 0))))
