"""Elastic shards put together: the provider that starts embedded shards, and the keeper that makes one turn per tick.

Where shards are not started here, a keeper without a provider advises all the same, when somebody asks.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.control.elastic import ElasticPolicy
from plb_ray.control.elastic_keeper import ElasticKeeper
from plb_ray.queues.embedded_provider import STANDARD, EmbeddedProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plb_ray.clock import Clock
    from plb_ray.control.loop import ControlLoop
    from plb_ray.control.ports import ShardProvider
    from plb_ray.settings import ElasticSettings, Settings

AFTER_TICK_S = 2.0  # a tick has looked by then; the keeper only reads what it saw
MOST_SHARDS = 100_000  # of advice, where no limit is set
MIGRATION_S = 5.0  # what a migration is taken to last for the payback of a drain


def elastic_settings(settings: Settings) -> ElasticSettings:
    """Return the settings with `min_shards` not below the shards that always stay."""
    stay = len(settings.queue.shards) or settings.queue.count
    elastic = settings.elastic
    least = max(elastic.min_shards, stay)
    return replace(elastic, min_shards=least, max_shards=max(elastic.max_shards, least))


def provider_of(settings: Settings) -> EmbeddedProvider:
    """Return the provider over a state folder; call its `start` before the coordinator's."""
    return EmbeddedProvider(settings.state_dir, settings.queue.service_rate_per_s)


def advising(settings: Settings, loop: ControlLoop) -> ElasticKeeper:
    """Return a keeper that starts nothing and knows no limits: its turns say how many shards there should be."""
    unlimited = replace(settings.elastic, min_shards=1, max_shards=MOST_SHARDS)
    return _keeper(ElasticPolicy(unlimited, settings.balancer.headroom), None, settings, loop)


def _keeper(policy: ElasticPolicy, provider: ShardProvider | None, settings: Settings, loop: ControlLoop) -> ElasticKeeper:
    in_flight = settings.balancer.migrations_in_flight
    return ElasticKeeper(policy, provider, lambda: loop.fleet_picture(MIGRATION_S, in_flight), STANDARD, loop.moves_held)


@asynccontextmanager
async def elastic(
    settings: Settings, loop: ControlLoop, provider: ShardProvider, clock: Clock
) -> AsyncIterator[ElasticKeeper]:
    """Keep as many shards as are needed while the block runs; yields the keeper."""
    policy = ElasticPolicy(elastic_settings(settings), settings.balancer.headroom)
    keeper = _keeper(policy, provider, settings, loop)
    keeping = asyncio.create_task(_turns(keeper, settings.balancer.step_s, clock), name="elastic shards")
    try:
        yield keeper
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


async def _turns(keeper: ElasticKeeper, step_s: int, clock: Clock) -> None:
    """Make a turn shortly after every step boundary, until cancelled."""
    while True:
        boundary_s = (clock.now_s() // step_s + 1) * step_s
        await clock.sleep_until(boundary_s + min(AFTER_TICK_S, step_s / 4))
        await keeper.turn()
