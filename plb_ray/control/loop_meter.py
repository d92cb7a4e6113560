"""What the control loop counts of itself, for monitoring: ticks, decided moves, age of forecasts, busiest order params.

All of it only grows while the process lives, or is the newest. Cardinality is fixed: reasons of admission, horizons, and
`top` order params.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plb_ray.control.guard import Guard
    from plb_ray.control.observation import Observation
    from plb_ray.control.parts import Outlook
    from plb_ray.control.views import Admission, Decision

TICK_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class BusyOrderParam:
    """One of the order params with the highest load: its rate in the last step, and the most that is expected soon.

    Attributes:
        foreseen_messages_per_s: highest median of the short horizon; None without a forecast.
    """

    order_param: str
    shard: str
    messages_per_s: float
    foreseen_messages_per_s: float | None


@dataclass(frozen=True)
class LoopCounts:
    """What was counted, and what is newest.

    Attributes:
        ticks_failed: ticks that ended with an error.
        tick_s: durations of all ticks, wall time.
        moves: moves of all decisions by what became of them.
        trusted: whether the forecast is planned on; None before the first decision.
        foreseen_loss, measured_loss: what the guard weighs: squared errors of the forecast and of persistence, fading.
        forecast_age_s: since the end of the history that the newest forecast was made from, by horizon.
        busiest: the order params with the highest CPU load, highest first.
        notices: by target and outcome.
    """

    ticks_failed: int = 0
    tick_s: Histogram = field(default_factory=lambda: Histogram(TICK_BUCKETS_S))
    moves: dict[Admission, int] = field(default_factory=dict)
    trusted: bool | None = None
    foreseen_loss: float = 0.0
    measured_loss: float = 0.0
    forecast_age_s: dict[str, float] = field(default_factory=dict)
    busiest: tuple[BusyOrderParam, ...] = ()
    notices: dict[tuple[str, str], int] = field(default_factory=dict)


class LoopMeter:
    """Belongs to one event loop.

    Args:
        top: of how many order params the rates are shown.
        notices: counts of whoever sends notices, by target and outcome; read, never changed.
    """

    def __init__(self, top: int = 0, notices: Mapping[tuple[str, str], int] | None = None) -> None:
        self._top = top
        self._notices = notices if notices is not None else {}
        self._failed = 0
        self._tick_s = Histogram(TICK_BUCKETS_S)
        self._moves: Counter[Admission] = Counter()
        self._guard: Guard | None = None

    def ticked(self, seconds: float, *, failed: bool) -> None:
        """Count a tick."""
        self._tick_s = self._tick_s.plus(seconds)
        self._failed += failed

    def decided(self, decision: Decision, guard: Guard) -> None:
        """Count what became of a decision's moves, and remember whether the forecast is trusted."""
        self._moves.update(move.admission for move in decision.moves)
        self._guard = guard

    def counts(self, seen: Observation | None, outlook: Outlook | None, now_s: float) -> LoopCounts:
        """Return everything, with what the last tick saw and foresaw; `now_s` by the loop's clock."""
        guard = self._guard
        forecasts = outlook.forecasts if outlook is not None else {}
        return LoopCounts(
            ticks_failed=self._failed,
            tick_s=self._tick_s,
            moves=dict(self._moves),
            trusted=guard.trusted if guard is not None else None,
            foreseen_loss=guard.foreseen_loss if guard is not None else 0.0,
            measured_loss=guard.measured_loss if guard is not None else 0.0,
            forecast_age_s={name: max(0.0, now_s - forecast.cutoff_s) for name, forecast in forecasts.items()},
            busiest=_busiest(seen, outlook, self._top) if seen is not None else (),
            notices=dict(self._notices),
        )


def _busiest(seen: Observation, outlook: Outlook | None, top: int) -> tuple[BusyOrderParam, ...]:
    """Return the order params with the highest CPU load, highest first; ties by name."""
    cpu = seen.arriving[:, 0]
    count = min(top, len(cpu))
    if count == 0:
        return ()
    highest = np.argpartition(-cpu, count - 1)[:count]  # 100,000 order params: no sort of all of them
    rows = sorted(highest.tolist(), key=lambda row: (-cpu[row], seen.history.order_params[row]))
    rates = seen.rates
    short = outlook.forecasts.get("short") if outlook is not None else None
    median = short.levels.index(0.5) if short is not None else 0

    def foreseen(name: str) -> float | None:
        row = short.index.get(name) if short is not None else None
        return None if short is None or row is None else float(short.messages_per_s[row, :, median].max())

    names = seen.history.order_params
    return tuple(
        BusyOrderParam(names[row], seen.shards[seen.owner[row]].shard_id, float(rates[row]), foreseen(names[row]))
        for row in rows
    )
