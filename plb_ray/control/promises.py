"""What the moves of a decision are to achieve, computed from the course of load that they were planned on. Pure.

Each move is credited with what it takes away beyond the moves before it; see `plb_ray.domain.effects`. The measured step
counts only where nothing is foreseen: what is foreseen begins at the same moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.effects import Promise
from plb_ray.domain.load import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from plb_ray.control.stating import Course
    from plb_ray.domain.plan import Move

DIGITS = 6


def promises_of(course: Course, moves: Sequence[Move], headroom: float) -> list[Promise | None]:
    """Return what each of these moves promises if all are made in this order.

    A move of what is unknown, or from or to a shard that is, promises nothing: None.
    """
    situation = course.situation
    column = {shard.shard_id: at for at, shard in enumerate(situation.shards)}
    wanted = {move.order_param for move in moves}
    row = {name: at for at, name in enumerate(situation.order_params) if name in wanted}
    steps = slice(1, None) if len(course.starts_s) > 1 else slice(0, 1)
    shares = {at: course.shares[at, steps].copy() for move in moves for at in _pair(move, column)}  # (T, R) each
    promises: list[Promise | None] = []
    for move in moves:
        pair = _pair(move, column)
        if len(pair) < 2 or move.order_param not in row:
            promises.append(None)
            continue
        promises.append(_promise(course, row[move.order_param], pair, shares, steps, headroom))
    return promises


def _pair(move: Move, column: dict[str, int]) -> list[int]:
    return [column[shard_id] for shard_id in (move.source, move.destination) if shard_id in column]


def _promise(
    course: Course, row: int, pair: list[int], shares: dict[int, NDArray[np.float64]], steps: slice, headroom: float
) -> Promise:
    """Return what one move promises, and count it in `shares`."""
    situation = course.situation
    load = course.load[row, steps]  # (T, R)
    expected = load if situation.estimate is None or steps.start == 0 else situation.estimate.expected[row]
    source, destination = pair
    before = np.stack([shares[source], shares[destination]])  # (2, T, R)
    change = load / situation.capacity[pair][:, None, :] * np.array([-1.0, 1.0])[:, None, None]
    after = before + change
    shares[source], shares[destination] = after
    lengths_s = course.lengths_s[steps]
    taken_s = (over(before, headroom) - over(after, headroom)).sum(axis=0) * lengths_s
    binding = int(before[0].max(axis=0).argmax())
    peaks = np.stack([before, after]).max(axis=(2, 3))  # (before or after, source or destination)
    return Promise(
        resource=RESOURCES[binding],
        starts_s=_rounded(course.starts_s[steps]),
        lengths_s=_rounded(lengths_s),
        load=_rounded(load[:, binding]),
        expected_load=_rounded(expected[:, binding]),
        taken_s=_rounded(taken_s),
        source_before=float(peaks[0, 0]),
        source_after=float(peaks[1, 0]),
        destination_before=float(peaks[0, 1]),
        destination_after=float(peaks[1, 1]),
        duration_s=situation.lead_s,
    )


def over(shares: NDArray[np.float64], headroom: float) -> NDArray[np.float64]:
    """Return (...) how far the worst resource of (..., R) shares is above the headroom."""
    return np.asarray(np.maximum(0.0, shares - headroom).max(axis=-1))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(values.astype(np.float64), DIGITS).tolist())
