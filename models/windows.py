"""A history cut into the windows a global network learns from and predicts from. Arrays only, no torch.

A window looks back from one origin (the index of the first step to foresee) of one order param. Its input is one row:

    [ L past rates | profile 1 | profile 2 | profile 3 | which profiles exist (3) | calendar (C) ]

A profile is what the same time of day has held before: yesterday, the mean of the last seven days, the mean of the last
four weeks on the same weekday. Each covers the horizon and `margin` steps on either side, so that the network can see
whether today runs early or late. Everything is known at the origin: a profile only reads steps at least `H + margin`
back. Rates are divided by the order param's own mean rate of the week before the origin and then pass through log1p:
tenants of any size look alike, and a jump from nothing to a million stays a moderate number. What was predicted goes
the same way back. What a network has not met in training it must not be shown later: an hour of the day that no window
had, or a profile that did not exist yet, moves weights that never learnt anything. `Seen` says what was met; the rest of
the row is zero. Because the scale is read from the history handed in, order params that were never trained on, and
histories of another length, need no special case.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, WEEK_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import RateHistory

PROFILES = 3
DAY_LAGS = 7
WEEK_LAGS = 4
DAY_HARMONICS = 3
WEEK_HARMONICS = 2
CALENDAR = 2 * (DAY_HARMONICS + WEEK_HARMONICS)

KNOWN_SHARE_MIN = 0.1
"""A profile counts as met if at least this share of the training windows had it."""

SCALE_FLOOR = 1e-9
"""Messages per second below which an order param counts as silent; its forecast is then practically zero."""


@dataclass(frozen=True)
class WindowShape:
    """Lengths of a window, in steps: `lookback` (L), `horizon` (H), `margin` of the profiles."""

    lookback: int
    horizon: int
    margin: int

    @property
    def profile(self) -> int:
        """Steps that one profile covers."""
        return self.horizon + 2 * self.margin

    @property
    def extras(self) -> int:
        """Inputs beside the past rates."""
        return PROFILES * (self.profile + 1) + CALENDAR

    def lookback_s(self, step_s: int) -> int:
        """How much history a window can make use of: four weeks of profile and what they are read relative to."""
        return WEEK_LAGS * WEEK_S + (self.lookback + self.horizon + self.margin) * step_s


@dataclass(frozen=True)
class Seen:
    """Which inputs a training history could teach: profiles that existed in it, cycles that it went through."""

    yesterday: bool = True
    days: bool = True
    weeks: bool = True
    time_of_day: bool = True
    time_of_week: bool = True

    def mask(self, shape: WindowShape) -> NDArray[np.float32]:
        """Return (L + extras,) 1 for inputs that were met, 0 for the others."""
        profiles = [self.yesterday, self.days, self.weeks]
        calendar = [self.time_of_day] * DAY_HARMONICS + [self.time_of_week] * WEEK_HARMONICS
        parts = [[True] * shape.lookback, np.repeat(profiles, shape.profile), profiles, calendar, calendar]
        return np.concatenate(parts).astype(np.float32)


class Windows:
    """All windows of one history; `seen` hides inputs that the network was not taught."""

    def __init__(self, history: RateHistory, shape: WindowShape, seen: Seen | None = None) -> None:
        self.shape = shape
        self._mask = (seen or Seen()).mask(shape)
        self.start_s, self.step_s = history.start_s, history.step_s
        self.rates = np.ascontiguousarray(history.messages_per_s, dtype=np.float32)  # (K, T)
        self.steps = self.rates.shape[1]
        self._pad = max(shape.lookback, shape.margin)
        self._past = np.pad(self.rates, ((0, 0), (self._pad, 0)))  # (K, pad + T)
        sums = np.cumsum(self.rates, axis=1, dtype=np.float64)
        self._sums = np.pad(sums, ((0, 0), (1, 0)))  # (K, T + 1)
        self._profiles, self._known = self._build_profiles()

    def inputs(self, rows: NDArray[np.intp], origins: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the input rows (B, L + extras) of windows (B,), (B,) and the scale (B, 1) they were divided by."""
        scale = self._scale(rows, origins)  # (B, 1)
        past = self._gather(self._past, rows, origins + self._pad - self.shape.lookback, self.shape.lookback)
        start = origins + self._pad - self.shape.margin
        profiles = [self._gather(profile, rows, start, self.shape.profile) for profile in self._profiles]
        rates = np.log1p(np.concatenate([past, *profiles], axis=1) / scale)
        known = self._known[:, origins + self._pad].T  # (B, PROFILES)
        return np.concatenate([rates, known, self._calendar(origins)], axis=1, dtype=np.float32) * self._mask, scale

    def seen(self, first: int, end: int) -> Seen:
        """Return what windows with origins in [first, end) can teach."""
        known = self._known[:, first + self._pad : end + self._pad].mean(axis=1) >= KNOWN_SHARE_MIN
        span_s = (end - first) * self.step_s
        return Seen(*known.tolist(), time_of_day=span_s >= DAY_S, time_of_week=span_s >= WEEK_S)

    def limited_to(self, seen: Seen) -> Windows:
        """Return the same windows with everything hidden that is not in `seen`."""
        limited = copy.copy(self)
        limited._mask = seen.mask(self.shape)  # noqa: SLF001 (a copy of our own)
        return limited

    def targets(self, rows: NDArray[np.intp], origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the rates (B, H) that came; every origin must leave H steps."""
        return self._gather(self.rates, rows, origins, self.shape.horizon)

    @staticmethod
    def _gather(
        source: NDArray[np.float32], rows: NDArray[np.intp], start: NDArray[np.intp], steps: int
    ) -> NDArray[np.float32]:
        return source[rows[:, None], start[:, None] + np.arange(steps)]

    def _scale(self, rows: NDArray[np.intp], origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the mean rate (B, 1) of the week before each origin, or of as much of it as there is."""
        start = np.maximum(0, origins - max(1, WEEK_S // self.step_s))
        total = self._sums[rows, origins] - self._sums[rows, start]
        mean = total / np.maximum(1, origins - start)
        return np.maximum(mean, SCALE_FLOOR).astype(np.float32)[:, None]

    def _build_profiles(self) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """Return PROFILES arrays (K, pad + T + H + margin) and (PROFILES, same length) 1 where a profile exists."""
        lags = (self._lags(DAY_S, 1), self._lags(DAY_S, DAY_LAGS), self._lags(WEEK_S, WEEK_LAGS))
        built = [self._mean_of_lags(of_profile) for of_profile in lags]
        return [mean for mean, _ in built], np.stack([known for _, known in built])

    def _lags(self, season_s: int, count: int) -> list[int]:
        """Return the `count` shortest multiples of a season, in steps, that are known for the whole profile."""
        season = max(1, season_s // self.step_s)
        first = -(-(self.shape.horizon + self.shape.margin) // season)
        return [season * (first + i) for i in range(count)]

    def _mean_of_lags(self, lags: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        length = self._pad + self.steps + self.shape.horizon + self.shape.margin
        total = np.zeros((len(self.rates), length), dtype=np.float32)
        count = np.zeros(length, dtype=np.float32)
        for lag in lags:
            begin = self._pad + lag
            end = min(length, begin + self.steps)
            if begin < end:
                total[:, begin:end] += self.rates[:, : end - begin]
                count[begin:end] += 1
        return total / np.maximum(count, 1), np.minimum(count, 1)

    def _calendar(self, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return sines and cosines (B, CALENDAR) of the time of day and of the week, UTC."""
        at_s = (self.start_s + origins * self.step_s)[:, None]
        cycles = [k / DAY_S for k in range(1, DAY_HARMONICS + 1)] + [k / WEEK_S for k in range(1, WEEK_HARMONICS + 1)]
        angle = 2 * np.pi * np.mod(at_s * np.asarray(cycles), 1.0)
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
