from dataclasses import replace

import numpy as np

from models.windows import CALENDAR, PROFILES, SPREAD, Seen, Windows, WindowShape
from plb_ray.domain.events import Event, EventCalendar
from tests.forecast.synthetic import DAY, history_of, seasonal_history

SHAPE = WindowShape(lookback=6, horizon=3, margin=2)


def profiles_of(inputs):
    """Return the three profiles (B, 3, P) and their flags (B, 3) out of input rows."""
    flags = inputs[:, -CALENDAR - PROFILES : -CALENDAR]
    values = inputs[:, SHAPE.lookback : SHAPE.sequence]
    return values.reshape(len(inputs), PROFILES, SHAPE.profile), flags


def test_a_window_never_sees_its_own_future():
    """Changing everything from the origin on changes no input of the window, at any origin."""
    history = seasonal_history(order_params=2, days=16)
    rng = np.random.default_rng(3)
    for origin in rng.integers(7, history.messages_per_s.shape[1] - 3, 40):
        changed = np.array(history.messages_per_s)
        changed[:, origin:] = 1e6
        at = np.array([0, 1]), np.array([origin, origin])
        same, other = (Windows(history_of(rates), SHAPE).inputs(*at)[0] for rates in (history.messages_per_s, changed))
        np.testing.assert_array_equal(same, other)


def test_profiles_hold_the_same_time_of_day():
    """Yesterday's profile and the mean of the days equal the rates read directly at those times."""
    history = seasonal_history(order_params=1, days=10)
    x = np.asarray(history.messages_per_s[0], dtype=np.float64)
    origin = 9 * DAY + 5
    inputs, scale = Windows(history, SHAPE).inputs(np.array([0]), np.array([origin]))
    values, flags = profiles_of(inputs)
    places = np.arange(origin - 2, origin + 5)
    np.testing.assert_allclose(np.expm1(values[0, 0]) * scale[0, 0], x[places - DAY], rtol=1e-3, atol=1e-3)
    days = np.mean([x[places - DAY * d] for d in range(1, 8)], axis=0)
    np.testing.assert_allclose(np.expm1(values[0, 1]) * scale[0, 0], days, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(flags[0], [1, 1, 1])


def test_a_short_history_says_which_profiles_are_missing():
    """Before the first day has passed every profile is zero and flagged as missing."""
    inputs, _ = Windows(seasonal_history(order_params=1, days=1), SHAPE).inputs(np.array([0]), np.array([20]))
    values, flags = profiles_of(inputs)
    assert not values.any()
    assert not flags.any()


def test_the_spread_is_that_of_the_week_before_the_day():
    """Of an order param that is idle four steps in five the row says so, and its largest rate; today does not count."""
    rates = np.tile([0.0, 0.0, 0.0, 0.0, 5.0], 4 * DAY)[None, : 9 * DAY]
    rates[0, 8 * DAY :] = 1000.0
    inputs, scale = Windows(history_of(rates), SHAPE).inputs(np.array([0]), np.array([8 * DAY + 3]))
    quantiles = inputs[0, SHAPE.sequence : SHAPE.sequence + SPREAD - 1]
    np.testing.assert_allclose(np.expm1(quantiles[[0, -1]]) * scale[0, 0], [0, 5], rtol=1e-4)
    np.testing.assert_allclose(inputs[0, SHAPE.sequence + SPREAD - 1], 0.8, atol=0.02)


def test_events_are_known_ahead_and_in_the_profiles():
    """An event over the second step to foresee is seen there, for its order param only; yesterday's in the profile."""
    history = seasonal_history(order_params=2, days=10)
    origin, at_s = 9 * DAY + 5, history.start_s + history.step_s * (9 * DAY + 6)
    today = Event("today", "campaign", "", at_s, at_s + history.step_s, ("op-1",))
    yesterday = Event("yesterday", "campaign", "", at_s - 86400, at_s - 86400 + history.step_s / 2)
    shape = replace(SHAPE, kinds=("campaign",))
    windows = Windows(replace(history, calendar=EventCalendar((today, yesterday))), shape)
    inputs, _ = windows.inputs(np.array([0, 1]), np.array([origin, origin]))
    events = inputs[:, SHAPE.sequence + SPREAD : -CALENDAR - PROFILES].reshape(2, 1 + PROFILES, shape.profile)
    place = SHAPE.margin + 1
    assert inputs.shape[1] == shape.lookback + shape.extras
    np.testing.assert_array_equal(events[:, 0, place], [0, 1])
    np.testing.assert_array_equal(events[:, 1, place], [0.5, 0.5])
    np.testing.assert_allclose(events[:, 2, place], [0.5 / 7, 0.5 / 7], rtol=1e-5)
    assert np.count_nonzero(events) == 5


def test_size_does_not_matter():
    """A tenant a million times larger has the same input; only its scale differs."""
    history = seasonal_history(order_params=1, days=9)
    at = np.array([0]), np.array([8 * DAY])
    small, scale = Windows(history, SHAPE).inputs(*at)
    large, larger = Windows(history_of(history.messages_per_s * 1e6), SHAPE).inputs(*at)
    np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(larger / scale, 1e6, rtol=1e-4)


def test_what_a_history_cannot_teach_is_hidden():
    """Of half a day no profile and no cycle was met; of ten days all but the time of the week.

    With the former, inputs are the past rates and nothing else, even where a longer history would have more to show.
    """
    windows = Windows(seasonal_history(order_params=1, days=16), SHAPE)
    assert windows.seen(10, DAY // 2) == Seen(False, False, False, False, False, False)
    assert windows.seen(7 * DAY, 10 * DAY) == Seen(time_of_week=False)
    assert windows.seen(7 * DAY, 15 * DAY) == Seen()
    at = np.array([0]), np.array([15 * DAY])
    limited, _ = windows.limited_to(windows.seen(10, DAY // 2)).inputs(*at)
    np.testing.assert_array_equal(limited[:, : SHAPE.lookback], windows.inputs(*at)[0][:, : SHAPE.lookback])
    assert not limited[:, SHAPE.lookback :].any()
