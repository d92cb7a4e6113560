"""Observing: one look at the queue, turned into rates per order param and a better cost per message.

The observer keeps what lies between two looks: counters that only grow, the cost model, and the past utilisation of each
shard for the charts.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.pictures import CPU, capacities
from plb_ray.domain.sums import per_shard
from plb_ray.errors import ShardUnavailableError
from plb_ray.estimate.cost import CostModel
from plb_ray.history.counters import CounterGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.ports import Queue
    from plb_ray.domain.load import LoadSnapshot, Shard
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.rates import RateHistory
    from plb_ray.history.store import HistoryStore

PAST_POINTS = 288


@dataclass(frozen=True, eq=False)
class Observation:
    """What is known of the queue at one moment.

    Attributes:
        shards: S shards.
        mapping: who owns what.
        snapshot: counters and use.
        history: (K, T) rates of the order params that are known to it and placed on one of `shards`.
        owner: (K,) index of the owning shard.
        arriving: (K, R) load that the last step's arrivals stand for.
        served_per_s: messages served per second since the look before, by shard.
        past: (time, CPU utilisation) of this and earlier looks, oldest first, by shard.
    """

    shards: tuple[Shard, ...]
    mapping: Mapping
    snapshot: LoadSnapshot
    history: RateHistory
    owner: NDArray[np.int64]
    arriving: NDArray[np.float64]
    served_per_s: dict[str, float]
    past: dict[str, tuple[tuple[float, float], ...]]

    @property
    def rates(self) -> NDArray[np.float64]:
        """(K,) messages_per_s of the last closed step; 0 while there is none."""
        return last_rates(self.history)


class Observer:
    """Looks at the queue, and remembers what is needed to make sense of the next look."""

    def __init__(self, queue: Queue, history: HistoryStore, lookback_steps: int) -> None:
        self.cost = CostModel()
        self._past: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=PAST_POINTS))
        self._queue = queue
        self._history = history
        self._lookback_steps = lookback_steps
        self._grid = CounterGrid(history.step_s)
        self._previous: LoadSnapshot | None = None

    async def look(self) -> Observation:
        """Ask the queue, add the closed steps to the history, learn the cost, and return it all.

        Raises:
            ShardUnavailableError: no shard answers, so nothing can be known.
        """
        shards = await self._queue.shards()
        mapping = await self._queue.mapping()
        snapshot = await self._queue.load_metrics()
        if not snapshot.shards:
            shard_id, why = next(iter(snapshot.missing.items()), ("(none)", "the queue has no shards"))
            raise ShardUnavailableError(shard_id, "its endpoint", why)
        self._note_rates(snapshot)
        served = self._learn(shards, snapshot)
        history = placed_on(shards, mapping, self._history.view(self._lookback_steps))
        owner = owner_index(history.order_params, mapping, shards)
        arriving = self.cost.load(history.order_params, last_rates(history))
        past = self._with_past(snapshot.at_s, shards, per_shard(arriving, owner, len(shards)))
        return Observation(shards, mapping, snapshot, history, owner, arriving, served, past)

    def _note_rates(self, snapshot: LoadSnapshot) -> None:
        totals = {load.order_param: load.messages_total for shard in snapshot.shards for load in shard.order_params}
        for start_s, messages in self._grid.observe(snapshot.at_s, totals, complete=not snapshot.missing):
            rates = {order_param: count / self._history.step_s for order_param, count in messages.items()}
            self._history.append(start_s, rates)

    def _learn(self, shards: tuple[Shard, ...], snapshot: LoadSnapshot) -> dict[str, float]:
        previous, self._previous = self._previous, snapshot
        if previous is None or snapshot.at_s <= previous.at_s:
            return {}
        cores = {shard.shard_id: shard.capacity.cpu_cores for shard in shards}
        self.cost = self.cost.updated(previous, snapshot, cores)
        before = {shard.shard_id: shard.served_total for shard in previous.shards}
        elapsed_s = snapshot.at_s - previous.at_s
        return {
            shard.shard_id: max(0, shard.served_total - before.get(shard.shard_id, shard.served_total)) / elapsed_s
            for shard in snapshot.shards
        }

    def _with_past(
        self, at_s: float, shards: tuple[Shard, ...], load: NDArray[np.float64]
    ) -> dict[str, tuple[tuple[float, float], ...]]:
        """Add this look to each shard's past; `load` is (S, R)."""
        share = (load / capacities(shards))[:, CPU]
        for row, shard in enumerate(shards):
            self._past[shard.shard_id].append((at_s, float(share[row])))
        return {shard_id: tuple(points) for shard_id, points in self._past.items()}


def placed_on(shards: tuple[Shard, ...], mapping: Mapping, history: RateHistory) -> RateHistory:
    """Return the history of what lives on these shards; a shard that has never been reached holds what cannot be planned."""
    known = {shard.shard_id for shard in shards}
    placements = mapping.placements
    placed = tuple(n for n in history.order_params if n in placements and placements[n].owner in known)
    return history if len(placed) == len(history.order_params) else history.rows(placed)


def last_rates(history: RateHistory) -> NDArray[np.float64]:
    """Return (K,) the rates of the last step; 0 while there is none."""
    if history.messages_per_s.shape[1] == 0:
        return np.zeros(len(history.order_params))
    return np.asarray(history.messages_per_s[:, -1], dtype=np.float64)


def owner_index(order_params: tuple[str, ...], mapping: Mapping, shards: tuple[Shard, ...]) -> NDArray[np.int64]:
    """Return (K,) the index of the shard that owns each order param."""
    position = {shard.shard_id: index for index, shard in enumerate(shards)}
    return np.array([position[mapping.placements[name].owner] for name in order_params], dtype=np.int64)
