from dataclasses import replace

import numpy as np
import pytest

from models.baseline import seasonal_naive
from models.guarded import GuardedForecaster, Verdict, rolling_loss, tail_steps
from plb_ray.domain.rates import medium_horizon
from plb_ray.errors import NoForecastError
from tests.forecast.synthetic import DAY, SHORT, STEP_S, FlatForecaster, before, history_of, seasonal_history


def steady(rows=4, days=12):
    return history_of(np.random.default_rng(2).uniform(4.9, 5.1, (rows, days * DAY)))


def test_a_network_worse_than_the_baseline_does_not_serve():
    """A network a hundred times off on the held-out tail is replaced by the baseline, and the source says so."""
    forecaster = GuardedForecaster(FlatForecaster(factor=100.0))
    forecaster.fit(steady(), SHORT)
    assert forecaster.verdict.network_loss > forecaster.verdict.baseline_loss
    forecast = forecaster.predict(steady())
    assert set(forecast.sources) == {"seasonal_naive"}
    np.testing.assert_array_equal(forecast.messages_per_s, seasonal_naive(steady(), SHORT).messages_per_s)


def test_a_network_better_than_the_baseline_serves():
    """On a five-step rhythm, of which the baseline knows nothing, a network that knows it is let through."""

    class Knowing(FlatForecaster):
        def predict(self, history):
            forecast = super().predict(history)
            ahead = (forecast.cutoff_s - history.start_s) // STEP_S + np.arange(SHORT.steps)
            values = np.ones_like(forecast.messages_per_s) * (ahead % 5 == 0)[None, :, None]
            return replace(forecast, messages_per_s=values)

    history = history_of((np.arange(12 * DAY) % 5 == 0)[None, :].astype(float))
    forecaster = GuardedForecaster(Knowing())
    forecaster.fit(history, SHORT)
    assert forecaster.verdict.network_loss < forecaster.verdict.baseline_loss
    assert set(forecaster.predict(history).sources) == {"flat"}


def test_the_tail_is_kept_from_training():
    """What the network is judged on is not in the history it was trained on."""
    seen = []

    class Spy(FlatForecaster):
        def fit(self, history, horizon, on_progress=None):
            seen.append(history.messages_per_s.shape[1])
            super().fit(history, horizon, on_progress)

    history = steady(days=9)
    GuardedForecaster(Spy()).fit(history, SHORT)
    assert seen == [9 * DAY - tail_steps(history, SHORT)]


def test_a_spoiled_row_is_the_baselines():
    """NaN in one order param's forecast replaces only that row, and only its source changes."""
    forecaster = GuardedForecaster(FlatForecaster(spoil="op-2"))
    forecaster.fit(steady(), SHORT)
    forecaster.verdict = Verdict(0.1, 0.2)
    forecast = forecaster.predict(steady())
    assert forecast.sources == ("flat", "flat", "seasonal_naive", "flat")
    assert np.isfinite(forecast.messages_per_s).all()


def test_a_loss_that_is_no_number_never_serves():
    """NaN compares as not better."""
    assert not Verdict(float("nan"), 1.0).network_serves


def test_the_loss_of_a_perfect_forecast_is_zero_and_of_a_flat_one_is_not():
    """The rolling loss compares each forecast with the steps after its own cutoff."""
    history = seasonal_history(days=6)

    def clairvoyant(past):
        cut = past.messages_per_s.shape[1]
        forecast = seasonal_naive(past, SHORT)
        truth = history.messages_per_s[:, cut : cut + SHORT.steps, None]
        return replace(forecast, messages_per_s=np.repeat(truth, 7, axis=2))

    assert rolling_loss(clairvoyant, history, SHORT, 5 * DAY) == pytest.approx(0, abs=1e-6)
    assert rolling_loss(lambda past: seasonal_naive(past, SHORT), history, SHORT, 5 * DAY) > 0.02


def test_verdict_and_network_survive_saving_twice(tmp_path):
    """A second save replaces the first; what is loaded serves as the last one saved did."""
    forecaster = GuardedForecaster(FlatForecaster(factor=100.0))
    forecaster.fit(steady(), SHORT)
    forecaster.save(tmp_path / "a")
    forecaster.verdict = Verdict(0.1, 0.2)
    forecaster.save(tmp_path / "a")
    loaded = GuardedForecaster(FlatForecaster(factor=100.0))
    loaded.load(tmp_path / "a")
    assert set(loaded.predict(steady()).sources) == {"flat"}
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["current", "v2"]


def test_a_save_that_was_cut_off_leaves_the_older_artifact(tmp_path):
    """A newer version without its entry in `current` is not what is loaded."""
    forecaster = GuardedForecaster(FlatForecaster())
    forecaster.fit(steady(), SHORT)
    forecaster.save(tmp_path)
    (tmp_path / "v2").mkdir()
    loaded = GuardedForecaster(FlatForecaster())
    loaded.load(tmp_path)
    assert loaded.verdict == forecaster.verdict
    forecaster.save(tmp_path)
    assert (tmp_path / "current").read_text() == "v3"


def test_no_artifact_is_an_error_of_the_port(tmp_path):
    """Loading from an empty folder says that there is nothing."""
    with pytest.raises(NoForecastError):
        GuardedForecaster(FlatForecaster()).load(tmp_path)


def test_the_tail_covers_a_medium_horizon():
    """A day ahead needs a day held out, even of a short history."""
    history = before(seasonal_history(), 4 * DAY)
    assert tail_steps(history, medium_horizon(STEP_S)) == DAY
