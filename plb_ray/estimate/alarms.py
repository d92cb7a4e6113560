"""What is odd in what shards report, as sentences for the operator: wrong units, use that cannot be, changed costs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.estimate.group import APART, near_the_middle
from plb_ray.estimate.looks import CPU_ROW, IO_ROW, METERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from plb_ray.estimate.apart import Apart
    from plb_ray.estimate.looks import Interval

IMPOSSIBLE = 1.5  # use / capacity that no meter's jitter explains: told
UNBELIEVABLE = 3.0  # the same: nothing is learned from it
ANOTHER_UNIT = 100.0  # times apart from the other shards: nothing is learned from it, be it ever so possible
MOST = 8  # sentences; who reads more
_UNITS = ((1e9, "nanoseconds or bytes for billions"), (1e6, "microseconds, or bytes for megabytes"))


def times_others(interval: Interval) -> NDArray[np.float64]:
    """Return (2, S) what each shard spent, CPU and I/O, as a multiple of what the other shards' messages cost."""
    cpu = near_the_middle(interval.spent[CPU_ROW], interval.delivered)
    return np.stack([cpu, near_the_middle(interval.spent[IO_ROW], interval.payload_bytes)])


def believable(interval: Interval, off: NDArray[np.float64], cores: Mapping[str, float]) -> NDArray[np.bool_]:
    """Return (2, S) whether anything may be learned from what a shard reports; `cores` as in `alarms_of`."""
    capacity = np.array([cores.get(shard_id, 0.0) or np.inf for shard_id in interval.shard_ids], dtype=np.float64)
    believed = (off < ANOTHER_UNIT) & (off > 1 / ANOTHER_UNIT)
    believed[CPU_ROW] &= interval.cores <= UNBELIEVABLE * capacity
    return believed


def alarms_of(
    interval: Interval, off: NDArray[np.float64], apart: Sequence[Apart], cores: Mapping[str, float]
) -> tuple[str, ...]:
    """Return what is odd about an interval, the most telling first, at most MOST sentences.

    Args:
        interval: what shards spent.
        off: (2, S) spending per message as a multiple of the middle of all shards.
        apart: what is known after the interval: CPU, I/O.
        cores: CPU capacity by shard; 0 or missing: not known.
    """
    found = [*_impossible(interval, cores), *_apart_from_others(interval, off), *_changed(apart)]
    return tuple(found[:MOST]) + ((f"and {len(found) - MOST} more of the kind",) if len(found) > MOST else ())


def _impossible(interval: Interval, cores: Mapping[str, float]) -> Iterator[str]:
    for shard_id, used in zip(interval.shard_ids, interval.cores.tolist(), strict=True):
        capacity = cores.get(shard_id, 0.0)
        if capacity > 0 and np.isfinite(capacity) and used > IMPOSSIBLE * capacity:
            times = used / capacity
            yield (
                f"{shard_id} reports {used:.4g} cores in use of {capacity:g}, {times:.0f} times what it has: "
                f"check the unit of its CPU meter{_guess(times)}"
            )


def _apart_from_others(interval: Interval, off: NDArray[np.float64]) -> Iterator[str]:
    for resource, row in enumerate(off):
        for place in np.flatnonzero((row >= APART) | (row <= 1 / APART)):
            times = float(row[place])
            told = f"{times:.0f} times as much" if times > 1 else f"1/{1 / times:.0f} as much"
            per = "message" if resource == 0 else "payload byte"
            yield (
                f"{interval.shard_ids[place]} reports {told} {METERS[resource]} per {per} as the other shards: check the "
                f"unit of its meter{_guess(max(times, 1 / times))}, or its messages are of another kind"
            )


def _changed(apart: Sequence[Apart]) -> Iterator[str]:
    for resource, known in enumerate(apart):
        for shard_id, block in known.blocks.items():
            if block.jumps:
                yield (
                    f"{shard_id} spent {block.off:.3g} times the {METERS[resource]} that its messages cost before: not "
                    "believed yet"
                )
            if block.change.news:
                yield (
                    f"the {METERS[resource]} per message on {shard_id} has changed to {block.change.times:.2g} times what "
                    "it was: it is learned anew"
                )


def _guess(times: float) -> str:
    """Return which unit was probably mistaken, in brackets; empty if none fits."""
    near = {1e3: "milliseconds for seconds, or kilobytes for bytes", 8.0: "bits for bytes"}
    near |= dict(_UNITS)
    for factor, words in near.items():
        if 0.6 < times / factor < 1.6:
            return f" ({words})"
    return ""
