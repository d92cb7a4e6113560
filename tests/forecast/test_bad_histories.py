import numpy as np
import pytest

from models.base import LEVELS, RATE_MAX_PER_S, clean_rates
from models.baseline import seasonal_naive
from models.factory import calibrated_ensemble, make_forecaster
from models.forecaster import CandidateForecaster
from models.params import NetworkParams
from plb_ray.domain.rates import medium_horizon, short_horizon
from tests.forecast.synthetic import DAY, SHORT, TINY, history_of, seasonal_history

ROWS, STEPS = 5, 9 * DAY


def uniform():
    return np.random.default_rng(5).uniform(1, 9, (ROWS, STEPS))


def replaced(where, value):
    rates = uniform()
    rates[:, where] = value
    return rates


BAD = {
    "nan": lambda: replaced(slice(-30, None), np.nan),
    "all_nan": lambda: replaced(slice(None), np.nan),
    "infinite": lambda: replaced(slice(None, None, 7), np.inf),
    "negative": lambda: replaced(slice(None, None, 3), -4),
    "zero": lambda: replaced(slice(None), 0),
    "constant": lambda: replaced(slice(None), 3),
    "huge": lambda: uniform() * 1e12,
    "beyond_float32": lambda: uniform() * 1e300,
    "one_point": lambda: uniform()[:, :1],
    "integers": lambda: uniform().astype(np.int64),
}


@pytest.fixture(scope="module")
def network():
    """The ensemble that serves, with small networks, trained on series with a timetable."""
    forecaster = CandidateForecaster(calibrated_ensemble(1, TINY))
    forecaster.fit(seasonal_history(days=21), SHORT)
    return forecaster


def assert_sound(forecast, horizon):
    values = forecast.messages_per_s
    assert values.shape == (ROWS, horizon.steps, len(LEVELS))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= RATE_MAX_PER_S).all()
    assert (np.diff(values, axis=2) >= 0).all()


@pytest.mark.parametrize("kind", BAD)
def test_the_network_answers_soundly(network, kind):
    """Whatever the history holds, the trained network's forecast is finite, not negative, and sorted."""
    assert_sound(network.predict(history_of(BAD[kind]())), SHORT)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("horizon", [short_horizon(1800), medium_horizon(1800)], ids=["short", "medium"])
def test_the_baseline_answers_soundly(kind, horizon):
    """The same holds for the baseline at both horizons."""
    assert_sound(seasonal_naive(history_of(BAD[kind]()), horizon), horizon)


@pytest.mark.parametrize("kind", ["all_nan", "zero", "constant", "huge", "negative"])
def test_a_network_trained_on_it_answers_soundly(kind):
    """Training on such a history ends, and what it gives is sound."""
    history = history_of(BAD[kind]())
    forecaster = make_forecaster(1, NetworkParams(lookback=8, hidden=8, steps=5, batch=16, budget_s=100))
    forecaster.fit(history, SHORT)
    assert_sound(forecaster.predict(history), SHORT)


def test_silence_is_foreseen_as_silence(network):
    """An order param without a message has a forecast of practically nothing at every quantile."""
    assert network.predict(history_of(BAD["zero"]())).messages_per_s.max() < 1e-3


def test_gaps_hold_the_last_measured_rate():
    """Missing steps repeat the last measured one, zeros before the first; a reset counter is zero; nothing is too large."""
    rates = np.array([[np.nan, 2, np.nan, np.inf, -5, 1e300]])
    np.testing.assert_array_equal(clean_rates(rates), np.array([[0, 2, 2, 2, 0, RATE_MAX_PER_S]], dtype=np.float32))


def test_cleaning_leaves_the_callers_array_alone():
    """The history handed in is not written to."""
    rates = np.array([[np.nan, -1.0]])
    clean_rates(rates)
    np.testing.assert_array_equal(rates, [[np.nan, -1.0]])


def test_a_dedicated_forecaster_goes_on_from_its_parent_or_from_nothing(network, tmp_path):
    """From a readable artifact for the horizon it goes on, and stays nearer to it than one that is trained anew without."""
    network.save(tmp_path / "parent")
    (tmp_path / "damaged").mkdir()
    own = seasonal_history(order_params=1, days=21)
    said = {}
    for start in ("parent", "damaged"):
        told = []
        forecaster = CandidateForecaster(calibrated_ensemble(1, TINY))
        forecaster.fit(own, SHORT, told.append, tmp_path / start)
        assert told[-1] == 1.0
        said[start] = forecaster.predict(own).messages_per_s
    group = network.predict(own).messages_per_s
    apart = {start: float(np.abs(values - group).mean()) for start, values in said.items()}
    assert apart["parent"] < 0.5 * apart["damaged"]
