"""A replay whose messages are not confirmed."""

import asyncio

import numpy as np
import pytest

from plb_ray.clock import monotonic_s
from plb_ray.errors import OutcomeUnknownError
from plb_ray.simulation.schedule import make_schedule
from plb_ray.simulation.stage import Stage
from plb_ray.simulation.trace import Trace
from plb_ray.simulation.traffic import TrafficRun


class SilentQueue:
    """Confirms nothing; the first who asks is told so."""

    def __init__(self):
        self.asked = 0

    async def send(self, _order_param, _payloads):
        self.asked += 1
        if self.asked == 1:
            raise OutcomeUnknownError("not confirmed")
        await asyncio.sleep(3600)


async def test_the_first_send_that_fails_ends_the_replay_with_its_error():
    """Nobody waits for the other messages, and nothing is left running."""
    counts = np.full((3, 10), 20.0)
    trace = Trace("short", ("a", "b", "c"), 0, 60, counts)
    run = TrafficRun(
        Stage(trace, 0, 10, 1.0, ("shard-0",), 100.0, 0.1), make_schedule(counts, 0.1, np.random.default_rng(1))
    )
    run._started_s = monotonic_s()
    queue, before = SilentQueue(), asyncio.all_tasks()
    with pytest.raises(OutcomeUnknownError, match="not confirmed"):
        async with asyncio.timeout(10):
            await run._send_all(queue)
    assert queue.asked < run.progress.due
    assert asyncio.all_tasks() == before
