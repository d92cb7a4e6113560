"""What a decision stands on: one frozen picture of the queue as arrays, the same for the control loop and for a replay.

Axes: K order params, S shards, T coming steps, R resources.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.effects import Experience
from plb_ray.domain.load import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from plb_ray.control.past_loads import PastLoads
    from plb_ray.domain.load import LoadEstimate, Shard


@dataclass(frozen=True, eq=False)
class Situation:
    """The queue at one moment, and what is foreseen of it.

    Attributes:
        at_s: now, the end of the last closed step (trace time in a replay).
        step_s: length of a step.
        order_params: (K,) names, those that live on a shard of `shards`.
        shards: S shards.
        silent: ids of shards that do not answer.
        owner: (K,) index of the shard that each order param lives on.
        measured: (K, R) load that the arrivals of the last closed step stand for.
        estimate: (K, T, R) load to come, rows as `order_params`; None while nothing can be foreseen.
        moving: destination of each order param on its way; it still counts on `owner`.
        lead_s: how long a migration takes, from its order to its end: the 95th percentile of those measured.
        distrust: why the forecast may not be planned on though it is sound; empty if it may.
        experience: what earlier moves teach of how far promises hold.
        past: what came together before, and surges, to prepare for; None: decide without.
    """

    at_s: float
    step_s: int
    order_params: tuple[str, ...]
    shards: tuple[Shard, ...]
    silent: frozenset[str]
    owner: NDArray[np.int64]
    measured: NDArray[np.float64]
    estimate: LoadEstimate | None
    moving: Mapping[str, str] = field(default_factory=dict)
    lead_s: float = 0.0
    distrust: str = ""
    experience: Experience = field(default_factory=Experience)
    past: PastLoads | None = None

    @property
    def capacity(self) -> NDArray[np.float64]:
        """(S, R), infinite where a shard states no limit."""
        stated = np.array([shard.capacity.array() for shard in self.shards]).reshape(-1, len(RESOURCES))
        return np.where(np.isfinite(stated) & (stated > 0), stated, np.inf)

    def with_owners(self, owners: Mapping[str, str]) -> Situation:
        """Return the situation with order params on these shards; those that are not named stay."""
        position = {shard.shard_id: index for index, shard in enumerate(self.shards)}
        owner = [position.get(owners.get(name, ""), at) for name, at in zip(self.order_params, self.owner, strict=True)]
        return replace(self, owner=np.array(owner, dtype=np.int64))

    def heading(self) -> NDArray[np.int64]:
        """Return (K,) the shard that each order param is on its way to; its owner if it is on none, or nobody knows it."""
        position = {shard.shard_id: index for index, shard in enumerate(self.shards)}
        heading = self.owner.copy()
        if self.moving:
            row_of = {name: row for row, name in enumerate(self.order_params)}
            for name, destination in self.moving.items():
                if name in row_of and destination in position:
                    heading[row_of[name]] = position[destination]
        return heading
