from __future__ import annotations

import numpy as np
import pytest

from models.base import WEEK_S, weighted_quantile_loss
from models.baseline import seasonal_naive
from models.trials import (
    TrialParams,
    digest_of,
    hold_out,
    run_trial,
    significantly_better,
    tail_steps,
    until,
    with_spoiled_rows_replaced,
)
from plb_ray.domain.rates import Horizon, medium_horizon
from plb_ray.errors import BadInputError, NoForecastError
from tests.forecast.synthetic import DAY, SHORT, START_S, STEP_S, FlatForecaster, history_of, seasonal_history
from tests.registry.builders import noisy

MEDIUM = medium_horizon(STEP_S)


def losses(seed: int, count: int = 48):
    return np.random.default_rng(seed).gamma(20, 0.01, count)


def test_the_test_statistic_is_that_of_the_papers():
    """Worked by hand for gains 1, 2, 3, 6: without overlap, and with overlap 1, so Bartlett's weight is 1/2."""
    gain = np.array([1.0, 2.0, 3.0, 6.0])  # mean 3, deviations -2 -1 0 3
    t_plain = 3 / np.sqrt((14 / 4) / 4) * np.sqrt(3 / 4)
    covariance = (2 + 0 + 0) / 4
    t_overlap = 3 / np.sqrt((14 / 4 + covariance) / 4) * np.sqrt((4 + 1 - 4 + 2 / 4) / 4)
    chance = {t: upper_tail(t, 3) for t in (t_plain, t_overlap)}
    assert significantly_better(np.zeros(4), gain, 0) == pytest.approx(chance[t_plain], rel=1e-6)
    assert significantly_better(np.zeros(4), gain, 1) == pytest.approx(chance[t_overlap], rel=1e-6)


def upper_tail(t: float, freedom: int) -> float:
    """P(T > t) of Student's t with 3 degrees of freedom, in closed form."""
    assert freedom == 3
    x = t / np.sqrt(3)
    return 0.5 - (x / (1 + x * x) + np.arctan(x)) / np.pi


def test_a_better_one_is_found_and_a_worse_one_is_not():
    """Five per cent less loss on 48 origins, with noise of the same size, is significant one way and never the other."""
    base = losses(1)
    better = base * 0.95 + np.random.default_rng(2).normal(0, 0.01, 48)
    assert significantly_better(better, base, 0) < 0.001
    assert significantly_better(base, better, 0) > 0.999


