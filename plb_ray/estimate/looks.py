"""Two looks at all shards, compared: what each shard spent and what its order params did in between. Pure.

What is left out, since it would teach something wrong: a shard that is new, restarted or reports nonsense; for what tells
order params apart also a shard that an order param came to or left, or that serves trailing segments, since its counters do
not say which messages were served where.

Axes: N order params of the later look, S shards that can be compared. Cost O(N), no nested loops.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ShardLoad

CPU_ROW, IO_ROW = 0, 1
METERS = ("CPU", "I/O")
"""What a shard has a meter for, in the order of the first axis of (2, ...) arrays."""


@dataclass(frozen=True, eq=False)
class Interval:
    """What happened between two looks.

    Attributes:
        seconds: between them, > 0.
        names: (N,) order params in the later look, each once, the rows of a shard together.
        shard_ids: (S,) shards that can be compared.
        shard_of: (N,) index of each one's shard among `shard_ids`, -1 if that cannot be compared.
        appended, appended_bytes: (N,) since the earlier look; 0 for one that was not known then.
        served: (N,) messages delivered: acknowledgements, scaled so that a shard's sum is what it says it delivered.
        backlog_bytes: (N,) waiting payload in the later look.
        spent: (2, S) core-seconds, and bytes of I/O.
        payload_bytes: (S,) appended.
        delivered: (S,) messages.
        settled: (S,) whether nobody came or left, so that the sums are those of `served` and `appended`.
        memory_beyond_bytes: memory beyond waiting payload, of all shards together; not finite if one told nonsense.
    """

    seconds: float
    names: list[str]
    shard_ids: list[str]
    shard_of: NDArray[np.int64]
    appended: NDArray[np.float64]
    appended_bytes: NDArray[np.float64]
    served: NDArray[np.float64]
    backlog_bytes: NDArray[np.float64]
    spent: NDArray[np.float64]
    payload_bytes: NDArray[np.float64]
    delivered: NDArray[np.float64]
    settled: NDArray[np.bool_]
    memory_beyond_bytes: float

    @property
    def cores(self) -> NDArray[np.float64]:
        """(S,) mean cores in use."""
        return np.asarray(self.spent[CPU_ROW] / self.seconds)


def compared(previous: LoadSnapshot, snapshot: LoadSnapshot) -> Interval:
    """Return what happened between two looks, the later one being later."""
    seconds = snapshot.at_s - previous.at_s
    assert seconds > 0
    comparable = list(_comparable(previous, snapshot))
    place = {now.shard_id: index for index, (_, now) in enumerate(comparable)}
    names, shard_of, counts = _counted(previous, snapshot, place)
    appended, appended_bytes, acknowledged, backlog_bytes = counts
    delivered = np.array([now.served_total - then.served_total for then, now in comparable], dtype=np.float64)
    return Interval(
        seconds=seconds,
        names=names,
        shard_ids=list(place),
        shard_of=shard_of,
        appended=appended,
        appended_bytes=appended_bytes,
        served=_shared_out(delivered, shard_of, acknowledged, appended),
        backlog_bytes=backlog_bytes,
        spent=np.array([_spent(then, now, seconds) for then, now in comparable], dtype=np.float64).reshape(-1, 2).T,
        payload_bytes=per_place(appended_bytes, shard_of, len(place)),
        delivered=delivered,
        settled=np.array([_settled(then, now) for then, now in comparable], dtype=np.bool_),
        memory_beyond_bytes=sum(shard.use.memory_bytes for shard in snapshot.shards) - float(backlog_bytes.sum()),
    )


def per_place(values: NDArray[np.float64], place: NDArray[np.int64], places: int) -> NDArray[np.float64]:
    """Sum (N,) values by place: (places,); those at place -1 are left out."""
    inside = place >= 0
    return np.bincount(place[inside], values[inside], places).astype(np.float64)


def _comparable(previous: LoadSnapshot, snapshot: LoadSnapshot) -> Iterator[tuple[ShardLoad, ShardLoad]]:
    """Yield the two reports of each shard, unless it is new, restarted or reports nonsense."""
    before = {shard.shard_id: shard for shard in previous.shards}
    for shard in snapshot.shards:
        earlier = before.get(shard.shard_id)
        sound = isfinite(shard.use.cpu_cores) and isfinite(shard.use.io_bytes_per_s)
        if earlier is not None and shard.served_total >= earlier.served_total and sound:
            yield earlier, shard


def _counted(
    previous: LoadSnapshot, snapshot: LoadSnapshot, place: dict[str, int]
) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """Return names (N,), places (N,) and (4, N): appended, bytes appended, acknowledged since, and bytes waiting."""
    known = {load.order_param: load for shard in previous.shards for load in shard.order_params}
    names: list[str] = []
    places: list[int] = []
    counts: list[tuple[int, int, int, int]] = []
    for shard in snapshot.shards:
        at = place.get(shard.shard_id, -1)
        for load in shard.order_params:
            names.append(load.order_param)
            places.append(at)
            counts.append(_since(known.get(load.order_param), load))
    return names, np.array(places, dtype=np.int64), np.array(counts, dtype=np.float64).reshape(-1, 4).T


def _since(before: OrderParamLoad | None, load: OrderParamLoad) -> tuple[int, int, int, int]:
    if before is None or load.messages_total < before.messages_total or load.bytes_total < before.bytes_total:
        return 0, 0, 0, load.backlog_bytes
    return (
        load.messages_total - before.messages_total,
        load.bytes_total - before.bytes_total,
        max(0, load.consumed_total - before.consumed_total),
        load.backlog_bytes,
    )


def _shared_out(
    delivered: NDArray[np.float64],
    shard_of: NDArray[np.int64],
    acknowledged: NDArray[np.float64],
    appended: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (N,) messages delivered of each order param; a queue that tells of no acknowledgements delivers what comes."""
    by_acks = per_place(acknowledged, shard_of, len(delivered))
    by_appends = per_place(appended, shard_of, len(delivered))
    basis = np.where(by_acks > 0, by_acks, by_appends)
    scale = np.divide(delivered, basis, out=np.zeros_like(delivered), where=basis > 0)
    at = np.maximum(shard_of, 0)
    if not len(delivered):
        return np.zeros(len(shard_of))
    return np.asarray(np.where(shard_of >= 0, np.where(by_acks[at] > 0, acknowledged, appended) * scale[at], 0.0))


def _spent(then: ShardLoad, now: ShardLoad, seconds: float) -> tuple[float, float]:
    """Return core-seconds and bytes; a shard that keeps no counter is believed its sample for the whole time."""
    core_s = now.cpu_core_s_total - then.cpu_core_s_total if now.cpu_core_s_total > 0 else now.use.cpu_cores * seconds
    io_bytes = now.io_bytes_total - then.io_bytes_total if now.io_bytes_total > 0 else now.use.io_bytes_per_s * seconds
    return max(0.0, core_s), max(0.0, io_bytes)


def _settled(then: ShardLoad, now: ShardLoad) -> bool:
    if then.segments or now.segments or len(then.order_params) != len(now.order_params):
        return False
    return {load.order_param for load in then.order_params} == {load.order_param for load in now.order_params}
