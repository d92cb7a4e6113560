"""From the loop's state to what people see: one `ShardView` per shard. Pure; cost O(K x T x R) per tick.

Axes: K order params, T steps, R resources, S shards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.views import ForecastBand, ShardView
from plb_ray.domain.load import RESOURCES
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.load import LoadEstimate, LoadSnapshot, Shard, ShardLoad

CPU = RESOURCES.index("cpu_cores")


def capacities(shards: tuple[Shard, ...]) -> NDArray[np.float64]:
    """Return (S, R) to divide by: a capacity of 0 states no limit, so it is infinite here."""
    stated = np.stack([shard.capacity.array() for shard in shards])
    return np.where(stated > 0, stated, np.inf)


def shard_views(
    shards: tuple[Shard, ...],
    snapshot: LoadSnapshot,
    arriving: NDArray[np.float64],
    rates: NDArray[np.float64],
    served_per_s: dict[str, float],
    past: dict[str, tuple[tuple[float, float], ...]],
    estimate: LoadEstimate | None,
    owner: NDArray[np.int64],
    headroom: float,
    draining: frozenset[str] = frozenset(),
) -> tuple[ShardView, ...]:
    """Return one view per shard.

    Args:
        shards: S shards.
        snapshot: the newest look at them.
        arriving: (K, R) load that the last step's arrivals stand for.
        rates: (K,) messages_per_s of the last step.
        served_per_s: messages served per second, by shard.
        past: (time, CPU utilisation) points by shard, oldest first.
        estimate: the load to come, or None before the first forecast; its rows are those of `arriving`.
        owner: (K,) index of the shard that owns each order param.
        headroom: usable share of capacity.
        draining: ids of the shards that the operator drains, beside those that say so themselves.
    """
    capacity = capacities(shards)
    now = per_shard(arriving, owner, len(shards)) / capacity  # (S, R)
    rate = per_shard(rates[:, None], owner, len(shards))[:, 0]
    counted = np.bincount(owner, minlength=len(shards))
    reports = {report.shard_id: report for report in snapshot.shards}
    bands = _bands(estimate, owner, capacity)
    views = []
    for row, shard in enumerate(shards):
        report = reports.get(shard.shard_id)
        band = bands[row] if bands else {}
        views.append(
            ShardView(
                shard_id=shard.shard_id,
                endpoint=shard.endpoint,
                capacity=shard.capacity,
                utilisation={name: float(now[row, r]) for r, name in enumerate(RESOURCES)},
                arrival_messages_per_s=float(rate[row]),
                served_messages_per_s=served_per_s.get(shard.shard_id, 0.0),
                backlog=_backlog(report),
                oldest_age_s=max((load.oldest_age_s for load in report.order_params), default=0.0) if report else 0.0,
                order_params=int(counted[row]),
                history_s=tuple(at_s for at_s, _ in past.get(shard.shard_id, ())),
                history=tuple(share for _, share in past.get(shard.shard_id, ())),
                bands=band,
                congestion_at_s=_congestion_at_s(band, headroom),
                error=snapshot.missing.get(shard.shard_id, ""),
                draining=shard.draining or shard.shard_id in draining,
            )
        )
    return tuple(views)


def _backlog(report: ShardLoad | None) -> int:
    return sum(load.backlog for load in report.order_params) if report else 0


def _bands(
    estimate: LoadEstimate | None, owner: NDArray[np.int64], capacity: NDArray[np.float64]
) -> list[dict[str, ForecastBand]]:
    """Return, per shard, the band of each resource as shares of capacity."""
    if estimate is None:
        return []
    shards = len(capacity)
    target = per_shard(estimate.target, owner, shards) / capacity[:, None, :]  # (S, T, R)
    expected = per_shard(estimate.expected, owner, shards) / capacity[:, None, :]
    starts_s = tuple(int(start_s) for start_s in estimate.starts_s)
    return [
        {
            name: ForecastBand(starts_s, tuple(expected[row, :, r].tolist()), tuple(target[row, :, r].tolist()))
            for r, name in enumerate(RESOURCES)
        }
        for row in range(shards)
    ]


def _congestion_at_s(bands: dict[str, ForecastBand], headroom: float) -> float | None:
    """Return the first step at which any resource's target exceeds the headroom."""
    steps = [
        start_s
        for band in bands.values()
        for start_s, share in zip(band.starts_s, band.target, strict=True)
        if share > headroom
    ]
    return min(steps, default=None)
