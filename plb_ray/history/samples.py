"""From samples at any times to cells of the history's grid. Pure: values in, values out; no clock, no state.

A cell is the rate of one order param in one step.

    rates     the cell is the mean of the samples whose time lies in the step
    counters  what was counted between two samples is taken as spread evenly over the time between them, and cut at the
              grid's lines; steps that are not wholly between the first and the last sample have no cell

                  grid      |---- 0 ----|---- 1 ----|---- 2 ----|
                  samples        a              b          c          step 1 alone has a cell, from (a, b) and (b, c)

              A counter that fell started anew: what it shows has been counted since. Across a gap the total is right, and
              its spread is a guess.

Refused, each with its reason: values that are negative or not finite, times that make none, and what has not happened yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.samples import PushOutcome, SampleKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from plb_ray.domain.samples import SampleBatch, Series

LATEST_S = 253_402_300_799.0  # the last second of the year 9999: later times cannot be shown


@dataclass(frozen=True, eq=False)
class Cells:
    """N cells, no two of the same order param and step, ascending by step.

    Attributes:
        names: (K,) order params.
        starts_s: (N,) start of the cell's step.
        columns: (N,) index into `names`.
        rates: (N,) float32, finite, >= 0.
    """

    names: tuple[str, ...]
    starts_s: NDArray[np.int64]
    columns: NDArray[np.int64]
    rates: NDArray[np.float32]

    def pieces(self, size: int) -> Iterator[Cells]:
        """Yield the same cells in pieces of at most `size`, in order."""
        for first in range(0, self.rates.size, size):
            part = slice(first, first + size)
            yield Cells(self.names, self.starts_s[part], self.columns[part], self.rates[part])


def to_cells(batch: SampleBatch, step_s: int, until_s: float) -> tuple[Cells, PushOutcome]:
    """Return the cells that a batch stands for, and what did not become part of one.

    Args:
        batch: samples of one kind.
        step_s: length of a step; steps start at its multiples.
        until_s: now; a rate whose step has not ended by then, or a counter read later, is refused.
    """
    names = tuple(dict.fromkeys(series.order_param for series in batch.series))
    column_of = {name: column for column, name in enumerate(names)}
    outcome = PushOutcome()
    starts, columns, rates = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for series in batch.series:
        at_s, values, found = _accepted(series, batch.kind, step_s, until_s)
        gridded = _of_rates(at_s, values, step_s) if batch.kind is SampleKind.RATE else _of_counter(at_s, values, step_s)
        starts.append(gridded[0])
        rates.append(gridded[1])
        columns.append(np.full(gridded[0].size, column_of[series.order_param], np.int64))
        outcome = outcome.plus(found)
    return _summed(names, np.concatenate(starts), np.concatenate(columns), np.concatenate(rates)), outcome


def _accepted(
    series: Series, kind: SampleKind, step_s: int, until_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], PushOutcome]:
    """Return times, ascending and without repeats, with their values, and what was left out."""
    at_s, values = series.at_s, series.values
    in_time = np.isfinite(at_s) & (at_s >= 0) & (at_s <= LATEST_S)
    known_s = np.where(in_time, at_s, 0.0)
    ends_s = known_s if kind is SampleKind.COUNTER else (known_s // step_s + 1) * step_s
    faults = (
        (~in_time, "a time in seconds since 1970 is needed"),
        (in_time & (ends_s > until_s), "this has not happened yet: the step must have ended; mind the clock and the unit"),
        (~np.isfinite(values), "the value is not a finite number"),
        (values < 0, "the value is negative"),
    )
    bad = np.logical_or.reduce([fault for fault, _ in faults])
    reasons = [_reason(series, int(np.argmax(fault)), why) for fault, why in faults if fault.any()]
    at_s, values = at_s[~bad], values[~bad]
    order = np.argsort(at_s, kind="stable")
    at_s, values = at_s[order], values[order]
    last = np.append(np.diff(at_s) > 0, np.ones(min(1, at_s.size), np.bool_))  # of each time the one that came last
    falls = int((np.diff(values[last]) < 0).sum()) if kind is SampleKind.COUNTER else 0
    outcome = PushOutcome(refused=int(bad.sum()), repeated=int((~last).sum()), resets=falls, reasons=tuple(reasons))
    return at_s[last], values[last], outcome


def _reason(series: Series, row: int, why: str) -> str:
    at_s = float(series.at_s[row])
    when = datetime.fromtimestamp(at_s, UTC).isoformat() if 0 <= at_s <= LATEST_S else repr(at_s)
    return f"order param {series.order_param!r}, time {when}, value {float(series.values[row])!r}: {why}"


def _of_rates(
    at_s: NDArray[np.float64], values: NDArray[np.float64], step_s: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    steps, row_of = np.unique((at_s // step_s).astype(np.int64), return_inverse=True)
    mean = np.bincount(row_of, values, steps.size) / np.maximum(1, np.bincount(row_of, minlength=steps.size))
    return steps * step_s, mean


def _of_counter(
    at_s: NDArray[np.float64], values: NDArray[np.float64], step_s: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if at_s.size < 2:
        return np.zeros(0, np.int64), np.zeros(0)
    grown = np.diff(values)
    arrived = np.concatenate([[0.0], np.cumsum(np.where(grown < 0, values[1:], grown))])
    first, last = -int(-at_s[0] // step_s), int(at_s[-1] // step_s)
    lines = np.arange(first, last + 1, dtype=np.int64) * step_s
    return lines[:-1], np.maximum(0.0, np.diff(np.interp(lines, at_s, arrived))) / step_s


def _summed(
    names: tuple[str, ...], starts_s: NDArray[np.int64], columns: NDArray[np.int64], rates: NDArray[np.float64]
) -> Cells:
    """Return one cell per order param and step, ascending by step."""
    keys, row_of = np.unique(np.stack([starts_s, columns]), axis=1, return_inverse=True)
    total = np.bincount(row_of.ravel(), rates, keys.shape[1])
    return Cells(names, keys[0], keys[1], np.minimum(total, np.finfo(np.float32).max).astype(np.float32))
