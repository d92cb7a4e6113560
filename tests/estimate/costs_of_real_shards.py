"""What messages cost on a real shard, found in two ways at the same time: each kind alone, and learned from mixtures.

    alone a | mixture | alone b | mixture | alone c | mixture | alone a | ...        each with a moment after it, in which
                                                                                     the shard puts its log away

What a machine needs for the same work changes from minute to minute with what else it does. Since the two ways take turns
within seconds, that is the same for both; how far it makes even the blocks of one kind differ is told beside the result.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from plb_ray.clock import monotonic_s
from plb_ray.domain.load import LoadSnapshot
from plb_ray.estimate.cost import CostModel

KINDS = {"small": (1, 100), "batched": (20, 100), "large": (5, 20_000)}  # messages a call, bytes a message
CALLS = 20
SETTLE_S = 0.05
SHARES = (0.0, 0.25, 0.5, 1.0, 2.0)
LEAST_ROUNDS = 4 * len(KINDS)


class Client:
    """Appends, polls and acknowledges, a call after the other, so that a message costs the same in any company."""

    def __init__(self, shard):
        self._shard = shard
        self._sent = {}

    async def rounds(self, order_param, calls, messages, size):
        for _ in range(calls):
            last = self._sent[order_param] = self._sent.get(order_param, 0) + messages
            await self._shard.append(order_param, last - messages + 1, [b"x" * size] * messages)
            seen = 0
            while seen < messages:  # a shard with a service rate gives a few at a time
                seen += sum(len(found) for found in (await self._shard.poll(wait_ms=1000)).values())
            await self._shard.ack(order_param, last)

    async def load(self):
        await asyncio.sleep(SETTLE_S)
        return await self._shard.control.load()


@dataclass(frozen=True, eq=False)
class Found:
    """Core-seconds a message, by kind.

    Attributes:
        alone: (kinds,) mean of the blocks in which only that kind was sent.
        alone_error: (kinds,) standard error of that mean, as a share of it.
        learnt, learnt_error: (kinds,) what the model says, and its standard error, as a share of it.
        pooled: of all messages together.
        rounds: a block and a mixture each.
    """

    alone: np.ndarray
    alone_error: np.ndarray
    learnt: np.ndarray
    learnt_error: np.ndarray
    pooled: float
    rounds: int

    @property
    def off(self):
        """(kinds,) by how much what was learned differs from what was found alone."""
        return self.learnt / self.alone - 1


async def found(shard, rng, rounds, seconds):
    """Return what messages cost on a shard after so many rounds; fewer, but LEAST_ROUNDS, if the time is up."""
    client, until_s = Client(shard), monotonic_s() + seconds
    alone, model, clock_s = {kind: [] for kind in KINDS}, CostModel(), 0.0
    for kind, (messages, size) in KINDS.items():
        await shard.control.open(kind, 1)
        await client.rounds(kind, CALLS, messages, size)
    number, kinds = 0, cycle(KINDS)
    while number < rounds and (number < LEAST_ROUNDS or monotonic_s() < until_s):
        number += 1
        (kind,) = islice(kinds, 1)
        before = await client.load()
        await client.rounds(kind, CALLS, *KINDS[kind])
        between = await client.load()
        alone[kind].append(_spent(before, between) / CALLS / KINDS[kind][0])
        for each, share in zip(KINDS, rng.choice(SHARES, len(KINDS)).tolist(), strict=True):
            await client.rounds(each, int(CALLS * share), *KINDS[each])
        looks = [LoadSnapshot(clock_s + 10.0 * at, (load,)) for at, load in enumerate((between, await client.load()))]
        model, clock_s = model.updated(*looks), clock_s + 10.0
    return _judged(alone, model, number)


def _spent(before, after):
    return after.cpu_core_s_total - before.cpu_core_s_total


def _judged(alone, model, rounds):
    blocks = [np.array(each) for each in alone.values()]
    mean = np.array([each.mean() for each in blocks])
    error = np.array([each.std(ddof=1) / np.sqrt(each.size) for each in blocks]) / mean
    bands = model.bands(tuple(KINDS))
    learnt = bands.cost[:, 0]
    deviation = (bands.upper[:, 0] - learnt) / 1.6449 / learnt
    return Found(mean, error, learnt, deviation, model.cpu.value, rounds)
