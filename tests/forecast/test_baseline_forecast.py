import numpy as np
import pytest

from models.base import LEVELS, on_grid, pinball
from models.baseline import BaselineForecaster, seasonal_naive
from plb_ray.domain.rates import Horizon, medium_horizon
from plb_ray.errors import BadInputError, NoForecastError
from tests.forecast.synthetic import DAY, SHORT, before, history_of, last_rate_loss, seasonal_history


def brute_force_row(x, now, h, steps, lags, origins):
    """One order param and one horizon step, written as the module's docstring says it."""

    def season(t):
        return np.mean([x[t + h - lag] for lag in lags if t >= lag])

    best = None
    for w in (0.0, 0.25, 0.5, 0.75, 1.0):
        errors = [x[t + h] - (w * x[t - 1] + (1 - w) * season(t)) for t in origins]
        score = np.abs(errors).mean()
        if best is None or score < best[0] - 1e-7:
            best = (score, w * x[now - 1] + (1 - w) * season(now), errors)
    return np.maximum(0, best[1] + np.quantile(best[2], LEVELS, method="weibull"))


def origins_of(now, steps, near, lags):
    near_days = {now - DAY * d + o for d in range(1, 15) for o in range(-near, near + 1)}
    latest = {now - steps - i for i in range(24)}
    return sorted(t for t in near_days | latest if min(lags) <= t <= now - steps)


@pytest.mark.parametrize(
    ("days", "lags"),
    [(9, [DAY * d for d in range(1, 8)]), (16, [7 * DAY, 14 * DAY]), (40, [7 * DAY * w for w in range(1, 5)])],
)
def test_baseline_equals_its_definition(days, lags):
    """With day season, two weeks and four weeks, the vectorised baseline equals loops over its own definition."""
    history = seasonal_history(order_params=4, days=days, seed=days)
    now = history.messages_per_s.shape[1]
    forecast = seasonal_naive(history, SHORT).messages_per_s
    origins = origins_of(now, SHORT.steps, 1, lags)
    for row, x in enumerate(np.asarray(history.messages_per_s, dtype=np.float64)):
        for h in range(SHORT.steps):
            expected = brute_force_row(x, now, h, SHORT.steps, lags, origins)
            np.testing.assert_allclose(forecast[row, h], expected, rtol=2e-4, atol=2e-4)


def test_baseline_is_better_than_the_last_rate_on_a_rhythm():
    """On series with a timetable the baseline's quantile loss is less than half of the last rate's."""
    history = seasonal_history(days=21)
    cuts = range(18 * DAY, 20 * DAY, 7)
    made = np.stack([seasonal_naive(before(history, cut), SHORT).messages_per_s for cut in cuts])
    actual = np.stack([history.messages_per_s[:, cut : cut + SHORT.steps] for cut in cuts])
    loss = 2 * pinball(actual, made).mean(axis=-1).sum() / actual.sum()
    assert loss < 0.5 * last_rate_loss(history, cuts, SHORT.steps)


def test_baseline_follows_the_last_rate_when_there_is_no_rhythm():
    """After a jump of a series without season the median is at the new level, not at yesterday's."""
    rng = np.random.default_rng(1)
    level = np.repeat([[1.0, 50.0, 3.0, 80.0, 20.0, 9.0, 65.0, 30.0]], 67, axis=1).reshape(1, -1, order="C")
    level = np.repeat(np.array([1.0, 50.0, 3.0, 80.0, 20.0, 9.0, 65.0, 30.0]), 67)[None, :]
    history = history_of(level + rng.uniform(0, 0.1, level.shape))
    assert 28 < seasonal_naive(history, SHORT).at_level(0.5)[0, 0] < 32


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_handful_of_steps_is_enough(steps):
    """From a single step on there is a forecast; its median is the last rate when nothing changed."""
    forecast = seasonal_naive(history_of(np.full((3, steps), 4.0)), SHORT)
    np.testing.assert_allclose(forecast.messages_per_s, 4.0)


def test_a_history_shorter_than_one_coarse_step_counts_as_one():
    """An hourly forecast from 20 minutes of history holds their mean rate, on the hour's grid."""
    forecast = seasonal_naive(history_of([[2.0, 4.0]], step_s=600), medium_horizon(600))
    assert forecast.messages_per_s.shape == (1, 24, len(LEVELS))
    assert forecast.cutoff_s % 3600 == 0
    np.testing.assert_allclose(forecast.messages_per_s, 3.0)


def test_no_step_is_no_forecast():
    """An empty history is refused with the error the pool's port promises."""
    with pytest.raises(NoForecastError):
        seasonal_naive(history_of(np.zeros((2, 0))), SHORT)


def test_a_horizon_off_the_grid_is_refused():
    """A step that does not divide the horizon's step is an error that names both."""
    with pytest.raises(BadInputError, match=r"steps of 3600 s.* steps of 420 s"):
        seasonal_naive(history_of(np.ones((1, 9)), step_s=420), Horizon("medium", 3600, 24))


def fitted_baseline(horizon=SHORT):
    forecaster = BaselineForecaster()
    forecaster.fit(seasonal_history(days=1), horizon, lambda _: None)
    return forecaster


def test_at_each_origin_it_says_what_the_forecast_of_that_time_said():
    """Many origins, the first step and more than the lookback among them, equal one forecast each from what was known."""
    history = on_grid(seasonal_history(order_params=3, days=50), SHORT)
    origins = np.array([1, 9, 3 * DAY, 20 * DAY + 5, 50 * DAY])
    said = fitted_baseline().quantiles(history, origins)
    for i, origin in enumerate(origins):
        expected = seasonal_naive(before(history, origin), SHORT).messages_per_s
        np.testing.assert_array_equal(said[i], expected)


def test_order_params_beyond_one_block_are_foreseen_alike(monkeypatch):
    """Working in blocks of order params changes no number."""
    history, at = seasonal_history(order_params=7, days=20), np.array([18 * DAY])
    whole = fitted_baseline().quantiles(history, at)
    monkeypatch.setattr("models.baseline.ROWS", 3)
    np.testing.assert_array_equal(fitted_baseline().quantiles(history, at), whole)


def test_the_baseline_can_be_kept(tmp_path):
    """What was saved is loaded for the same horizon only; absent and damaged artifacts are refused."""
    fitted_baseline().save(tmp_path / "it")
    back = BaselineForecaster()
    back.load(tmp_path / "it", SHORT)
    assert back.quantiles(seasonal_history(days=3), np.array([DAY])).shape == (1, 12, SHORT.steps, len(LEVELS))
    with pytest.raises(NoForecastError, match="other settings"):
        BaselineForecaster().load(tmp_path / "it", medium_horizon(1800))
    with pytest.raises(NoForecastError, match="no readable artifact"):
        BaselineForecaster().load(tmp_path / "nowhere", SHORT)
    (tmp_path / "it" / "baseline.json").write_text("{")
    with pytest.raises(NoForecastError):
        BaselineForecaster().load(tmp_path / "it", SHORT)


def test_the_baseline_without_a_horizon_is_refused(tmp_path):
    """Neither fit nor load: a clear error."""
    with pytest.raises(NoForecastError):
        BaselineForecaster().quantiles(seasonal_history(days=3), np.array([9]))
    with pytest.raises(NoForecastError):
        BaselineForecaster().save(tmp_path)
