from dataclasses import replace

import numpy as np
import pytest

from models.base import LEVELS, on_grid, pinball
from models.neural import NeuralForecaster
from models.params import NetworkParams, params_from
from models.scores import weighted_quantile_loss
from plb_ray.domain.events import Event, EventCalendar
from plb_ray.domain.rates import Horizon, medium_horizon
from plb_ray.errors import BadInputError, NoForecastError
from tests.forecast.synthetic import DAY, SHORT, STEP_S, TINY, before, history_of, last_rate_loss, seasonal_history

KINDS = ("nhits", "tide", "patchtst")


def fitted(history, kind="nhits", params=TINY, seed=1, horizon=SHORT, **more):
    forecaster = NeuralForecaster(kind, params, seed, **more)
    forecaster.fit(on_grid(history, horizon), horizon, lambda _: None)
    return forecaster


def at_the_end(forecaster, history):
    """Return (K, H, Q) what is foreseen behind the history's end."""
    return forecaster.quantiles(history, np.array([history.messages_per_s.shape[1]]))[0]


@pytest.fixture(scope="module")
def trained():
    """A network that saw the first 18 of 21 days."""
    return fitted(before(seasonal_history(days=21), 18 * DAY), seed=3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_beats_the_last_rate(kind):
    """On unseen days of series with a timetable its quantile loss is less than half of the last rate's."""
    history = seasonal_history(days=21)
    cuts = np.arange(18 * DAY, 20 * DAY, 7)
    made = fitted(before(history, 18 * DAY), kind, seed=3).quantiles(history, cuts)
    actual = np.stack([history.messages_per_s[:, cut : cut + SHORT.steps] for cut in cuts])
    loss = 2 * pinball(actual, made).mean(axis=-1).sum() / actual.sum()
    assert (np.diff(made, axis=3) >= 0).all()
    assert loss < 0.5 * last_rate_loss(history, cuts, SHORT.steps)


def test_what_is_behind_an_origin_changes_nothing(trained):
    """Origins in the middle of a history are foreseen as if it ended there."""
    history = seasonal_history(order_params=5, days=16, seed=9)
    cuts = np.array([12 * DAY + 3, 15 * DAY])
    together = trained.quantiles(history, cuts)
    alone = np.stack([at_the_end(trained, before(history, cut)) for cut in cuts])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_network_predicts_the_same(kind, tmp_path):
    """What is loaded from the artifact predicts bit for bit what was saved."""
    history = seasonal_history(days=16)
    saved = fitted(history, kind, NetworkParams(lookback=12, hidden=16, steps=20, batch=32, budget_s=100))
    saved.save(tmp_path / "artifact")
    loaded = NeuralForecaster(kind)
    loaded.load(tmp_path / "artifact", SHORT)
    np.testing.assert_array_equal(at_the_end(saved, history), at_the_end(loaded, history))


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
        NeuralForecaster().load(tmp_path, SHORT)


def test_an_artifact_for_another_horizon_or_kind_is_refused(trained, tmp_path):
    """A network for half-hours does not answer for hours, nor NHITS as TiDE."""
    trained.save(tmp_path)
    with pytest.raises(NoForecastError, match="another horizon"):
        NeuralForecaster().load(tmp_path, medium_horizon(STEP_S))
    with pytest.raises(NoForecastError, match="other settings"):
        NeuralForecaster("tide").load(tmp_path, SHORT)


def test_the_seed_decides():
    """Trained twice with one seed it predicts the same; another seed gives another network."""
    history, params = (
        seasonal_history(order_params=4),
        NetworkParams(lookback=12, hidden=16, steps=20, batch=32, budget_s=100),
    )
    made = [at_the_end(fitted(history, params=params, seed=seed), history) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def test_training_ends_with_its_budget_and_tells_its_progress():
    """A clock that runs out ends the training after the steps that fitted, with progress rising to 1."""
    ticks = iter(range(1000))
    told = []
    params = NetworkParams(steps=10_000, batch=8, hidden=8, budget_s=20.0)
    forecaster = NeuralForecaster("nhits", params, 1, lambda: float(next(ticks)))
    forecaster.fit(seasonal_history(order_params=2), SHORT, told.append)
    assert len(told) == 20
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_groups_network_made_an_order_params_own_errs_less_on_it(tmp_path):
    """An order param with a rhythm of its own is foreseen better once the group's network has learnt it; that is kept."""
    group, time = seasonal_history(order_params=8, days=20), np.arange(20 * DAY)
    odd = history_of(np.random.default_rng(9).poisson(np.where(time % 10 < 3, 100, 20), (1, len(time))) / 20)
    learnt, origins = 15 * DAY, np.arange(15 * DAY, 20 * DAY - SHORT.steps, 5)
    params = replace(TINY, steps=200, batch=64)
    actual = odd.messages_per_s[:, origins[:, None] + np.arange(SHORT.steps)].swapaxes(0, 1)

    def loss_of(forecaster):
        return weighted_quantile_loss(actual, forecaster.quantiles(odd, origins))

    shared = fitted(before(group, learnt), params=params)
    shared.save(tmp_path)
    own = NeuralForecaster("nhits", params)
    own.load(tmp_path, SHORT)
    own.specialise(before(odd, learnt), lambda _: None)
    assert loss_of(own) < 0.95 * loss_of(shared)
    own.save(tmp_path / "own")
    again = NeuralForecaster("nhits", params)
    again.load(tmp_path / "own", SHORT)
    np.testing.assert_allclose(again.quantiles(odd, origins), own.quantiles(odd, origins), rtol=1e-5)


def test_an_event_known_ahead_is_foreseen():
    """After fifteen campaigns that tripled the traffic, those of a sixteenth's hours are foreseen at twice the usual."""
    rates, events = np.full((4, 29 * DAY), 10.0), []
    for number, day in enumerate((8, 9, 11, 12, 13, 15, 16, 18, 19, 21, 22, 23, 25, 26, 27, 28)):
        at = day * DAY + 20 + 7 * (5 * number % 4)
        rates[:, at : at + 6] *= 3
        start_s = history_of(rates).start_s + at * STEP_S
        events.append(Event(f"e-{day}", "campaign", "", start_s, start_s + 6 * STEP_S))
    rates += np.random.default_rng(0).uniform(0, 0.5, rates.shape)
    horizon, now = medium_horizon(STEP_S), 28 * DAY + 10
    hours = on_grid(before(replace(history_of(rates), calendar=EventCalendar(tuple(events))), now), horizon)
    params = NetworkParams(lookback=12, margin=0, hidden=64, steps=600, epochs=100, batch=64, budget_s=100.0)
    forecaster = fitted(hours, params=params, horizon=horizon)
    first, end = (at - 10) // 2, (at + 6 - 10) // 2  # hours of the last campaign, from now on
    told, untold = (
        forecaster.quantiles(known, np.array([now // 2]))[0, :, first:end, LEVELS.index(0.5)]
        for known in (hours, replace(hours, calendar=EventCalendar()))
    )
    assert (told > 20).all()
    assert (untold < 20).all()


def test_too_short_a_history_is_refused():
    """Ten steps are too few to train on; the error says how many it takes."""
    with pytest.raises(NoForecastError, match="too short"):
        fitted(history_of(np.ones((2, 10))))


def test_an_hour_that_training_never_saw_does_not_spoil_the_forecast():
    """Trained on a steady first half of a day, it foresees the steady second half as steady, whatever the clock says."""
    rng = np.random.default_rng(8)
    history = history_of(rng.uniform(9, 11, (6, 720)), step_s=60)
    params = NetworkParams(lookback=12, margin=2, hidden=48, steps=150, batch=64, budget_s=100.0)
    forecaster = fitted(before(history, 360), params=params, horizon=Horizon("short", 60, 5))
    medians = forecaster.quantiles(history, np.arange(420, 720, 60))[..., LEVELS.index(0.5)]
    assert (np.abs(medians - 10) < 1).all()


def test_an_untrained_network_says_so():
    """Predict before fit is an error of the port, not an AttributeError."""
    with pytest.raises(NoForecastError, match="not trained"):
        at_the_end(NeuralForecaster(), seasonal_history())


@pytest.mark.parametrize("wrong", [{"hidden": 0}, {"learning_rate": 2.0}, {"budget_s": float("nan")}, {"layers": 3}])
def test_wrong_parameters_are_refused(wrong):
    """A value out of range, not a number, or of an unknown name is refused with its name."""
    with pytest.raises(BadInputError, match=next(iter(wrong))):
        params_from(wrong)
