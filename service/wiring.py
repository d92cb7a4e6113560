"""The composition root: the one place that chooses implementations and puts the control loop together.

`build_balancer` runs inside the control actor (or in a test, without Ray). Everything it needs is in a `BalancerSpec`, which
is plain data and travels to the actor; after a restart the same spec gives the same balancer over the same state.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.baseline import seasonal_naive
from models.factory import make_forecaster
from models.pool import LocalForecasterPool
from models.registry import ModelRegistry
from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.clock import ScaledClock, WallClock, wall_time_s
from plb_ray.cluster.retraining import RetrainPlace
from plb_ray.control.feedback import Feedback
from plb_ray.control.loop import ControlLoop
from plb_ray.control.loop_meter import LoopMeter
from plb_ray.control.migration_meter import MigrationMeter
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.control.scribe import NotingKeeper, NotingProvider, Scribe
from plb_ray.errors import NotReadyError
from plb_ray.estimate.cost_keeper import CostKeeper
from plb_ray.history.outcomes import OutcomeStore
from plb_ray.history.store import HistoryLimits, HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.ingest.follower import Follower, Pace
from plb_ray.ingest.prometheus import PrometheusQuery, PrometheusSource
from plb_ray.journal.journal import open_journal
from plb_ray.journal.retention import Retention, keep_pruned
from plb_ray.migration.settings import MigrationSettings
from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings
from plb_ray.rpc.history import HistoryServicer
from plb_ray.rpc.queue_client import QueueClient
from plb_ray.rpc.queue_control import QueueControlServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.shard_client import ShardClient
from plb_ray.simulation.scaled_queue import ScaledQueue
from plb_ray.tracing import tracing_process
from service.elastic import advising, elastic, provider_of
from service.logs import log_to
from service.notify import watched
from service.notify_send import Sender, targets_of
from service.queue_tls import tls_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from plb_ray.clock import Clock
    from plb_ray.control.ports import ForecasterPool, Queue
    from plb_ray.domain.samples import PushOutcome, SampleBatch
    from plb_ray.journal.journal import Journal
    from plb_ray.queues.embedded_provider import EmbeddedProvider
    from plb_ray.settings import Settings, ShardAddress

DAY_S = 86_400.0
MANUAL_MIGRATIONS = 2
"""Migrations that people may start while the loop uses its whole allowance."""


@dataclass(frozen=True)
class ReplayTime:
    """The compressed time of a replay; see `ScaledClock`."""

    start_s: float
    speed: float
    anchor_file: Path

    def clock(self) -> ScaledClock:
        """Return the clock that all processes of the replay share."""
        return ScaledClock(self.start_s, self.speed, self.anchor_file)


@dataclass(frozen=True)
class BalancerSpec:
    """What a balancer is built from.

    Attributes:
        settings: of the product.
        shards: the embedded shards to front; empty for a queue system of somebody else's.
        replay: compressed time; None for real time.
        order_params: to place before the first message; they must be known to the history.
        on_ray: train and serve forecasters on Ray actors, rather than in this process.
    """

    settings: Settings
    shards: tuple[ShardAddress, ...] = ()
    replay: ReplayTime | None = None
    order_params: tuple[str, ...] = ()
    on_ray: bool = True


class Runtime:
    """Implements `plb_ray.cluster.control_actor.BalancerRuntime`: the loop, and what must be closed after it."""

    def __init__(self, loop: ControlLoop, held: AsyncExitStack) -> None:
        self.balancer = loop
        self._held = held

    async def run(self) -> None:
        """Tick until cancelled."""
        await self.balancer.run()

    async def close(self) -> None:
        """Release everything, last built first."""
        await self._held.aclose()


async def build_balancer(spec: BalancerSpec) -> Runtime:
    """Open the journal, recover the queue, and return the loop, ready to run.

    Raises:
        NotTheOwnerError: another balancer runs on this state folder.
        PortInUseError: QueueControl's port is taken.
        BadInputError: a file of the state folder cannot be used.
    """
    settings = spec.settings
    async with AsyncExitStack() as held:
        held.enter_context(tracing_process(settings.tracing, "control"))
        held.enter_context(log_to(settings.state_dir / "plb.log", settings.log))
        meter = MigrationMeter(wall_time_s)
        journal = await open_journal(settings.state_dir / "journal.sqlite", meter.note)
        held.push_async_callback(journal.close)
        scribe = Scribe(journal.audit, wall_time_s)
        held.push_async_callback(scribe.close)
        meter.follow(scribe.migration_step)
        await held.enter_async_context(_pruned(journal, settings))
        history = open_history(settings)
        held.callback(history.close)
        samples = _SamplesDoor()
        provider = provider_of(settings) if settings.elastic.enabled else None
        queue, endpoint = await _queue(spec, journal, samples, held, provider)
        clock: Clock = WallClock()
        if spec.replay is not None:
            scaled = spec.replay.clock()
            clock, queue = scaled, ScaledQueue(queue, scaled)
        pool, lookback_s = forecaster_pool(settings, on_ray=spec.on_ray)
        held.push_async_callback(pool.close)
        events = CalendarStore(settings.state_dir)
        notices = Sender(settings.notify)
        held.push_async_callback(notices.close)
        registry = ModelRegistry(settings.state_dir / "networks", wall_time_s)
        feedback = Feedback(store=OutcomeStore(settings.state_dir / "outcomes"), keeper=NotingKeeper(registry, scribe))
        held.push_async_callback(feedback.close)
        counts = LoopMeter(settings.metrics.top_order_params, notices.counts)
        costs = CostKeeper(settings.state_dir / "costs.npz")
        held.push_async_callback(costs.close)
        kept = (history, journal.decisions, clock, events, meter, feedback, counts, journal.effects, scribe, costs)
        ordered = (journal.orders, journal.plans, registry)
        parts = Parts(queue, pool, CompositePlanner(), PlanVerifier(), *kept, *ordered)
        surroundings = Surroundings(
            queue_endpoint=endpoint,
            lookback_steps=lookback_s // settings.balancer.step_s,
            retrain_every_s=settings.forecast.retrain_every_s,
            min_history_steps=settings.forecast.min_history_steps,
            restarts=journal.takeovers,
            speed=1.0 if spec.replay is None else spec.replay.speed,
        )
        loop = samples.loop = ControlLoop(parts, settings.balancer, surroundings)
        if settings.history.prometheus.url:
            await held.enter_async_context(_followed(settings, loop, clock))
        if provider is not None:
            keeper = await held.enter_async_context(elastic(settings, loop, NotingProvider(provider, scribe), clock))
            loop.follow_fleet(keeper)
        else:
            loop.follow_fleet(advising(settings, loop))
        if targets_of(settings.notify):
            await held.enter_async_context(watched(loop, registry.demotions, settings.notify, notices.post))
        return Runtime(loop, held.pop_all())


@asynccontextmanager
async def _pruned(journal: Journal, settings: Settings) -> AsyncIterator[None]:
    """Let the journal forget what is over and old, again and again, while the block runs."""
    kept = settings.journal
    retention = Retention(keep_s=kept.keep_days * DAY_S, migrations=kept.keep_migrations, decisions=kept.keep_decisions)
    pruning = asyncio.create_task(keep_pruned(journal, retention, wall_time_s), name="prune the journal")
    try:
        yield
    finally:
        pruning.cancel()
        await asyncio.wait({pruning})


@asynccontextmanager
async def _followed(settings: Settings, loop: ControlLoop, clock: Clock) -> AsyncIterator[None]:
    """Bring what Prometheus has into the history, again and again, while the block runs."""
    asked, step_s = settings.history.prometheus, settings.balancer.step_s
    source = PrometheusSource(PrometheusQuery.of(asked, step_s))
    pace = Pace(step_s, asked.every_s, asked.backfill_days * DAY_S)
    follower = Follower(source, loop.push_samples, loop.note_source_error, clock, pace)
    following = asyncio.create_task(follower.run(), name="follow Prometheus")
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait({following})
        await source.close()


def open_history(settings: Settings) -> HistoryStore:
    """Open the history of a state folder, with the retention that is set.

    Raises:
        BadInputError: the folder holds a history of another step length.
    """
    limits = HistoryLimits(keep_s=settings.history.keep_days * DAY_S)
    return HistoryStore.open(settings.state_dir / "history", settings.balancer.step_s, limits)


class _SamplesDoor:
    """Lets pushed samples through to the control loop, which is built after the server that they come by."""

    loop: ControlLoop | None = None

    async def take(self, batch: SampleBatch) -> PushOutcome:
        """See `Balancer.push_samples`. Raises NotReadyError while there is no loop yet."""
        if self.loop is None:
            raise NotReadyError("the control loop is starting; push again in a moment")
        return await self.loop.push_samples(batch)


async def _queue(
    spec: BalancerSpec,
    journal: Journal,
    samples: _SamplesDoor,
    held: AsyncExitStack,
    provider: EmbeddedProvider | None,
) -> tuple[Queue, str]:
    """Return the queue system and where its QueueControl listens; embedded shards are fronted by a coordinator here."""
    settings = spec.settings
    if settings.queue.kind == "grpc":
        client = QueueClient(settings.queue.target, tls=tls_files(settings.queue.tls))
        held.push_async_callback(client.close)
        return client, settings.queue.target
    shards = [ShardClient(shard.shard_id, shard.endpoint) for shard in spec.shards]
    for shard in shards:
        held.push_async_callback(shard.close)
    if provider is not None:
        held.push_async_callback(provider.close)
        await provider.start()
    started = provider.ports if provider is not None else ()
    limits = CoordinatorSettings(
        migrations_in_flight=settings.balancer.migrations_in_flight + MANUAL_MIGRATIONS,
        migration=MigrationSettings(lease_ms=settings.balancer.lease_ms),
    )
    coordinator = Coordinator((*shards, *started), journal, journal.mapping, WallClock(), limits)
    held.push_async_callback(coordinator.close)
    await coordinator.start()
    if provider is not None:
        await provider.joined(coordinator.roster)
    await coordinator.ensure(spec.order_params)
    servicers = {"QueueControl": QueueControlServicer(coordinator), "History": HistoryServicer(samples.take)}
    server = await start_server(settings.queue.listen, servicers, "QueueControl")
    held.push_async_callback(server.stop)
    return coordinator, server.endpoint


def forecaster_pool(settings: Settings, *, on_ray: bool) -> tuple[ForecasterPool, int]:
    """Return the pool that trains and serves, and how many seconds of history it makes use of."""
    artifacts = settings.state_dir / "networks"
    seed = settings.forecast.seed
    lookback_s = make_forecaster(seed).lookback_s
    if not on_ray:
        return LocalForecasterPool(make_forecaster, seasonal_naive, artifacts, seed), lookback_s
    # Ray is imported where Ray is used: one-process wiring and its tests do without.
    from plb_ray.cluster.forecasters import PoolSettings, RayForecasterPool  # noqa: PLC0415

    limits = PoolSettings(
        actors=settings.forecast.actors,
        dedicated_hot=settings.forecast.dedicated_hot,
        timeout_s=settings.forecast.timeout_s,
    )
    return RayForecasterPool(make_forecaster, seasonal_naive, artifacts, seed, limits), lookback_s


def retrain_place(settings: Settings) -> RetrainPlace:
    """Return where retraining jobs of a balancer with these settings read and write."""
    return RetrainPlace(settings.state_dir.resolve(), settings.forecast.seed, settings.forecast.retrain_every_s)
