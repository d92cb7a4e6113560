"""A queue of real shard processes that grows and shrinks: coordinator, provider, keeper, planner, traffic."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.clock import WallClock, monotonic_s
from plb_ray.control.elastic import ElasticPolicy, Outlook
from plb_ray.control.elastic_keeper import ElasticKeeper, FleetPicture
from plb_ray.domain.load import RESOURCES
from plb_ray.domain.migration import MigrationRequest
from plb_ray.domain.plan import PlacementRules, PlanBudget, PlanProblem
from plb_ray.journal.journal import open_journal
from plb_ray.queues.coordinator import Coordinator, CoordinatorSettings
from plb_ray.queues.embedded_provider import EmbeddedProvider
from plb_ray.rpc.queue_control import QueueControlServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.shard_client import ShardClient
from tests.coordinator.live_queue import LiveTraffic
from tests.shard.real_shards import RealShard, reachable, real_shards

RATE_PER_S = 400.0


class ElasticQueue:
    """Made by `elastic_queue`. `crash` and `start` replace coordinator and provider, whose processes die with it."""

    def __init__(self, base, directory, settings, headroom):
        self.base, self.directory = base, directory
        self.settings, self.headroom = settings, headroom
        self.endpoint = "127.0.0.1:0"
        self._moves = 0

    async def start(self):
        self.journal = await open_journal(self.directory / "journal.sqlite")
        self.provider = EmbeddedProvider(self.directory, RATE_PER_S)
        await self.provider.start()
        for port in self.provider.ports:  # connections of the provider before, in this process, may still wait to retry
            await reachable(RealShard(None, port, None))
        self.ports = [ShardClient(shard.process.shard_id, shard.process.endpoint) for shard in self.base]
        limits = CoordinatorSettings(answer_s=2.0, survey_s=5.0)
        shards = (*self.ports, *self.provider.ports)
        self.coordinator = Coordinator(shards, self.journal, self.journal.mapping, WallClock(), limits)
        await self.coordinator.start()
        await self.provider.joined(self.coordinator.roster)
        self.server = await start_server(
            self.endpoint, {"QueueControl": QueueControlServicer(self.coordinator)}, "QueueControl"
        )
        self.endpoint = self.server.endpoint
        policy = ElasticPolicy(self.settings, self.headroom)
        self.picture, self._before = None, None
        self.keeper = ElasticKeeper(policy, self.provider, self._newest, "standard")

    async def crash(self):
        await self.server.stop(0)
        await self.coordinator.close()
        await asyncio.gather(*(port.close() for port in self.ports))
        await self.provider.close()
        await self.journal.close()

    async def shard_ids(self):
        return {shard.shard_id for shard in await self.coordinator.shards()}

    async def turn(self):
        """One tick: look, keep the fleet, plan, move."""
        await self._look()
        await self.keeper.turn()
        if self.picture is not None:
            await self._balance()

    async def _newest(self):
        return self.picture

    async def _look(self):
        snapshot = await self.coordinator.load_metrics()
        totals = {load.order_param: load.messages_total for shard in snapshot.shards for load in shard.order_params}
        now_s, before = monotonic_s(), self._before
        self._before = (now_s, totals)
        if before is None:
            return
        shards = await self.coordinator.shards()
        position = {shard.shard_id: index for index, shard in enumerate(shards)}
        placements = (await self.coordinator.mapping()).placements
        self.names = tuple(name for name in totals if name in before[1] and placements[name].owner in position)
        rates = np.array([max(0, totals[name] - before[1][name]) for name in self.names]) / (now_s - before[0])
        measured = np.zeros((len(self.names), len(RESOURCES)))
        measured[:, 0] = rates / RATE_PER_S
        owner = np.array([position[placements[name].owner] for name in self.names], dtype=np.int64)
        self.picture = FleetPicture(shards, owner, Outlook(now_s, measured))

    async def _balance(self):
        """Plan and move as the control loop does: relief on what is measured, draining shards emptied."""
        shards = await self.coordinator.shards()
        position = {shard.shard_id: index for index, shard in enumerate(shards)}
        placements = (await self.coordinator.mapping()).placements
        problem = PlanProblem(
            order_params=self.names,
            shards=tuple(position),
            resources=("cpu_cores",),
            load=self.picture.outlook.measured[:, None, :1],
            capacity=np.ones((len(shards), 1)),
            headroom=np.full(len(shards), self.headroom),
            current=np.array([position[placements[name].owner] for name in self.names], dtype=np.int64),
            move_cost=np.ones(len(self.names)),
            rules=_draining(len(self.names), shards),
            overload_weight=np.ones((len(shards), 1)),
            budget=PlanBudget(wall_s=0.2),
        )
        plan = CompositePlanner().plan(problem)
        assert PlanVerifier().check(problem, plan) == ()
        for move in plan.moves:
            self._moves += 1
            request = MigrationRequest(f"m{self._moves}", move.order_param, move.source, move.destination, move.reason)
            async for _ in self.coordinator.migrate(request):
                pass


def _draining(names, shards):
    none = PlacementRules.none(names, len(shards))
    return PlacementRules(**{**vars(none), "draining": np.array([shard.draining for shard in shards])})


class PacedTraffic(LiveTraffic):
    """Sends to each order param at `per_s` messages per second."""

    per_s = 30.0

    async def _send(self, name):
        due_s = monotonic_s()
        while self._sending:
            receipt = await self._producer.send(name, [b"x" * 50] * 3)
            self.acknowledged += 3
            self.checker.appended(name, receipt.last_seq, 3, receipt.shard_id, receipt.epoch)
            due_s = max(due_s + 3 / self.per_s, monotonic_s() - 0.2)
            await asyncio.sleep(max(0.0, due_s - monotonic_s()))


@contextlib.asynccontextmanager
async def elastic_queue(directory, settings, headroom=0.9):
    """Start two shards that stay, and everything over them; stop it all whatever happens."""
    async with real_shards(directory / "base", 2, service_rate_per_s=RATE_PER_S) as base:
        queue = ElasticQueue(base, directory, settings, headroom)
        await queue.start()
        try:
            yield queue
        finally:
            await queue.crash()
