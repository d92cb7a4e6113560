import numpy as np
import pytest

from models.base import pinball
from models.neural import NeuralForecaster
from models.params import NetworkParams, params_from
from plb_ray.domain.rates import medium_horizon
from plb_ray.errors import BadInputError, NoForecastError
from tests.forecast.synthetic import DAY, SHORT, STEP_S, TINY, before, history_of, last_rate_loss, seasonal_history


@pytest.fixture(scope="module")
def trained():
    """A network that saw the first 18 of 21 days."""
    forecaster = NeuralForecaster(TINY, seed=3)
    forecaster.fit(before(seasonal_history(days=21), 18 * DAY), SHORT)
    return forecaster


def test_the_network_beats_the_last_rate(trained):
    """On unseen days of series with a timetable its quantile loss is less than half of the last rate's."""
    history = seasonal_history(days=21)
    cuts = range(18 * DAY, 20 * DAY, 7)
    made = np.stack([trained.predict(before(history, cut)).messages_per_s for cut in cuts])
    actual = np.stack([history.messages_per_s[:, cut : cut + SHORT.steps] for cut in cuts])
    loss = 2 * pinball(actual, made).mean(axis=-1).sum() / actual.sum()
    assert loss < 0.5 * last_rate_loss(history, cuts, SHORT.steps)


def test_a_forecast_is_labelled_and_ordered(trained):
    """It names its order params, cutoff and source, and its quantiles rise."""
    history = seasonal_history(order_params=5, days=16, seed=9)
    forecast = trained.predict(history)
    assert (forecast.order_params, forecast.horizon, forecast.cutoff_s) == (history.order_params, SHORT, history.end_s)
    assert set(forecast.sources) == {"neural"}
    assert (np.diff(forecast.messages_per_s, axis=2) >= 0).all()


def test_a_saved_network_predicts_the_same(trained, tmp_path):
    """What is loaded from the artifact predicts bit for bit what was saved."""
    history = seasonal_history(days=16)
    trained.save(tmp_path / "artifact")
    loaded = NeuralForecaster()
    loaded.load(tmp_path / "artifact")
    np.testing.assert_array_equal(trained.predict(history).messages_per_s, loaded.predict(history).messages_per_s)


@pytest.mark.parametrize("damage", ["network.json", "weights.pt", "levels"])
def test_a_damaged_artifact_is_refused(trained, tmp_path, damage):
    """A cut-off manifest, cut-off weights or other quantile levels are an error that says to train again."""
    trained.save(tmp_path)
    if damage == "levels":
        text = (tmp_path / "network.json").read_text()
        (tmp_path / "network.json").write_text(text.replace("0.99", "0.98"))
    else:
        content = (tmp_path / damage).read_bytes()
        (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(NoForecastError):
        NeuralForecaster().load(tmp_path)


def test_the_seed_decides(tmp_path):
    """Trained twice with one seed it predicts the same; another seed gives another network."""
    history, params = (
        seasonal_history(order_params=4),
        NetworkParams(lookback=12, hidden=16, steps=20, batch=32, budget_s=100),
    )
    made = []
    for seed in (1, 1, 2):
        forecaster = NeuralForecaster(params, seed)
        forecaster.fit(history, SHORT)
        made.append(forecaster.predict(history).messages_per_s)
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def test_training_ends_with_its_budget_and_tells_its_progress():
    """A clock that runs out ends the training after the steps that fitted, with progress rising to 1."""
    ticks = iter(range(1000))
    told = []
    forecaster = NeuralForecaster(
        NetworkParams(steps=10_000, batch=8, hidden=8, budget_s=20.0), 1, lambda: float(next(ticks))
    )
    forecaster.fit(seasonal_history(order_params=2), SHORT, told.append)
    assert len(told) == 20
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_medium_horizon_works_on_hours():
    """A half-hourly history gives 24 hourly means from the last full hour on."""
    forecaster = NeuralForecaster(NetworkParams(lookback=24, margin=0, hidden=16, steps=5, batch=16, budget_s=100.0))
    history = before(seasonal_history(order_params=3), 15 * DAY - 1)
    forecaster.fit(history, medium_horizon(STEP_S))
    forecast = forecaster.predict(history)
    assert forecast.messages_per_s.shape[:2] == (3, 24)
    assert forecast.cutoff_s == history.end_s - STEP_S


def test_too_short_a_history_is_refused():
    """Ten steps are too few to train on; the error says how many it takes."""
    with pytest.raises(NoForecastError, match="too short"):
        NeuralForecaster(TINY).fit(history_of(np.ones((2, 10))), SHORT)


def test_an_hour_that_training_never_saw_does_not_spoil_the_forecast():
    """Trained on a steady first half of a day, it foresees the steady second half as steady, whatever the clock says."""
    rng = np.random.default_rng(8)
    history = history_of(rng.uniform(9, 11, (6, 720)), step_s=60)
    forecaster = NeuralForecaster(NetworkParams(lookback=12, margin=2, hidden=48, steps=150, batch=64, budget_s=100.0))
    forecaster.fit(before(history, 360), SHORT.__class__("short", 60, 5))
    for cut in range(420, 720, 60):
        median = forecaster.predict(before(history, cut)).at_level(0.5)
        assert (np.abs(median - 10) < 1).all()


def test_an_untrained_network_says_so():
    """Predict before fit is an error of the port, not an AttributeError."""
    with pytest.raises(NoForecastError, match="not trained"):
        NeuralForecaster().predict(seasonal_history())


@pytest.mark.parametrize("wrong", [{"hidden": 0}, {"learning_rate": 2.0}, {"budget_s": float("nan")}, {"layers": 3}])
def test_wrong_parameters_are_refused(wrong):
    """A value out of range, not a number, or of an unknown name is refused with its name."""
    with pytest.raises(BadInputError, match=next(iter(wrong))):
        params_from(wrong)
