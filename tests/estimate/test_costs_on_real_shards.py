"""Costs of messages learned from real shard processes.

With a service rate a message costs 1 / rate core-seconds, so the truth is known. Without one the shard's CPU is the
operating system's; then the truth is what each kind costs alone on the same shard, measured in turns with the mixtures.
"""

import asyncio
import logging
from dataclasses import replace

import numpy as np
import pytest

from plb_ray.domain.load import LoadSnapshot
from plb_ray.estimate.cost import CostModel
from tests.estimate.costs_of_real_shards import KINDS, Client, found
from tests.shard.real_shards import real_shards

LOG = logging.getLogger(__name__)
pytestmark = pytest.mark.shards

ROUNDS = 150
SECONDS = 60.0


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
    """Each kind's CPU is found within 10 %, and three standard errors of the truth itself and of what was learnt."""
    async with asyncio.timeout(110), real_shards(tmp_path) as [shard]:
        made = await found(shard, np.random.default_rng(1), ROUNDS, SECONDS)
    LOG.info("%d rounds: off by %s; errors: alone %s, learnt %s", made.rounds, made.off, made.alone_error, made.learnt_error)
    assert len(KINDS) == 3
    assert (np.abs(made.off) < 0.10 + 3 * np.hypot(made.alone_error, made.learnt_error)).all()
    assert (np.abs(np.log2(made.pooled / made.alone)) > 1).any()  # the pooled cost would not do
