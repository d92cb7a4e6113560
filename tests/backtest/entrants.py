"""Small histories and entrants for the tests of the backtest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.backtest import run_backtest
from models.backtest_course import course_of
from models.backtest_judge import Entrant
from models.base import LEVELS
from plb_ray.domain.events import Event, EventCalendar
from plb_ray.domain.rates import short_horizon
from tests.forecast.members import SPREAD, Fixed
from tests.forecast.synthetic import STEP_S, history_of

SHORT = short_horizon(STEP_S)  # two steps


def noisy(order_params=6, steps=160, mean=10.0, deviation=2.0, seed=1):
    """Independent normal rates, all of one mean."""
    rng = np.random.default_rng(seed)
    return history_of(np.maximum(0.0, rng.normal(mean, deviation, (order_params, steps))).astype(np.float32))


def course(history=None, origins=12):
    return course_of(noisy() if history is None else history, SHORT, origins)


def event(history, first, end, scope=()):
    """An event over steps [first, end) of a history."""
    at_s = [history.start_s + step * history.step_s for step in (first, end)]
    return Event(f"event-{first}", "campaign", "", at_s[0], at_s[1], scope)


def with_events(history, *events):
    return replace(history, calendar=EventCalendar(events))


class Listener(Fixed):
    """Says the mean of training, times `factor` where it knows of an event; notes the widest grid it was handed."""

    def __init__(self, name="listener", factor=1.0):
        super().__init__(name, 0.0, 1.0)
        self.factor, self.fitted_steps, self.asked = factor, 0, []

    def fit(self, grid, horizon, on_progress):
        super().fit(grid, horizon, on_progress)
        self.fitted_steps = grid.messages_per_s.shape[1]
        self.mean = float(grid.messages_per_s.mean())

    def quantiles(self, grid, origins):
        self.asked.extend((grid.messages_per_s.shape[1], int(origin)) for origin in origins)
        ahead = origins[:, None] + np.arange(self.steps)  # (N, H)
        at_s = grid.start_s + grid.step_s * ahead
        known = np.zeros(ahead.shape, dtype=bool)
        for each in grid.calendar.events:
            known |= (at_s < each.end_s) & (at_s + grid.step_s > each.start_s)
        mean = np.where(known, self.factor * self.mean, self.mean)[:, None, :, None]
        said = np.maximum(0.0, mean + self.deviation * SPREAD)
        shape = (len(origins), len(grid.order_params), self.steps, len(LEVELS))
        return np.broadcast_to(said, shape).astype(np.float32)


class Spoiled(Fixed):
    """Says what is no number."""

    def quantiles(self, grid, origins):
        return np.full_like(super().quantiles(grid, origins), np.nan)


class Ticking:
    """A clock that goes on by a second each time it is read."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        self.now_s += 1.0
        return self.now_s


def race(run_on, *candidates, rivals=(), twins=(), everywhere=()):
    """Run a backtest of candidates; `twins` maps the name of one to that of the one it is the twin of."""
    of = dict(twins)
    entrants = [
        Entrant(
            each.name, each, is_rival=each.name in rivals, everywhere=each.name in everywhere, twin_of=of.get(each.name, "")
        )
        for each in candidates
    ]
    return run_backtest(run_on, entrants, 1, Ticking(), lambda *_: None)
