import numpy as np
import pytest

from models.backtest_course import course_of
from plb_ray.domain.rates import medium_horizon
from plb_ray.errors import BadInputError
from tests.backtest.entrants import course, event, noisy, with_events
from tests.forecast.synthetic import history_of


def test_origins_are_spread_over_the_last_quarter():
    """The first origin is at the cut, the last one has just a full horizon, the gaps differ by a step at most."""
    made = course(noisy(steps=160), origins=12)
    assert made.train_steps == 120
    assert (made.origins[0], made.origins[-1]) == (120, 158)
    assert len(made.origins) == 12
    assert set(np.diff(made.origins)) <= {3, 4}


def test_the_actual_rates_are_those_after_the_origins():
    """Step h of origin i is the rate of the grid at that place."""
    history = history_of(np.arange(320.0).reshape(2, 160))
    made = course(history)
    for i, origin in enumerate(made.origins):
        np.testing.assert_array_equal(made.actual[i], history.messages_per_s[:, origin : origin + 2])


def test_more_origins_than_there_are_steps_are_all_of_them():
    """No origin comes twice."""
    made = course(noisy(steps=80), origins=500)
    assert made.origins.tolist() == list(range(60, 79))


def test_every_origin_or_every_other_one():
    """The origins of the whole test part are thinned out evenly where they are too many."""
    made = course(noisy(steps=160))
    assert made.all_origins(100).tolist() == list(range(120, 159))
    assert made.all_origins(20).tolist() == list(range(120, 159, 2))


def test_forecasts_overlap_by_horizon_over_gap():
    """Horizons of 24 steps from origins 1 step apart overlap with the 23 that follow; those 2 apart and 2 long with none."""
    hourly = course_of(noisy(steps=400), medium_horizon(1800), 48)  # 200 hours, 27 origins
    assert hourly.overlap == 23
    assert course(noisy(steps=160), origins=20).overlap == 0


def test_the_shortest_trace_that_will_do():
    """The least number of steps named in the refusal suffices, one less does not."""
    with pytest.raises(BadInputError, match=r"short horizon needs at least 33 steps of 1800 s, and the trace covers 32"):
        course(noisy(steps=32))
    assert len(course(noisy(steps=33)).origins) == 8


def test_a_silent_test_part_is_refused():
    """There is nothing to measure a loss against."""
    rates = np.ones((2, 160))
    rates[:, 120:] = 0
    with pytest.raises(BadInputError, match="no message comes in the last quarter"):
        course(history_of(rates))


def test_which_origins_an_event_touches():
    """An event touches the order params in its scope at the origins whose horizon it falls into, and no others."""
    plain = noisy(order_params=3, steps=80)
    made = course(with_events(plain, event(plain, 70, 71, ("op-1",))), origins=100)
    touched = np.argwhere(made.touched)
    assert [(made.origins[i], k) for i, k in touched] == [(69, 1), (70, 1)]
    assert not made.without_events().touched.any()
