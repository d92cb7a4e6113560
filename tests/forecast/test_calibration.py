import numpy as np
import pytest

from models.base import LEVELS
from models.calibration import Calibrated, CalibrationParams, _hits, _levels, _read_at
from plb_ray.domain.rates import Horizon
from plb_ray.errors import BadInputError, NoForecastError
from tests.forecast.members import Fixed, ignore
from tests.forecast.synthetic import DAY, SHORT, before, history_of

LOW, HIGH, MEDIAN = LEVELS.index(0.1), LEVELS.index(0.9), LEVELS.index(0.5)


def normal_history(deviation, order_params=8, days=20, seed=0):
    rng = np.random.default_rng(seed)
    return history_of(np.maximum(0, 100 + deviation * rng.standard_normal((order_params, days * DAY))))


def coverage(forecaster, history, origins):
    """Share of the observed rates of the first step that lie in the 80 % interval."""
    said = forecaster.quantiles(history, origins)[:, :, 0]  # (N, K, Q)
    actual = history.messages_per_s[:, origins].T
    return ((actual >= said[..., LOW]) & (actual <= said[..., HIGH])).mean()


@pytest.mark.parametrize("claimed", [3.0, 30.0])
def test_bands_that_are_too_narrow_or_too_wide_are_put_right(claimed):
    """A member that claims a third, or three times, of the true deviation covers 80 % within 3 points once calibrated."""
    history = normal_history(10.0)
    forecaster, raw = Calibrated(Fixed("m", 100.0, claimed)), Fixed("m", 100.0, claimed)
    for one in (forecaster, raw):
        one.fit(before(history, 12 * DAY), SHORT, ignore)
    origins = np.arange(13 * DAY, 20 * DAY - 2)
    assert abs(coverage(raw, history, origins) - 0.8) > 0.15
    assert abs(coverage(forecaster, history, origins) - 0.8) < 0.03


def test_a_change_of_regime_is_followed():
    """When the traffic becomes three times as wild, the week after it is covered within 5 points, its last days within 3."""
    calm, wild = normal_history(10.0, days=14), normal_history(30.0, days=8, seed=1)
    history = history_of(np.concatenate([calm.messages_per_s, wild.messages_per_s], axis=1))
    forecaster = Calibrated(Fixed("m", 100.0, 10.0))
    forecaster.fit(before(history, 12 * DAY), SHORT, ignore)
    week, end = np.arange(14 * DAY, 21 * DAY), np.arange(18 * DAY, 22 * DAY - 2)
    assert abs(coverage(forecaster, history, week) - 0.8) < 0.05
    assert abs(coverage(forecaster, history, end) - 0.8) < 0.03


def test_what_comes_later_changes_nothing():
    """An origin is answered the same whether asked alone, with later ones, or after them."""
    history = normal_history(10.0)
    forecaster = Calibrated(Fixed("m", 100.0, 3.0))
    forecaster.fit(before(history, 12 * DAY), SHORT, ignore)
    early, late = np.array([14 * DAY]), np.array([19 * DAY])
    first = forecaster.quantiles(before(history, 14 * DAY), early)
    both = forecaster.quantiles(history, np.concatenate([late, early]))
    np.testing.assert_array_equal(first[0], both[1])
    np.testing.assert_array_equal(first, forecaster.quantiles(history, early))


def test_step_by_step_is_the_same_as_at_once():
    """A balancer that asks at every step ends where one that looks back over all of them does."""
    history = normal_history(10.0)
    made = []
    for asked in (np.arange(13 * DAY, 13 * DAY + 40), np.array([13 * DAY + 39])):
        forecaster = Calibrated(Fixed("m", 100.0, 3.0))
        forecaster.fit(before(history, 13 * DAY), SHORT, ignore)
        made.append([forecaster.quantiles(before(history, at), np.array([at]))[0] for at in asked][-1])
    np.testing.assert_allclose(made[0], made[1], rtol=1e-6)


def test_a_restart_goes_on_from_the_artifact(tmp_path):
    """What is loaded answers as what was saved; an artifact for other steps is refused."""
    history = normal_history(10.0)
    forecaster, again = Calibrated(Fixed("m", 100.0, 3.0)), Calibrated(Fixed("m", 100.0, 3.0))
    forecaster.fit(before(history, 12 * DAY), SHORT, ignore)
    forecaster.save(tmp_path)
    again.load(tmp_path, SHORT)
    at = np.array([14 * DAY])
    np.testing.assert_array_equal(forecaster.quantiles(history, at), again.quantiles(history, at))
    with pytest.raises(NoForecastError, match="other settings"):
        again.load(tmp_path, Horizon("short", 60, 5))


def test_idle_order_params_do_not_widen_the_bands():
    """Order params that are idle nine steps in ten, foreseen exactly so, keep the levels they have within 0.1."""
    rng = np.random.default_rng(7)
    rates = np.where(rng.random((50, 20 * DAY)) < 0.1, 20.0 + rng.random((50, 20 * DAY)), 0.0)

    class Exact(Fixed):
        def quantiles(self, grid, origins):
            said = np.where(np.asarray(LEVELS) > 0.9, 20.0 + (np.asarray(LEVELS) - 0.9) * 10, 0.0)
            return np.broadcast_to(said, (len(origins), len(grid.order_params), SHORT.steps, 13)).astype(np.float32)

    history = history_of(rates)
    forecaster = Calibrated(Exact("m", 0.0))
    forecaster.fit(before(history, 12 * DAY), SHORT, ignore)
    forecaster.quantiles(history, np.array([19 * DAY]))
    levels = _levels(forecaster._state.logits[2])
    assert np.abs(levels - np.asarray(LEVELS)).max() < 0.1


def test_a_tie_is_a_share_of_a_hit():
    """Where the levels to 0.5 (or 0.55) are 0, a rate of 0 is 0.1 / 0.55 of a hit of 0.1, a whole one of 0.9; 4 is none."""
    said = np.where(np.asarray(LEVELS) <= 0.5, 0.0, 3.0).astype(np.float32)[None, None]
    at_zero, above = (_hits(np.full((1, 1, 1), rate), said)[0, 0] for rate in (0.0, 4.0))
    np.testing.assert_allclose([at_zero[LOW], at_zero[MEDIAN], at_zero[HIGH]], [0.1 / 0.55, 0.5 / 0.55, 1.0])
    assert not above.any()


def test_levels_beyond_the_outermost_go_on():
    """Read at its own levels a quantile function is itself; above 0.99 it goes on rising, below 0.025 on falling to 0."""
    raw = np.linspace(1, 13, 13, dtype=np.float32)[None, None]
    levels = np.asarray(LEVELS)[None, None].copy()
    np.testing.assert_allclose(_read_at(raw, levels), raw, rtol=1e-6)
    levels[..., 0], levels[..., -1] = 0.0125, 0.999
    said = _read_at(raw, levels)[0, 0]
    np.testing.assert_allclose(said[[0, -1]], [0.5, 13 + np.log(10) / np.log(2.5)], rtol=1e-5)


def test_an_impossible_parameter_is_refused():
    """Gamma above 1 would overshoot for ever."""
    with pytest.raises(BadInputError, match="gamma"):
        CalibrationParams(gamma=2.0)
