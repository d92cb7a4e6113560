"""A queue that answers from memory, and a control loop over it that is real in every other part.

Order params are Zipf-sized with days of their own phase and noise; shards are two thirds full on average at the start, dealt
at random, so that some are over and moves are planned. A tick's reports are made before its time begins to count.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from models.baseline import seasonal_naive
from models.factory import make_forecaster
from models.pool import LocalForecasterPool
from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.loop import ControlLoop
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ResourceVector, Shard, ShardLoad
from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.errors import UnknownMigrationError
from plb_ray.estimate.cost_keeper import CostKeeper
from plb_ray.history.store import HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.journal.journal import open_journal
from plb_ray.settings import BalancerSettings

if TYPE_CHECKING:
    from pathlib import Path

STEP_S, DAY_S = 60, 86_400
START_S = 20_000 * DAY_S
FULL = 2 / 3
COST_CORE_S = 0.001
BYTES = 256


class BenchClock:
    """A clock that the bench moves."""

    def __init__(self) -> None:
        self.at_s = float(START_S)

    def now_s(self) -> float:
        return self.at_s

    async def sleep_until(self, at_s: float) -> None:
        self.at_s = max(self.at_s, at_s)


@dataclass
class Traffic:
    """Rates of K order params at any time."""

    order_params: int
    rng: np.random.Generator
    size: np.ndarray = field(init=False)
    phase_s: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        ranks = self.rng.permutation(np.arange(1, self.order_params + 1))
        self.size = 50.0 * ranks**-0.7
        self.phase_s = self.rng.uniform(0, DAY_S, self.order_params)

    def rates(self, starts_s: np.ndarray) -> np.ndarray:
        """Return (K, T) float32 messages per second: a day of noise, begun elsewhere at each call, on a daily wave."""
        angle = 2 * np.pi * ((starts_s[None, :] + self.phase_s[:, None]) % DAY_S) / DAY_S
        wave = (1 + 0.6 * np.sin(angle.astype(np.float32))).astype(np.float32)
        first = self.rng.integers(0, self.noise.shape[1])
        noise = np.roll(self.noise, first, axis=1)[:, : len(starts_s)]
        return np.maximum(0, self.size[:, None].astype(np.float32) * wave * noise)

    @cached_property
    def noise(self) -> np.ndarray:
        """(K, a day) float32 factors around 1."""
        shape = (self.order_params, DAY_S // STEP_S)
        return (1 + 0.1 * self.rng.standard_normal(shape, dtype=np.float32)).astype(np.float32)


class MemoryQueue:
    """Implements `plb_ray.control.ports.Queue`; migrations are instant."""

    def __init__(self, clock: BenchClock, traffic: Traffic, shards: int) -> None:
        self._clock = clock
        self._traffic = traffic
        self.names = tuple(f"order-param-{number:06}" for number in range(traffic.order_params))
        self._ids = [f"shard-{number:04}" for number in range(shards)]
        self._row = {name: row for row, name in enumerate(self.names)}
        self._owner = traffic.rng.integers(0, shards, traffic.order_params)
        self._cost = COST_CORE_S * np.exp(traffic.rng.uniform(-0.7, 0.7, traffic.order_params))
        cores = float((traffic.size * self._cost).sum()) / shards / FULL
        self._shards = tuple(Shard(name, "memory", ResourceVector(cores, 64e9, 1e9)) for name in self._ids)
        self._messages = np.full(traffic.order_params, 1_000_000, dtype=np.int64)
        self._core_s, self._served = np.ones(shards), np.ones(shards)
        self._records: list[MigrationRecord] = []
        owners = zip(self.names, self._owner.tolist(), strict=True)
        self._mapping = Mapping(0, {name: Placement(name, (self._ids[shard],), 1) for name, shard in owners})
        self._snapshot = self._look()

    def pass_step(self) -> None:
        """Let one step of traffic arrive and be served, and make the reports of the look after it."""
        rates = self._traffic.rates(np.array([self._clock.at_s]))[:, 0]
        counts = self._traffic.rng.poisson(rates * STEP_S)
        self._messages += counts
        self._core_s += np.bincount(self._owner, counts * self._cost, len(self._ids))
        self._served += np.bincount(self._owner, counts, len(self._ids))
        self._clock.at_s += STEP_S
        self._snapshot = self._look()

    def _look(self) -> LoadSnapshot:
        loads: list[list[OrderParamLoad]] = [[] for _ in self._ids]
        rows = zip(self.names, self._owner.tolist(), self._messages.tolist(), strict=True)
        for name, shard, total in rows:
            loads[shard].append(OrderParamLoad(name, 1, total, total * BYTES, total, 0, 0, 0.0))
        reports = tuple(
            ShardLoad(
                shard_id,
                self._clock.at_s,
                ResourceVector(0.0, 1e9, 0.0),
                0.0,
                int(self._served[at]),
                0.0,
                tuple(loads[at]),
                float(self._core_s[at]),
                float(self._served[at] * 3 * BYTES),
            )
            for at, shard_id in enumerate(self._ids)
        )
        return LoadSnapshot(self._clock.at_s, reports)

    async def shards(self) -> tuple[Shard, ...]:
        return self._shards

    async def mapping(self) -> Mapping:
        return self._mapping

    async def load_metrics(self) -> LoadSnapshot:
        return self._snapshot

    async def migrate(self, request):
        """Move at once: the next look shows the order param on its destination."""
        self._owner[self._row[request.order_param]] = self._ids.index(request.destination)
        placements = {**self._mapping.placements}
        placements[request.order_param] = Placement(request.order_param, (request.destination,), 2)
        self._mapping = Mapping(self._mapping.generation + 1, placements)
        way = (request.request_id, request.order_param, request.source, request.destination)
        now_s = self._clock.at_s
        done = MigrationRecord(*way, 1, MigrationStep.DONE, request.reason, now_s, now_s + 1, 100, 25_600, 12.0)
        self._records.insert(0, done)
        yield done

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        return tuple(self._records[:limit])

    async def migration(self, migration_id: str) -> MigrationRecord:
        found = next((each for each in self._records if each.migration_id == migration_id), None)
        if found is None:
            raise UnknownMigrationError(migration_id)
        return found

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        return (await self.migration(migration_id),)


class World:
    """The loop, its parts, and time. Use `open`, then `tick`, at last `close`."""

    def __init__(self, folder: Path, queue: MemoryQueue, clock: BenchClock) -> None:
        self.folder, self.queue, self.clock = folder, queue, clock

    @classmethod
    async def open(cls, folder: Path, order_params: int, shards: int, history_steps: int, seed: int = 1) -> World:
        """Return a world whose history is full: so many steps of every order param."""
        clock = BenchClock()
        traffic = Traffic(order_params, np.random.default_rng(seed))
        world = cls(folder, MemoryQueue(clock, traffic, shards), clock)
        world.history = HistoryStore.open(folder / "history", STEP_S)
        world._fill(traffic, history_steps)
        world.journal = await open_journal(folder / "journal.sqlite")
        world.pool = LocalForecasterPool(make_forecaster, seasonal_naive)
        world.costs = CostKeeper(folder / "costs.npz")
        settings = BalancerSettings(step_s=STEP_S, mode="predictive")
        parts = Parts(
            queue=world.queue,
            pool=world.pool,
            planner=CompositePlanner(),
            checker=PlanVerifier(),
            history=world.history,
            decisions=world.journal.decisions,
            clock=clock,
            events=CalendarStore(folder),
            effects=world.journal.effects,
            costs=world.costs,
        )
        lookback = make_forecaster(1).lookback_s // STEP_S
        world.loop = ControlLoop(parts, settings, Surroundings("memory", lookback, 1e12, 1 << 40))
        return world

    def _fill(self, traffic: Traffic, steps: int) -> None:
        """Put the past into the store's window, as opening a table of it would."""
        starts_s = START_S + STEP_S * np.arange(-steps, 0, dtype=np.int64)
        window, rows = self.history._window, np.empty((steps, traffic.order_params), dtype=np.float32)
        day = DAY_S // STEP_S
        first = traffic.rates(starts_s[:day]).T  # (T, K)
        for begin in range(0, steps, day):
            shift = int(traffic.rng.integers(-3, 4))
            rows[begin : begin + day] = np.roll(first, shift, axis=0)[: steps - begin]
        window.load(starts_s, self.queue.names, rows, np.ones(steps, np.bool_), np.zeros(rows.shape, np.bool_))

    async def tick(self):
        """Let a step pass, and make the tick at its end; return the decision."""
        self.queue.pass_step()
        decision = await self.loop.tick()
        await asyncio.sleep(0)
        return decision

    async def close(self) -> None:
        await self.pool.close()
        await self.costs.close()
        await self.journal.close()
        self.history.close()
