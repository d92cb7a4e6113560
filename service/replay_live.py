"""`plb replay --live`: the arms of a replay on real shard processes, in compressed time, one after the other.

    trace time   |-- bin --|-- bin --|-- bin --| ...       on real shards a bin takes `seconds_per_bin`, and one message
    each bin     counters of the shards -> situation -> decide -> migrate      stands for many where the trace has too many

Shards, coordinator, producer, consumer and migrations are real, and every message is checked for order. What the decider
is told of the future is what it is told in a modelled replay, made beforehand; what it is told of now are the shards'
counters. Figures are in trace time and in messages of the trace, so that they stand beside those of the modelled replay; a
pause of 20 ms at 600 times the speed therefore counts as 12 s.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.client import QueueResolver
from plb_ray.clock import WallClock, monotonic_s
from plb_ray.control.damping import Memory
from plb_ray.control.deciding import Decider
from plb_ray.control.mover import Mover
from plb_ray.control.orders import Orders
from plb_ray.control.situation import Situation
from plb_ray.domain.load import RESOURCES
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import OutcomeUnknownError
from plb_ray.journal.journal import open_journal
from plb_ray.queues.coordinator import Coordinator
from plb_ray.rpc.queue_control import QueueControlServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.shard_client import ShardClient
from plb_ray.settings import BalancerSettings
from plb_ray.simulation.replay.arm import CPU, ArmResult
from plb_ray.simulation.replay.physics import DELAY_EDGES_S, LAST, Totals
from plb_ray.simulation.replay.setting import unavoidable
from plb_ray.simulation.schedule import make_schedule
from plb_ray.simulation.traffic import TrafficRun
from service.launch import shard_processes
from service.replay_run import Replay, Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from numpy.typing import NDArray

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.simulation.checker import Verdict
    from plb_ray.simulation.replay.arm import Foresight, Hindsight
    from service.replay_live_stage import Staged

ARMS = ("static", "reactive", "predictive", "oracle")
LATE_SHARE = 0.5
"""Of a bin: messages that are later than that count in another one."""

START_IN_S = 1.0
DRAIN_S = 30.0


@dataclass(frozen=True, eq=False)
class LiveReplay:
    """What came of it.

    Attributes:
        replay: as of a modelled one.
        verdicts: what the order checker found, by arm.
        late_s: how far the sender fell behind, by arm, in seconds of the machine.
        bin_s: what a bin took.
    """

    replay: Replay
    verdicts: dict[str, Verdict]
    late_s: dict[str, float]
    bin_s: float

    @property
    def too_late(self) -> list[str]:
        """Arms whose messages came so late that their figures are the machine's rather than the shards'."""
        return [arm for arm, late_s in self.late_s.items() if late_s > LATE_SHARE * self.bin_s]

    @property
    def clean(self) -> bool:
        """Whether order was kept and nothing was lost or doubled, in all arms."""
        return all(verdict.clean for verdict in self.verdicts.values())


def run_live(
    live: Staged,
    arms: Sequence[str],
    told: Callable[[str], tuple[Foresight | None, Hindsight | None]],
    seed: int,
    tell: Callable[[str, float], None],
) -> LiveReplay:
    """Run the arms one after the other.

    Args:
        live: what is replayed.
        arms: of ARMS.
        told: what an arm is told of the future and of the past.
        seed: of when in its bin each message is sent.
        tell: told what is done, in words, and the fraction of all that is done.

    Raises:
        OutcomeUnknownError: a message was not confirmed for a minute.
    """
    schedule = make_schedule(live.stage.window, live.stage.seconds_per_bin, np.random.default_rng(seed))
    runs: dict[str, list[Run]] = {}
    verdicts, late_s = {}, {}
    for number, arm in enumerate(arms):
        traffic = TrafficRun(live.stage, schedule)
        settings = BalancerSettings(step_s=live.on.trace.step_s)
        decider = None if arm == "static" else Decider(CompositePlanner(), PlanVerifier(), settings)
        playing = _Playing(live, traffic, decider, *told(arm))

        def passed(share: float, arm: str = arm, number: int = number) -> None:
            tell(f"{arm} on real shards", (number + share) / len(arms))

        with TemporaryDirectory(prefix="plb-live-", ignore_cleanup_errors=True) as folder:
            try:
                result = asyncio.run(playing.play(Path(folder), passed))
            except OutcomeUnknownError as error:
                raise OutcomeUnknownError(f"{arm} on real shards: {error}; the machine may be too busy") from error
        runs[arm] = [Run(arm, None if decider is None else settings.headroom, result)]
        report = traffic.report()
        verdicts[arm], late_s[arm] = report.verdict, report.sent_late_ms_max / 1000
    return LiveReplay(Replay(live.on, runs, unavoidable(live.on)), verdicts, late_s, live.stage.seconds_per_bin)


@asynccontextmanager
async def _queue(live: Staged, folder: Path) -> AsyncIterator[tuple[Coordinator, str]]:
    """Run shards and a coordinator, with every order param where the field has it; yields it and its endpoint."""
    async with AsyncExitStack() as held:
        count, rate_per_s = len(live.on.shard_ids), live.stage.service_rate_per_s
        shards = await held.enter_async_context(shard_processes(count, folder / "shards", rate_per_s))
        journal = await open_journal(folder / "journal.sqlite")
        held.push_async_callback(journal.close)
        ports = [ShardClient(shard.shard_id, shard.endpoint) for shard in shards]
        for port in ports:
            held.push_async_callback(port.close)
        coordinator = Coordinator(ports, journal, journal.mapping, WallClock())
        held.push_async_callback(coordinator.close)
        await coordinator.start()
        for name, shard in zip(live.on.trace.order_params, live.on.owner.tolist(), strict=True):
            await coordinator.allocate(name, [live.on.shard_ids[shard]])
        server = await start_server("127.0.0.1:0", {"QueueControl": QueueControlServicer(coordinator)}, "QueueControl")
        held.push_async_callback(server.stop)
        yield coordinator, server.endpoint


@dataclass(eq=False)
class _Playing:
    """One arm."""

    live: Staged
    traffic: TrafficRun
    decider: Decider | None
    foresight: Foresight | None
    hindsight: Hindsight | None
    memory: Memory = field(default_factory=Memory)
    moved: list[MigrationRecord] = field(default_factory=list)
    measured_ticks: int = 0

    async def play(self, folder: Path, passed: Callable[[float], None]) -> ArmResult:
        """Play it on fresh shards."""
        began_s, stage = monotonic_s(), self.live.stage
        async with _queue(self.live, folder) as (coordinator, endpoint):
            resolver = QueueResolver(endpoint)
            mover = Mover(coordinator.migrate, BalancerSettings().migrations_in_flight, self._note, lambda _id, _why: None)
            start_s = monotonic_s() + START_IN_S
            running = asyncio.create_task(self.traffic.run(resolver, resolver.endpoints, START_IN_S, DRAIN_S))
            try:
                waiting = await self._bins(coordinator, mover, start_s, passed)
                await running
                await mover.ended()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await resolver.close()
        arrivals = self.traffic.report().arrivals
        over = (arrivals > stage.service_rate_per_s * stage.seconds_per_bin + 1).sum(axis=0)
        elapsed_s = monotonic_s() - began_s
        return ArmResult(self._totals(), self.memory.thrash, self.measured_ticks, elapsed_s, waiting, over)

    async def _bins(
        self, coordinator: Coordinator, mover: Mover, start_s: float, passed: Callable[[float], None]
    ) -> NDArray[np.float64]:
        """Decide at the beginning of each bin; return (bins,) what waits at its end, in messages of the trace."""
        stage, waiting, before = self.live.stage, np.zeros(self.live.on.bins), None
        for number in range(self.live.on.bins):
            await asyncio.sleep(max(0.0, start_s + number * stage.seconds_per_bin - monotonic_s()))
            if number:
                waiting[number - 1] = self._waits()
            if self.decider is not None:
                before = await self._decide(coordinator, mover, number, before)
            passed(number / self.live.on.bins)
        await asyncio.sleep(max(0.0, start_s + self.live.on.bins * stage.seconds_per_bin - monotonic_s()))
        waiting[-1] = self._waits()
        return waiting

    def _waits(self) -> float:
        return (self.traffic.progress.sent - self.traffic.progress.consumed) / self.live.scale

    async def _decide(
        self, coordinator: Coordinator, mover: Mover, number: int, before: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Look, decide, and send the moves; return the counters that were seen."""
        assert self.decider is not None
        on, at_bin = self.live.on, self.live.on.first_bin + number
        mover.drop_waiting()
        totals = await _counters(coordinator, on.trace.order_params)
        totals = totals if before is None else np.maximum(totals, before)  # who is just moving may be missing
        came = on.trace.counts[:, at_bin - 1].astype(np.float64) if before is None else (totals - before) / self.live.scale
        mapping = await coordinator.mapping()
        column = {shard_id: at for at, shard_id in enumerate(on.shard_ids)}
        owner = np.array([column[mapping.placements[name].owner] for name in on.trace.order_params], dtype=np.int64)
        measured = np.zeros((len(came), len(RESOURCES)))
        measured[:, CPU] = came / on.trace.step_s
        situation = Situation(
            at_s=float(on.trace.start_s + at_bin * on.trace.step_s),
            step_s=on.trace.step_s,
            order_params=on.trace.order_params,
            shards=on.shards,
            silent=frozenset(),
            owner=owner,
            measured=measured,
            estimate=self.foresight.estimate(at_bin, owner) if self.foresight else None,
            moving=dict(mover.on_their_way),
            past=self.hindsight.past(at_bin) if self.hindsight else None,
        )
        ruling, self.memory = await asyncio.to_thread(self.decider.decide, situation, Orders(), self.memory)
        self.measured_ticks += situation.estimate is not None and ruling.basis == "measured"
        mover.send(ruling.sent, number)
        return totals

    def _note(self, record: MigrationRecord) -> None:
        """Keep a migration whose destination serves."""
        if record.step is MigrationStep.MAPPED:
            self.moved.append(record)

    def _totals(self) -> Totals:
        """Return the figures in trace time and messages of the trace."""
        live, report = self.live, self.traffic.report()
        able = live.stage.service_rate_per_s * live.stage.seconds_per_bin
        beyond = np.maximum(0.0, report.arrivals - able)
        delays_s = report.delays_ms / 1000 * live.stage.speed
        places = np.minimum(np.searchsorted(DELAY_EDGES_S, delays_s), LAST)
        return Totals(
            overload_shard_s=float((report.arrivals > able + 1).sum()) * live.on.trace.step_s,
            excess_messages=float(beyond.sum()) / live.scale,
            moved_bytes=float(sum(record.bytes_copied for record in self.moved)) / live.scale,
            migrations=len(self.moved),
            shard_s=float(len(live.on.rates) * live.on.bins * live.on.trace.step_s),
            delays=np.bincount(places, minlength=len(DELAY_EDGES_S)) / live.scale,
        )


async def _counters(coordinator: Coordinator, names: Sequence[str]) -> NDArray[np.float64]:
    """Return (K,) messages that were ever appended to each order param."""
    snapshot = await coordinator.load_metrics()
    seen = {load.order_param: load.messages_total for shard in snapshot.shards for load in shard.order_params}
    return np.array([seen.get(name, 0) for name in names], dtype=np.float64)