def test_luck_is_called_gain_as_seldom_as_promised():
    """Of 400 pairs without a difference, overlapping by two, about one in twenty is called significant."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 1, (400, 50))
    gains = noise[:, :-2] + noise[:, 1:-1] + noise[:, 2:]  # moving sums: correlated up to lag 2
    called = np.mean([significantly_better(np.zeros(48), gain, 2) < 0.05 for gain in gains])
    assert 0.01 < called < 0.09


@pytest.mark.parametrize(
    ("a", "b", "overlap", "chance"),
    [
        ([1.0] * 9, [1.0] * 9, 0, 1.0),
        ([1.0] * 9, [2.0] * 9, 0, 0.0),
        ([2.0] * 9, [1.0] * 9, 0, 1.0),
        ([0.1] * 3, [0.5, 0.9, 0.4], 2, 1.0),
        ([np.nan] * 9, [1.0] * 9, 0, 1.0),
        ([1.0] * 9, [np.inf] * 9, 0, 1.0),
        ([], [], 0, 1.0),
    ],
)
def test_where_there_is_nothing_to_test_the_answer_is_plain(a, b, overlap, chance):
    """Equal, always better, always worse; and 1 where too few origins or no numbers say nothing."""
    assert significantly_better(a, b, overlap) == chance


def test_two_horizons_held_out_could_never_tell_and_seven_can():
    """Why a day ahead has a week held out: of a gain of a fifth nothing is seen in two days, and plainly in a week."""
    rng = np.random.default_rng(4)

    def chance(days):
        history = history_of(rng.uniform(9, 11, (1, 100 * DAY)))
        tail = hold_out(history, MEDIUM, TrialParams(tail_horizons=days))
        count = len(tail.origins)
        base = 0.2 + 0.02 * rng.normal(size=count)
        return significantly_better(0.8 * base + 0.01 * rng.normal(size=count), base, tail.overlap)

    assert chance(2) > 0.05
    assert chance(7) < 0.001


def test_how_much_is_held_out():
    """A tenth, one horizon at least, at most two days or seven horizons, in steps of the grid."""
    params = TrialParams()
    ten_minutes = Horizon("short", 600, 2)
    assert tail_steps(2016, ten_minutes, params) == 201
    assert tail_steps(100_000, ten_minutes, params) == 288
    assert tail_steps(10, ten_minutes, params) == 2
    assert tail_steps(28 * 24, MEDIUM, params) == 67
    assert tail_steps(70 * 24, MEDIUM, params) == 168
    assert tail_steps(5 * 24, MEDIUM, params) == 24


def test_origins_are_even_within_the_tail_and_leave_a_horizon():
    """Evenly spaced cutoffs, the last of which leaves just one horizon; none before the held-out tail."""
    history = seasonal_history(order_params=2, days=70)
    tail = hold_out(history, MEDIUM, TrialParams())
    gaps = set(np.diff(tail.origins).tolist())
    assert len(gaps) == 1
    assert len(tail.origins) <= 48
    assert tail.origins[-1] + 24 == tail.grid.messages_per_s.shape[1]
    assert tail.cutoffs_s[0] >= tail.learnt_until_s
    assert history.end_s - tail.learnt_until_s == WEEK_S
    gap = gaps.pop()
    assert tail.overlap * gap < 24 <= (tail.overlap + 1) * gap


def test_the_tail_is_cut_on_the_grid_of_the_horizon():
    """A history that ends within an hour has whole hours held out, and nothing of them is left to learn from."""
    history = seasonal_history(order_params=2, days=10)
    ragged = until(history, history.end_s - STEP_S)
    tail = hold_out(ragged, MEDIUM, TrialParams())
    assert tail.learnt_until_s % 3600 == 0
    assert until(ragged, tail.learnt_until_s).end_s == tail.learnt_until_s
    assert tail.grid.end_s - tail.learnt_until_s == 24 * 3600


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_too_short_a_history_is_refused(steps):
    """What leaves nothing to learn from is an error of the port, which says how much is held out."""
    with pytest.raises(NoForecastError):
        hold_out(history_of(np.ones((2, steps))), SHORT, TrialParams())


def test_few_of_many_order_params_are_looked_at():
    """Half of them are the busiest, the others come from the whole rest; no order param is looked at twice."""
    rates = np.repeat(np.arange(100.0)[:, None], 10 * DAY, axis=1)
    tail = hold_out(history_of(rates), SHORT, TrialParams(rows_max=10))
    rows = [int(name.removeprefix("op-")) for name in tail.history.order_params]
    assert rows[-5:] == [95, 96, 97, 98, 99]
    assert len(set(rows)) == 10
    assert rows[0] < 10


def test_a_trial_asks_each_cutoff_for_what_was_known_and_scores_what_came():
    """The mean of the losses is the weighted quantile loss of all forecasts together; nobody sees the steps to foresee."""
    history = seasonal_history(order_params=3, days=10)
    tail = hold_out(history, SHORT, TrialParams(origins_max=6))
    ends, said = [], []

    def predict(past):
        ends.append(past.end_s)
        said.append(seasonal_naive(past, SHORT))
        return said[-1]

    trial = run_trial(predict, tail)
    assert ends == tail.cutoffs_s.tolist()
    actual = np.stack([tail.grid.messages_per_s[:, at : at + SHORT.steps] for at in tail.origins])
    values = np.stack([forecast.messages_per_s for forecast in said])
    assert trial.wql == pytest.approx(weighted_quantile_loss(actual, values))
    assert len(trial.losses) == len(tail.origins) <= 6
    assert 0.5 < trial.coverage_80 < trial.coverage_95 <= 1


def test_a_tail_without_traffic_is_foreseen_perfectly():
    """Nothing came and nothing was said: the loss is 0, not a division by it."""
    history = history_of(np.zeros((2, 10 * DAY)))
    trial = run_trial(lambda past: seasonal_naive(past, SHORT), hold_out(history, SHORT, TrialParams()))
    assert trial.wql == 0


def test_a_spoiled_row_is_the_baselines():
    """NaN in one order param's forecast replaces only that row, and only its source changes."""
    flat = FlatForecaster(spoil="op-1")
    flat.fit(noisy(), SHORT)
    forecast = with_spoiled_rows_replaced(flat.predict(noisy()), noisy())
    assert forecast.sources == ("flat", "seasonal_naive", "flat")
    np.testing.assert_array_equal(forecast.messages_per_s[1], seasonal_naive(noisy(), SHORT).messages_per_s[1])
    assert np.isfinite(forecast.messages_per_s).all()


def test_the_digest_knows_data_from_other_data():
    """Equal histories have one digest; another rate, name or time gives another."""
    history = noisy()
    changed = noisy()
    changed.messages_per_s[1, 5] += 0.5
    others = [changed, history.last(10), history.rows(("op-0", "op-2", "op-1"))]
    assert digest_of(history) == digest_of(noisy())
    assert len({digest_of(history), *map(digest_of, others)}) == 4
    assert history.start_s == START_S


@pytest.mark.parametrize(
    "wrong", [{"share": 0.0}, {"share": 0.6}, {"origins_max": 1}, {"tail_horizons": 0}, {"rows_max": 0}]
)
def test_parameters_are_checked(wrong):
    """A parameter out of its range is refused when it is set."""
    with pytest.raises(BadInputError):
        TrialParams(**wrong)
