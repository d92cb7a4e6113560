"""Costs of messages learned from real shard processes.

With a service rate a message costs 1 / rate core-seconds, so the truth is known. Without one the shard's CPU is the
operating system's; then the truth is what each kind costs alone on the same shard, before and after. On a machine that
does other things too, that differs from minute to minute by half, so there only large differences can be held against it.
"""

import asyncio
import logging
from dataclasses import replace

import numpy as np
import pytest

from plb_ray.domain.load import LoadSnapshot
from plb_ray.estimate.cost import CostModel
from tests.shard.real_shards import real_shards

LOG = logging.getLogger(__name__)
pytestmark = pytest.mark.shards

SAMPLED_S = 1.1  # a shard reads its process's counters once a second
KINDS = {"small": (1, 100), "batched": (20, 100)}  # messages a call, bytes a message
CALLS = 100
MIXED = ((0.05, 1.0), (1.0, 0.05), (0.3, 1.0), (1.0, 0.3), (0.05, 0.3), (1.0, 1.0), (0.3, 0.05), (1.0, 1.0))


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
        return await self._shard.control.load()


async def test_what_a_message_costs_by_the_service_rate_is_recovered(tmp_path):
    """Two shards of 400 and 4,000 messages/s, three order params on each: each cost is 1 / rate within 10 %."""
    model, rates = CostModel(), (400.0, 4000.0)
    async with (
        asyncio.timeout(60),
        real_shards(tmp_path / "a", service_rate_per_s=rates[0]) as [slow],
        real_shards(tmp_path / "b", service_rate_per_s=rates[1]) as [fast],
    ):
        clients = (Client(slow), Client(fast))
        names = [[f"{place}-{number}" for number in range(3)] for place in range(2)]
        for shard, of_shard in zip((slow, fast), names, strict=True):
            for name in of_shard:
                await shard.control.open(name, 1)
        before = None
        for interval in range(6):
            for client, of_shard in zip(clients, names, strict=True):
                for number, name in enumerate(of_shard):
                    await client.rounds(name, 1 + (interval + number) % 3, 20, 100 * 4**number)
            reports = [await client.load() for client in clients]
            told = tuple(replace(report, shard_id=f"shard-{place}") for place, report in enumerate(reports))
            after = LoadSnapshot(60.0 * interval, told)
            model, before = (model if before is None else model.updated(before, after)), after
    for of_shard, rate in zip(names, rates, strict=True):
        cost = model.bands(tuple(of_shard)).cost[:, 0]
        LOG.info("learnt / true at %s messages/s: %s", rate, (cost * rate).round(3).tolist())
        assert cost == pytest.approx(1 / rate, rel=0.10)


async def test_kinds_that_share_a_shard_are_told_apart_by_its_cpu(tmp_path):
    """One message a call, or twenty: CPU that differs more than fivefold is found to within a factor of two."""
    model, clock = CostModel(), 0.0
    async with asyncio.timeout(110), real_shards(tmp_path) as [shard]:
        client = Client(shard)

        async def look():
            nonlocal clock
            clock += 60.0
            await asyncio.sleep(SAMPLED_S)
            return LoadSnapshot(clock, (await client.load(),))

        async def alone():
            costs, then = [], await look()
            for kind, (messages, size) in KINDS.items():
                await client.rounds(kind, CALLS, messages, size)
                now = await look()
                costs.append((now.shards[0].cpu_core_s_total - then.shards[0].cpu_core_s_total) / (CALLS * messages))
                then = now
            return np.array(costs)

        for kind, (messages, size) in KINDS.items():
            await shard.control.open(kind, 1)
            await client.rounds(kind, CALLS // 2, messages, size)
        first, before = await alone(), await look()
        for parts in MIXED:
            for part, (kind, (messages, size)) in zip(parts, KINDS.items(), strict=True):
                await client.rounds(kind, int(CALLS * part), messages, size)
            after = await look()
            model, before = model.updated(before, after), after
        true = (first + await alone()) / 2
    learnt = model.bands(tuple(KINDS)).cost[:, 0]
    LOG.info("alone before %s, mean %s, learnt / mean %s", first.tolist(), true.tolist(), (learnt / true).round(3).tolist())
    assert true[0] > 5 * true[1]
    assert (np.abs(np.log2(learnt / true)) < 1).all()
    assert (np.abs(np.log2(model.cpu.value / true)) > 1).any()  # the pooled cost would not do
