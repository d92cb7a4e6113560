"""All order params at a glance: what the last look saw of each, as columns, so that ten thousand of them travel quickly.

Axes: K order params, R resources.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from plb_ray.domain.load import RESOURCES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.observation import Observation

CPU = RESOURCES.index("cpu_cores")


@dataclass(frozen=True, eq=False)
class OrderParamTable:
    """What is known of each order param.

    Attributes:
        at_s: time of the look.
        names: (K,) in no particular order.
        shards: (K,) the shards of each, in the order in which they are to be consumed.
        epochs: (K,) int64 ownership numbers.
        messages_per_s: (K,) float64 arrivals of the last closed step; 0 where nothing is known yet.
        load: (K, R) float64 what these arrivals use of each resource.
        backlog: (K,) int64 messages waiting or in flight, on all shards.
        oldest_age_s: (K,) float64 age of the oldest of them.
    """

    at_s: float
    names: tuple[str, ...]
    shards: tuple[tuple[str, ...], ...]
    epochs: NDArray[np.int64]
    messages_per_s: NDArray[np.float64]
    load: NDArray[np.float64]
    backlog: NDArray[np.int64]
    oldest_age_s: NDArray[np.float64]

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each name."""
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def by_name(self) -> NDArray[np.int64]:
        """(K,) rows in the order of their names."""
        return np.array(sorted(range(len(self.names)), key=self.names.__getitem__), dtype=np.int64)

    @cached_property
    def by_rate(self) -> NDArray[np.int64]:
        """(K,) rows, highest arrival rate first, then by name."""
        return self._highest_first(self.messages_per_s)

    @cached_property
    def by_backlog(self) -> NDArray[np.int64]:
        """(K,) rows, longest backlog first, then by name."""
        return self._highest_first(self.backlog)

    @cached_property
    def by_cpu(self) -> NDArray[np.int64]:
        """(K,) rows, highest CPU load first, then by name."""
        return self._highest_first(self.load[:, CPU])

    def _highest_first(self, column: NDArray[Any]) -> NDArray[np.int64]:
        return self.by_name[np.argsort(-column[self.by_name], kind="stable")]


def order_param_table(seen: Observation) -> OrderParamTable:
    """Return one row for every order param that is placed, whether or not anything has arrived for it."""
    placements = seen.mapping.placements
    names = tuple(placements)
    rows = {name: row for row, name in enumerate(names)}
    known = [rows[name] for name in seen.history.order_params if name in rows]
    there = [number for number, name in enumerate(seen.history.order_params) if name in rows]
    rates, load = np.zeros(len(names)), np.zeros((len(names), seen.arriving.shape[1]))
    rates[known], load[known] = seen.rates[there], seen.arriving[there]
    backlog, age_s = np.zeros(len(names), dtype=np.int64), np.zeros(len(names))
    for report in seen.snapshot.shards:
        for part in report.order_params:
            row = rows.get(part.order_param)
            if row is not None:
                backlog[row] += part.backlog
                age_s[row] = max(age_s[row], part.oldest_age_s)
    return OrderParamTable(
        at_s=seen.snapshot.at_s,
        names=names,
        shards=tuple(placement.shards for placement in placements.values()),
        epochs=np.array([placement.epoch for placement in placements.values()], dtype=np.int64),
        messages_per_s=rates,
        load=load,
        backlog=backlog,
        oldest_age_s=age_s,
    )
