"""Shards that come and go in a replay, as `plb_ray.control.elastic` advises; the decider empties what is to go.

    bin by bin:  what is emptied goes -> advice -> more: drains are taken back, then shards come
                                                   fewer: the least loaded is drained

A shard that comes takes order params from the next bin's decision on, and is paid for from now on; one that is drained is
paid for until its last order param has left. Those that are down are silent shards of rate 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.elastic import ElasticMemory, ElasticPolicy, Outlook, least_loaded
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.situation import Situation
    from plb_ray.settings import ElasticSettings
    from plb_ray.simulation.replay.physics import Fluid


class ElasticFleet:
    """See the module.

    Args:
        rate: messages per second that one shard serves.
        up: (S,) which shards there are at the beginning.
        settings: limits and times; `max_shards` at most S.
        headroom: usable share of a shard.
    """

    def __init__(self, rate: float, up: NDArray[np.bool_], settings: ElasticSettings, headroom: float) -> None:
        self._rate, self._up = rate, up.copy()
        self._draining = np.zeros(len(up), dtype=np.bool_)
        self._policy, self._memory = ElasticPolicy(settings, headroom), ElasticMemory()

    def adjusted(self, situation: Situation, fluid: Fluid) -> Situation:
        """Change which shards are up, and return the situation with those that are not silent and those that go draining."""
        carried = np.union1d(fluid.owner, np.fromiter(fluid.moving.values(), dtype=np.int64))
        empty = np.ones(len(self._up), dtype=np.bool_)
        empty[carried] = False
        self._up &= ~(self._draining & empty)
        self._draining &= self._up
        capacity = np.full(situation.measured.shape[1], np.inf)
        capacity[0] = self._rate
        outlook = Outlook(situation.at_s, situation.measured, situation.estimate, situation.lead_s)
        active = int((self._up & ~self._draining).sum())
        advice, self._memory = self._policy.advise(outlook, capacity, active, self._memory)
        if advice.target > active:
            self._more(advice.target - active)
        elif advice.target < active:
            self._fewer(situation)
        fluid.rates[:] = np.where(self._up, self._rate, 0.0)
        shards = tuple(replace(s, draining=bool(d)) for s, d in zip(situation.shards, self._draining, strict=True))
        silent = frozenset(s.shard_id for s, up in zip(shards, self._up, strict=True) if not up)
        return replace(situation, shards=shards, silent=silent)

    def _more(self, count: int) -> None:
        back = np.flatnonzero(self._draining)[:count]
        self._draining[back] = False
        self._up[np.flatnonzero(~self._up)[: count - len(back)]] = True

    def _fewer(self, situation: Situation) -> None:
        capacity = np.full((len(self._up), situation.measured.shape[1]), np.inf)
        capacity[:, 0] = self._rate
        load = per_shard(situation.measured, situation.owner, len(self._up))
        chosen = least_loaded(load, np.where(np.isfinite(capacity), capacity, 0.0), self._up & ~self._draining)
        if chosen is not None:
            self._draining[chosen] = True
