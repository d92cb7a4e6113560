import numpy as np
import pytest

from models.backtest_coverage import Coverage
from models.backtest_judge import losses_of
from models.base import LEVELS, weighted_quantile_loss
from models.traffic_class import BURSTY, CLASSES, HOT, INTERMITTENT
from plb_ray.errors import NoForecastError
from tests.backtest.entrants import Listener, Spoiled, course, event, noisy, race, with_events
from tests.forecast.members import Fixed, Oracle
from tests.forecast.synthetic import history_of


def test_the_champion_has_the_least_loss():
    """Who knows the future wins, the others are ranked by their loss, and the gain over the rival is significant."""
    found = race(course(), Fixed("near", 10, 2), Oracle(), Fixed("far", 30, 2), rivals=("near", "far"))
    assert found.champion.name == "oracle"
    assert found.champion.scores.wql == pytest.approx(0.0, abs=1e-6)
    assert found.best_rival.name == "near"
    assert found.p < 0.001


def test_a_rival_as_champion_is_not_tested_against_itself():
    """There is no p-value then, nor without a rival."""
    assert race(course(), Fixed("near", 10, 2), Fixed("far", 30), rivals=("near",)).p is None
    assert race(course(), Fixed("near", 10, 2)).best_rival is None


def test_equals_are_not_significantly_different():
    """Two that say the same differ by chance at most; the first is the champion."""
    found = race(course(), Fixed("one", 10, 2), Fixed("two", 10, 2), rivals=("two",))
    assert found.champion.name == "one"
    assert found.p == 1.0


def test_the_losses_of_the_origins_make_up_the_loss():
    """Their mean is the weighted quantile loss; the horizon steps' losses are those of the steps alone."""
    run_on = course(noisy(deviation=4.0))
    rng = np.random.default_rng(5)
    values = np.sort(rng.uniform(0, 20, (*run_on.actual.shape, len(LEVELS))), axis=-1)
    assert losses_of(run_on.actual, values).mean() == pytest.approx(weighted_quantile_loss(run_on.actual, values))
    judged = race(run_on, Fixed("near", 11, 2)).champion
    assert judged.losses.mean() == pytest.approx(judged.scores.wql)
    assert judged.wql_by_step.mean() == pytest.approx(judged.scores.wql, rel=0.05)


def test_learning_ends_at_the_cut_and_every_origin_is_asked():
    """A candidate is fitted on the training part alone, and asked at the origins of the course in the order of time."""
    run_on, listener = course(), Listener()
    race(run_on, listener)
    assert listener.fitted_steps == run_on.train_steps
    assert [origin for _, origin in listener.asked[:12]] == run_on.origins.tolist()


def test_timing_sees_nothing_behind_an_origin():
    """The predictions that are timed are made from a grid that ends at their origin; the clock is the one passed in."""
    run_on, listener = course(), Listener()
    judged = race(run_on, listener).champion
    timed = listener.asked[12:17]
    assert timed == [(origin, origin) for origin in range(run_on.origins[-1] - 4, run_on.origins[-1] + 1)]
    assert (judged.fit_s, judged.predict_ms) == (1.0, 1000.0)


def test_who_cannot_learn_is_left_out_with_the_reason():
    """Too short a history, and forecasts that are no numbers, cost the entrant its place and nobody else's."""
    found = race(course(), Oracle(needs=10_000), Spoiled("spoiled", 1.0), Fixed("near", 10, 2))
    assert found.champion.name == "near"
    assert found.left_out["oracle"] == "too short"
    assert found.left_out["spoiled"] == "72 of its 72 forecasts are not finite numbers"


def test_nobody_left_is_an_error():
    """The text names one of them and why."""
    with pytest.raises(NoForecastError, match="none of the models can foresee this trace; oracle: too short"):
        race(course(), Oracle(needs=10_000))


def test_reliability_of_the_true_distribution_is_the_diagonal():
    """The share at or below each quantile is its level; quantiles of half the spread cross the diagonal."""
    run_on = course(noisy(order_params=20, steps=800), origins=100)
    found = race(run_on, Fixed("true", 10, 2), Fixed("narrow", 10, 1))
    true, narrow = found.judged
    np.testing.assert_allclose(true.reliability, LEVELS, atol=0.03)
    assert narrow.reliability[1] > 0.2
    assert narrow.reliability[9] < 0.8


