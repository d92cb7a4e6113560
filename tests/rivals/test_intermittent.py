import json
import math

import numpy as np
import pytest

from models.base import LEVELS
from models.intermittent import ALPHA, MANIFEST, SIZES, IntermittentForecaster, chances
from models.statistical import _quiet
from plb_ray.domain.rates import Horizon, medium_horizon
from plb_ray.errors import NoForecastError
from tests.forecast.synthetic import DAY, SHORT, history_of

WEEK = 7 * DAY


def sometimes(rows=5, days=10, chance=0.3, seed=4):
    """Return (K, T) rates > 0 in independent steps, the sizes all different."""
    rng = np.random.default_rng(seed)
    return np.where(rng.uniform(size=(rows, days * DAY)) < chance, rng.uniform(1, 50, (rows, days * DAY)), 0.0)


def fitted(rates, horizon=SHORT):
    forecaster = IntermittentForecaster()
    forecaster.fit(history_of(rates), horizon, lambda _: None)
    return forecaster


def brute_force(row, origin, persistence):
    """Return (H, Q) of one order param, written as the module's docstring says it."""
    past = row[max(0, origin - WEEK) : origin]
    p = float(past[0] > 0)
    for x in past:
        p += ALPHA * (float(x > 0) - p)
    usual, sizes = (past > 0).mean(), np.sort([x for x in past if x > 0][-SIZES:])
    said = np.zeros((len(persistence), len(LEVELS)))
    for h, left in enumerate(persistence):
        now = usual + left * (p - usual)
        for i, q in enumerate(LEVELS):
            if now > 0 and q > 1 - now + 1e-9:
                said[h, i] = sizes[max(1, math.ceil((q - (1 - now)) / now * len(sizes) - 1e-3)) - 1]
    return said


def test_it_equals_its_definition():
    """At several origins, from the first steps on, the vectorised quantiles equal loops over the definition."""
    rates = sometimes()
    forecaster = fitted(rates)
    origins = np.array([1, 2, 30, WEEK, WEEK + 90, rates.shape[1]])
    said = forecaster.quantiles(history_of(rates), origins)
    for i, origin in enumerate(origins):
        for k, row in enumerate(rates):
            np.testing.assert_allclose(said[i, k], brute_force(row, origin, forecaster.persistence), rtol=1e-6)


def test_the_point_forecast_is_that_of_statsforecast():
    """Where all sizes are equal, chance times size is the point forecast of statsforecast's TSB."""
    rates = np.where(sometimes() > 0, 6.0, 0.0)
    now, _ = chances(rates > 0)
    with _quiet():
        from statsforecast.models import TSB  # noqa: PLC0415 (importing it costs seconds)

        expected = [TSB(alpha_d=0.2, alpha_p=ALPHA).forecast(y=row, h=1)["mean"][0] for row in rates]
    np.testing.assert_allclose(now * 6.0, expected, rtol=1e-5)


def test_what_lies_behind_an_origin_is_not_read():
    """Changing the steps from the origin on changes nothing."""
    rates = sometimes()
    other = rates.copy()
    other[:, 200:] = 999.0
    forecaster = fitted(rates)
    at = np.array([200])
    np.testing.assert_array_equal(forecaster.quantiles(history_of(rates), at), forecaster.quantiles(history_of(other), at))


def test_many_origins_are_each_as_if_alone():
    """Origins in one call, in any order, say what each says by itself."""
    rates = sometimes()
    forecaster, history = fitted(rates), history_of(rates)
    together = forecaster.quantiles(history, np.array([400, 7, 90]))
    alone = [forecaster.quantiles(history, np.array([origin]))[0] for origin in (400, 7, 90)]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_quantiles_are_rates_in_order():
    """Shape, order along Q, no negative rate; a silent order param is foreseen as silent."""
    rates = sometimes()
    rates[2] = 0.0
    said = fitted(rates).quantiles(history_of(rates), np.array([50, 300]))
    assert said.shape == (2, 5, SHORT.steps, len(LEVELS))
    assert said.dtype == np.float32
    assert (np.diff(said, axis=3) >= 0).all()
    assert (said >= 0).all()
    assert said[:, [0, 1, 3, 4]].max() > 0
    assert said[:, 2].max() == 0


def test_an_order_param_that_is_gone_fades_away():
    """After a quiet day the upper quantiles are lower than right after the last message, and the median is 0."""
    rates = np.zeros((1, 3 * DAY))
    rates[:, : DAY + 1] = 8.0
    said = fitted(rates).quantiles(history_of(rates), np.array([DAY + 1, 2 * DAY, 3 * DAY]))[:, 0, 0]
    assert said[0, LEVELS.index(0.5)] == 8.0
    assert said[2, LEVELS.index(0.5)] == 0.0
    assert (said[2] <= said[0]).all()


def test_persistence_is_learnt_from_the_past():
    """Steps that are on and off by long turns keep what they are; steps that are independent fall back to the usual."""
    turns = np.stack([(np.arange(20 * DAY) + shift) // 40 % 2 for shift in range(0, 80, 9)]).astype(float)
    lasting, independent = fitted(turns).persistence, fitted(sometimes(rows=40)).persistence
    assert lasting.min() > 0.8
    assert independent.max() < 0.2
    far = fitted(turns, Horizon("medium", 1800, 38)).persistence
    assert far[0] > far[10] > far[20] >= far[37] - 0.05


@pytest.mark.parametrize("rates", [np.ones((2, 1)), np.zeros((2, 9)), np.ones((2, 400))])
def test_nothing_to_learn_is_the_plain_method(rates):
    """A history of one step, of silence, or without any change leaves the smoothed chance as it is."""
    np.testing.assert_array_equal(fitted(rates).persistence, 1.0)


def test_what_was_saved_comes_back(tmp_path):
    """A loaded forecaster says the same; it is refused for another horizon, damaged or absent."""
    rates = sometimes()
    kept = fitted(rates)
    kept.save(tmp_path / "it")
    back = IntermittentForecaster()
    back.load(tmp_path / "it", SHORT)
    at = np.array([300])
    np.testing.assert_array_equal(back.quantiles(history_of(rates), at), kept.quantiles(history_of(rates), at))
    with pytest.raises(NoForecastError, match="other settings"):
        IntermittentForecaster().load(tmp_path / "it", medium_horizon(1800))
    with pytest.raises(NoForecastError, match="no readable artifact"):
        IntermittentForecaster().load(tmp_path / "nowhere", SHORT)
    for damage in ("{", "[]", json.dumps({"format": 1})):
        (tmp_path / "it" / MANIFEST).write_text(damage)
        with pytest.raises(NoForecastError):
            IntermittentForecaster().load(tmp_path / "it", SHORT)


def test_untrained_is_refused(tmp_path):
    """Neither fit nor load: a clear error instead of a forecast or an artifact."""
    with pytest.raises(NoForecastError):
        IntermittentForecaster().quantiles(history_of(sometimes()), np.array([5]))
    with pytest.raises(NoForecastError):
        IntermittentForecaster().save(tmp_path)
