"""A history cut into the windows a global network learns from and predicts from. Arrays only, no torch.

A window looks back from one origin (the index of the first step to foresee) of one order param. Its input is one row:

    [ L past rates | profiles (3 P) | spread (S) | events (4 P E) | which profiles exist (3) | calendar (C) ]

A profile is what the same time of day has held before: yesterday, the mean of the last seven days, the mean of the last
four weeks on the same weekday. Each covers the horizon and `margin` steps on either side, so that the network can see
whether today runs early or late. The spread says how the order param's rates of the last week are distributed: how often
it is idle, and its upper quantiles, so that a tenant that is off is known by what it does when it is on. Events are known
ahead: the share of each step that an event of a kind covers, for the present and, since a profile of holidays is no profile
of working days, for each profile.

Everything is known at the origin: a profile only reads steps at least `H + margin` back. Rates are divided by the order
param's own mean rate of the week before the origin and then pass through log1p: tenants of any size look alike, and a jump
from nothing to a million stays a moderate number. What was predicted goes the same way back. What a network has not met in
training it must not be shown later: an hour of the day that no window had, or a profile that did not exist yet, moves
weights that never learnt anything. `Seen` says what was met; the rest of the row is zero. Because the scale is read from
the history handed in, order params that were never trained on, and histories of another length, need no special case.

Cost: nothing is built in advance but sums for the scale, so predicting reads some `L + 12 P` rates a window.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, WEEK_S
from plb_ray.domain.events import covariate_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import RateHistory

PROFILES = 3
DAY_LAGS = 7
WEEK_LAGS = 4
DAY_HARMONICS = 3
WEEK_HARMONICS = 2
CALENDAR = 2 * (DAY_HARMONICS + WEEK_HARMONICS)
SPREAD_LEVELS = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)
SPREAD = 1 + len(SPREAD_LEVELS)
SPREAD_SAMPLES = 168
"""Steps of the last week that the spread is read from: as many as a week has hours, whatever the step."""

KNOWN_SHARE_MIN = 0.1
"""A profile counts as met if at least this share of the training windows had it."""

SCALE_FLOOR = 1e-9
"""Messages per second below which an order param counts as silent; its forecast is then practically zero."""


@dataclass(frozen=True)
class WindowShape:
    """Lengths of a window, in steps: `lookback` (L), `horizon` (H), `margin` of the profiles; `kinds` (E) of events."""

    lookback: int
    horizon: int
    margin: int
    kinds: tuple[str, ...] = ()

    @property
    def profile(self) -> int:
        """P, the steps that one profile covers."""
        return self.horizon + 2 * self.margin

    @property
    def sequence(self) -> int:
        """Inputs that are rates in the order of time: the profiles, then the past."""
        return self.lookback + PROFILES * self.profile

    @property
    def extras(self) -> int:
        """Inputs beside the past rates."""
        events = (1 + PROFILES) * self.profile * len(self.kinds)
        return PROFILES * self.profile + SPREAD + events + PROFILES + CALENDAR


@dataclass(frozen=True)
class Seen:
    """Which inputs a training history could teach: profiles and spreads that existed in it, cycles that it went through."""

    yesterday: bool = True
    days: bool = True
    weeks: bool = True
    spread: bool = True
    time_of_day: bool = True
    time_of_week: bool = True

    def mask(self, shape: WindowShape) -> NDArray[np.float32]:
        """Return (L + extras,) 1 for inputs that were met, 0 for the others."""
        profiles = [self.yesterday, self.days, self.weeks]
        events = np.repeat([True, *profiles], shape.profile * len(shape.kinds))
        calendar = [self.time_of_day] * DAY_HARMONICS + [self.time_of_week] * WEEK_HARMONICS
        values = [[True] * shape.lookback, np.repeat(profiles, shape.profile), [self.spread] * SPREAD]
        return np.concatenate([*values, events, profiles, calendar, calendar]).astype(np.float32)


class Windows:
    """All windows of one history; `seen` hides inputs that the network was not taught."""

    def __init__(self, history: RateHistory, shape: WindowShape, seen: Seen | None = None) -> None:
        self.shape = shape
        self._mask = (seen or Seen()).mask(shape)
        self.start_s, self.step_s = history.start_s, history.step_s
        self.rates = np.ascontiguousarray(history.messages_per_s, dtype=np.float32)  # (K, T)
        self.steps = self.rates.shape[1]
        self._day = max(1, DAY_S // self.step_s)
        self._week = max(1, WEEK_S // self.step_s)
        self._lags = (self._lags_of(DAY_S, 1), self._lags_of(DAY_S, DAY_LAGS), self._lags_of(WEEK_S, WEEK_LAGS))
        self._spreads: dict[int, NDArray[np.float32]] = {}
        self._covered, self._covered_row = covariate_rows(  # (U, T + H + margin, E), (K,)
            history.calendar, shape.kinds, history.order_params, self.start_s, self.step_s, self._places
        )

    def inputs(self, rows: NDArray[np.intp], origins: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the input rows (B, L + extras) of windows (B,), (B,) and the scale (B, 1) they were divided by."""
        shape, scale = self.shape, self._scale(rows, origins)  # (B, 1)
        past = self._at(self.rates, rows, origins - shape.lookback, shape.lookback)
        start = origins - shape.margin
        profiles = [self._mean_of_lags(self.rates, rows, start, lags) for lags in self._lags]
        idle, quantiles = self._spread(rows, origins)
        rates = np.log1p(np.concatenate([past, *profiles, quantiles], axis=1) / scale)
        parts = [rates, idle, *self._events(rows, start), self._known(origins), self._calendar(origins)]
        return np.concatenate(parts, axis=1, dtype=np.float32) * self._mask, scale

    def seen(self, first: int, end: int) -> Seen:
        """Return what windows with origins in [first, end) can teach."""
        origins = np.arange(first, end)
        known = self._known(origins).mean(axis=0) >= KNOWN_SHARE_MIN
        spread = (origins >= self._day).mean() >= KNOWN_SHARE_MIN
        span_s = (end - first) * self.step_s
        return Seen(*known.tolist(), spread=bool(spread), time_of_day=span_s >= DAY_S, time_of_week=span_s >= WEEK_S)

    def limited_to(self, seen: Seen) -> Windows:
        """Return the same windows with everything hidden that is not in `seen`."""
        limited = copy.copy(self)
        limited._mask = seen.mask(self.shape)  # noqa: SLF001 (a copy of our own)
        return limited

    def targets(self, rows: NDArray[np.intp], origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the rates (B, H) that came; every origin must leave H steps."""
        return self.rates[rows[:, None], origins[:, None] + np.arange(self.shape.horizon)]

    @property
    def _places(self) -> int:
        """Steps that a window may look at: the history's and those to foresee."""
        return self.steps + self.shape.horizon + self.shape.margin

    @staticmethod
    def _at(source: NDArray[np.float32], rows: NDArray[np.intp], start: NDArray[np.intp], steps: int) -> NDArray[np.float32]:
        """Return `steps` values of each row from each start on, (B, steps, ...); 0 before the history."""
        places = start[:, None] + np.arange(steps)
        values = source[rows[:, None], np.maximum(places, 0)]
        values[places < 0] = 0
        return values

    def _scale(self, rows: NDArray[np.intp], origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the mean rate (B, 1) of the week before each origin, or of as much of it as there is."""
        start = np.maximum(0, origins - self._week)
        if (origins == origins[:1]).all():  # a prediction: no sums of the whole history for one look
            mean = self.rates[rows, int(start[0]) : int(origins[0])].mean(axis=1, dtype=np.float64) if len(rows) else start
        else:
            mean = (self._sums[rows, origins] - self._sums[rows, start]) / np.maximum(1, origins - start)
        return np.maximum(mean, SCALE_FLOOR).astype(np.float32)[:, None]

    @cached_property
    def _sums(self) -> NDArray[np.float64]:
        return np.pad(np.cumsum(self.rates, axis=1, dtype=np.float64), ((0, 0), (1, 0)))  # (K, T + 1)

    def _lags_of(self, season_s: int, count: int) -> list[int]:
        """Return the `count` shortest multiples of a season, in steps, that are known for the whole profile."""
        season = max(1, season_s // self.step_s)
        first = -(-(self.shape.horizon + self.shape.margin) // season)
        return [season * (first + i) for i in range(count)]

    def _mean_of_lags(
        self, source: NDArray[np.float32], rows: NDArray[np.intp], start: NDArray[np.intp], lags: list[int]
    ) -> NDArray[np.float32]:
        """Return the profile (B, P, ...): at each place the mean of those lags that the history reaches back to."""
        steps = self.shape.profile
        total = sum(self._at(source, rows, start - lag, steps) for lag in lags)
        there = (start[:, None] + np.arange(steps))[..., None] >= np.array(lags)  # (B, P, lags)
        count = np.maximum(1, there.sum(axis=2)).astype(np.float32)
        return total / count.reshape(count.shape + (1,) * (source.ndim - 2))

    def _known(self, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (B, PROFILES) 1 where a profile exists."""
        shortest = np.array([lags[0] for lags in self._lags])
        return (origins[:, None] >= shortest).astype(np.float32)

    def _spread(self, rows: NDArray[np.intp], origins: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the share of idle steps (B, 1) and the quantiles (B, S - 1) of the week before the origin's day, UTC."""
        days = (self.start_s + origins * self.step_s) // DAY_S
        spread = np.empty((len(rows), SPREAD), dtype=np.float32)
        for day in np.unique(days):
            of_day = days == day
            spread[of_day] = self._spread_of_day(int(day))[rows[of_day]]
        return spread[:, :1], spread[:, 1:]

    def _spread_of_day(self, day: int) -> NDArray[np.float32]:
        """Return (K, SPREAD) of the week before a day; zeros if the history begins in it."""
        if day not in self._spreads:
            end = (day * DAY_S - self.start_s) // self.step_s
            week = self.rates[:, max(0, end - self._week) : max(0, end)][:, :: max(1, self._week // SPREAD_SAMPLES)]
            spread = np.zeros((len(self.rates), SPREAD), dtype=np.float32)
            if week.shape[1]:
                spread[:, 0] = (week <= 0).mean(axis=1)
                nearest = np.rint(np.array(SPREAD_LEVELS) * (week.shape[1] - 1)).astype(np.intp)
                spread[:, 1:] = np.sort(week, axis=1)[:, nearest]
            self._spreads[day] = spread
        return self._spreads[day]

    def _events(self, rows: NDArray[np.intp], start: NDArray[np.intp]) -> list[NDArray[np.float32]]:
        """Return the shares that events cover, (B, P E) each: at the present, then in every profile."""
        if not self.shape.kinds:
            return []
        rows = self._covered_row[rows]
        now = self._at(self._covered, rows, start, self.shape.profile)
        then = [self._mean_of_lags(self._covered, rows, start, lags) for lags in self._lags]
        return [covered.reshape(len(rows), -1) for covered in (now, *then)]

    def _calendar(self, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return sines and cosines (B, CALENDAR) of the time of day and of the week, UTC."""
        at_s = (self.start_s + origins * self.step_s)[:, None]
        cycles = [k / DAY_S for k in range(1, DAY_HARMONICS + 1)] + [k / WEEK_S for k in range(1, WEEK_HARMONICS + 1)]
        angle = 2 * np.pi * np.mod(at_s * np.asarray(cycles), 1.0)
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