def test_marks_by_class():
    """Only classes that occur have marks, each over its own order params."""
    rates = noisy(order_params=3, steps=160).messages_per_s.copy()
    rates[1] = np.where(np.arange(160) % 4 == 0, 0.5, 0.0)
    rates[2] *= 0.01
    found = race(course(history_of(rates)), Fixed("near", 10, 2)).champion
    assert set(found.of_class) == {"hot", "intermittent", "steady"}
    assert found.of_class["hot"].wql < 0.2
    assert found.of_class["intermittent"].wql > 5


def test_coverage_everywhere_is_for_those_who_are_quick():
    """It has a figure for every origin of the test part, and only for entrants that are to be asked there."""
    run_on = course()
    quick, slow = race(run_on, Fixed("quick", 10, 2), Fixed("slow", 10, 2), everywhere=("quick",)).judged
    assert slow.coverage is None
    assert len(quick.coverage.inside_80) == 39
    assert quick.coverage.at_s[0] == run_on.grid.start_s + 120 * 1800
    assert quick.coverage.inside_80.mean() == pytest.approx(0.8, abs=0.07)


def test_the_worst_week_is_any_seven_days():
    """A bad week that lies across two calendar weeks is found; a shorter span counts as one week."""
    hours = np.arange(21 * 24)
    inside = np.where((hours >= 90) & (hours < 90 + 168), 0.6, 0.8)
    coverage = Coverage(3600 * hours, inside, np.full(len(hours), 0.95))
    assert coverage.worst_week_80 == pytest.approx(0.6)
    assert coverage.worst_week_95 == pytest.approx(0.95)
    assert Coverage(3600 * hours[:10], inside[:10], inside[:10]).worst_week_80 == pytest.approx(0.8)
    assert Coverage(hours[:1], inside[:1], inside[:1]).worst_week_80 == pytest.approx(0.8)


def test_what_events_bring():
    """A model that doubles its forecast for an event that doubles traffic gains exactly where the event is."""
    rates = noisy(order_params=4, steps=160).messages_per_s.copy()
    rates[:, 130:140] *= 2
    plain = history_of(rates)
    run_on = course(with_events(plain, event(plain, 130, 140)), origins=39)
    twins = {"listener-no-events": "listener"}
    found = race(run_on, Listener(factor=2.0), Listener("listener-no-events", 2.0), twins=twins)
    gain = found.events[0]
    assert gain.name == "listener"
    assert gain.with_events < gain.without
    assert gain.at_with < 0.5 * gain.at_without
    assert gain.p < 0.05
    assert found.champion.name == "listener"


def test_events_that_touch_no_origin_bring_nothing():
    """Then there is no figure for the touched part, and the twins do not differ."""
    plain = noisy(steps=160)
    run_on = course(with_events(plain, event(plain, 10, 12)))
    found = race(run_on, Listener(factor=2.0), Listener("twin", 2.0), twins={"twin": "listener"})
    assert found.events[0].at_with is None
    assert found.events[0].with_events == found.events[0].without


def test_fans_show_the_busiest_and_one_of_each_difficult_kind():
    """The champion's horizons follow each other without gap; the quantiles beside the actual rates are its own."""
    rates = noisy(order_params=6, steps=160).messages_per_s.copy()
    rates[:3] *= 100
    rates[4] = np.where(np.arange(160) % 4 == 0, 2.0, 0.0)
    rates[5] = np.where(np.arange(160) % 3 == 0, 8.0, 0.1)
    run_on = course(history_of(rates))
    fans = race(run_on, Oracle(), Fixed("near", 10, 2)).fans
    shown = {fan.order_param: fan.traffic_class for fan in fans}
    assert set(shown) == {"op-0", "op-1", "op-2", "op-4", "op-5"}
    assert [shown[name] for name in ("op-0", "op-5", "op-4")] == [CLASSES[each] for each in (HOT, BURSTY, INTERMITTENT)]
    assert set(np.diff(fans[0].at_s)) == {1800}
    assert fans[0].at_s[-1] == run_on.grid.end_s - 1800
    for fan in fans:
        np.testing.assert_allclose(fan.values[:, 5], fan.actual, rtol=1e-6)
