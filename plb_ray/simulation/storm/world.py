"""One run: shards, balancers, producers, consumers and faults, from a seed to a verdict.

Some migrations run at a time, one lane per order param; faults strike all along. Then everything is healed, and all must
come to rest: every migration ended, every order param served by the one shard that the mapping names, every message
consumed, nothing left over on any other shard.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationMode, MigrationRequest, MigrationStep
from plb_ray.errors import PlbError, RetryableError
from plb_ray.migration.settings import MigrationSettings
from plb_ray.queues.chain_keeper import ChainSettings
from plb_ray.queues.coordinator import CoordinatorSettings
from plb_ray.simulation.checker import OrderChecker
from plb_ray.simulation.storm.balancer import Balancer
from plb_ray.simulation.storm.consumers import Application, Consumer
from plb_ray.simulation.storm.dice import Dice
from plb_ray.simulation.storm.faults import Faults
from plb_ray.simulation.storm.loop import StuckError, VirtualLoop
from plb_ray.simulation.storm.network import Network, Node, Weather
from plb_ray.simulation.storm.producers import Producer
from plb_ray.simulation.storm.rest import left_over, unsettled
from plb_ray.simulation.storm.server import ShardServer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from plb_ray.queues.coordinator import Coordinator

SHARDS = ("a", "b", "c", "d")
FAULT_GAPS = (0.0, 25.0, 50.0, 50.0, 100.0, 100.0, 250.0)
CALM_PAUSE_S = 0.5  # longest pause without any fault
ALL_S = 1000.0  # for all migrations, faults included; mostly it takes less than a minute
SETTLE_S = 30.0
DRAIN_PER_S = 50  # messages that all consumers together must get through at least, once all is healed
LOOK_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """What came of one run.

    Attributes:
        seed, wanted: what it was started with.
        migrations: that have ended, by how: "forward", "back"; "recovered" of them by a later life of the balancer.
        faults: how often each struck.
        violations: what went wrong, in words; none: all is well.
        steps, virtual_s: callbacks run and seconds passed; the same in each repetition.
    """

    seed: int
    wanted: int
    migrations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: tuple[str, ...] = ()
    messages: int = 0
    steps: int = 0
    virtual_s: float = 0.0


class World:
    """See the module.

    Args:
        seed: of all chance in it.
        migrations: how many are asked for.
    """

    def __init__(self, seed: int, migrations: int) -> None:
        self.seed = seed
        self.loop = VirtualLoop()
        dice = self.dice = Dice(seed)
        self.lease_s = dice.pick((0.3, 0.6, 1.2))
        self.consumer_lease_s = dice.pick((0.7, 1.5, 3.0))
        self.recovery_s = 2 * self.lease_s + 4.0
        gap = FAULT_GAPS[seed % len(FAULT_GAPS)]
        weather = Weather(timeout_s=dice.pick((0.2, 0.5, 1.0)))
        if not gap:
            weather.clear()
            weather.straggler = 0.0
        self.network = Network(self.loop, dice, weather)
        self.faults = Faults(self, gap)
        self.network.on_lost = self.faults.lost
        self.checker = OrderChecker(pause_s_max=CALM_PAUSE_S)
        self.names = tuple(f"k{number}" for number in range(dice.pick((4, 8, 12, 16))))
        self.servers: dict[str, ShardServer] = {}
        for name in SHARDS[: 3 + dice.below(2)]:
            self.servers[name] = ShardServer(name, self)
        self.balancer = self._new_balancer("balancer")
        self.rivals: list[Balancer] = []
        self.application = Application(self.checker)
        self.consumers = [self._new_consumer(name) for name in ("consumer-1", "consumer-2")]
        self.producer_nodes = [Node(name, self.loop) for name in ("producer-1", "producer-2")]
        self.client_names = tuple(node.name for node in (*self.producer_nodes, *(one.node for one in self.consumers)))
        self.producers = [self._new_producer(name, node) for name in self.names for node in self.producer_nodes[:1]]
        self.producers += [self._new_producer(name, self.producer_nodes[1]) for name in self.names[::4]]
        self.problems: list[str] = []
        self._left = self._wanted = migrations
        self._asked = 0
        self._refused = 0

    def run(self) -> Outcome:
        """Run to the end and return what came of it."""
        try:
            self.loop.run_until_complete(self._run())
        except (StuckError, AssertionError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
        return self._outcome()

    def server_at(self, endpoint: str) -> ShardServer:
        """Return who listens there."""
        return next(server for server in self.servers.values() if server.endpoint == endpoint)

    def balancer_of(self, node: Node) -> Balancer:
        """Return whose process this is."""
        return next((rival for rival in self.rivals if rival.node is node), self.balancer)

    def replace_consumer(self, back_in_s: float) -> None:
        """Let a consumer crash and come back."""
        place = self.dice.below(len(self.consumers))
        gone = self.consumers[place]
        if gone.node.alive:
            gone.node.die()
            self.loop.call_later(back_in_s, self._bring_consumer_back, place, gone.node.name)

    def begin_rival(self, for_s: float) -> None:
        """Let a second balancer with a journal of its own meddle for a while, and then go for ever."""
        if any(not rival.retired for rival in self.rivals):
            return
        rival = self._new_balancer(f"rival-{len(self.rivals)}")
        self.rivals.append(rival)
        rival.start()
        self.loop.create_task(self._meddle(rival))
        self.loop.call_later(for_s, rival.crash, None)

    async def resolve(self, node: Node, order_param: str) -> tuple[str, int] | None:
        """Ask the balancer where an order param lives; a producer's `Resolve`."""
        await node.wait(0.001)
        coordinator = self.balancer.coordinator
        if coordinator is None:
            return None
        placement = (await coordinator.mapping()).placements.get(order_param)
        return None if placement is None else (placement.owner, placement.epoch)

    async def _run(self) -> None:
        dice = self.dice
        for server in self.servers.values():
            server.start_herald()
        self.balancer.start()
        await self._place()
        for consumer in self.consumers:
            consumer.start()
        pace = dice.pick(((0.03, 1.0), (0.1, 2.0), (0.01, 0.3)))
        producing = [self.loop.create_task(producer.run(pace)) for producer in self.producers]
        try:
            async with asyncio.timeout(ALL_S):
                await asyncio.gather(*(self._lane(name) for name in self.names))
        except TimeoutError:
            self.problems.append(f"the migrations do not come to an end in {ALL_S:g} s")
            return
        self._heal()
        for producer in self.producers:
            producer.stopping = True
        await asyncio.wait(producing, timeout=SETTLE_S)
        await self._come_to_rest()

    async def _place(self) -> None:
        """Place the order params: most on one shard, some with a rotation."""
        for number, name in enumerate(self.names):
            rotates = number % 4 == 3
            first = number % len(self.servers)
            shards = [*self.servers][first:] + [*self.servers][:first]
            while True:
                try:
                    coordinator = await self.balancer.up()
                    await asyncio.wait_for(coordinator.allocate(name, shards if rotates else shards[:1]), 5.0)
                    break
                except (PlbError, TimeoutError):
                    await asyncio.sleep(0.1)

    async def _lane(self, order_param: str) -> None:
        """Migrate one order param again and again."""
        dice, back_to = self.dice, ""
        while self._left > 0:
            self._left -= 1
            await asyncio.sleep(dice.long_tailed(0.002, 0.1))
            coordinator = await self.balancer.up()
            placement = (await coordinator.mapping()).placements[order_param]
            others = [name for name in self.servers if name != placement.owner]
            destination = back_to if back_to in others and dice.chance(0.4) else dice.pick(others)
            back_to = placement.owner
            self._asked += 1
            mode = MigrationMode.CHAIN if dice.chance(0.4) else MigrationMode.COPY
            request = MigrationRequest(f"m{self._asked}", order_param, placement.owner, destination, "storm", mode)
            if dice.chance(0.04):
                self.loop.call_later(dice.long_tailed(0.001, 0.1), self._cancel, request.request_id)
            await self._follow(self.balancer, request)

    async def _follow(self, balancer: Balancer, request: MigrationRequest) -> None:
        """Ask until the migration has ended, or is refused."""
        while True:
            coordinator = await balancer.up()
            asking = self.loop.create_task(_is_over(coordinator, request))
            await asyncio.wait((asking, balancer.ended), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                asking.cancel()
                if balancer.retired:
                    return
                continue
            if asking.result():
                return
            await asyncio.sleep(0.02)

    def _cancel(self, request_id: str) -> None:
        if self.balancer.coordinator is not None:
            self.loop.create_task(_tolerant(self.balancer.coordinator.cancel(request_id)))

    async def _meddle(self, rival: Balancer) -> None:
        """Migrate at random by a balancer that does not know of the other one."""
        number = 0
        while not rival.retired:
            await asyncio.sleep(self.dice.long_tailed(0.05, 0.5))
            if rival.coordinator is None:
                continue
            placements = (await rival.coordinator.mapping()).placements
            if not placements:
                continue
            placement = self.dice.pick(tuple(placements.values()))
            others = [name for name in self.servers if name != placement.owner]
            number += 1
            request_id = f"{rival.name}-{number}"
            mode = MigrationMode.CHAIN if self.dice.chance(0.4) else MigrationMode.COPY
            await self._follow(
                rival,
                MigrationRequest(request_id, placement.order_param, placement.owner, self.dice.pick(others), "meddle", mode),
            )

    def _heal(self) -> None:
        """End every fault, and let no new one begin."""
        self.faults.stop()
        self.network.weather.clear()
        self.network.cuts.clear()
        for rival in self.rivals:
            rival.crash(None)
        for server in self.servers.values():
            server.fill_disk(full=False)

    async def _come_to_rest(self) -> None:
        """Wait until nothing is left to do; note what does not end. A last restart cleans up what was left behind."""
        await self._until_settled()
        if self.problems:
            return
        await asyncio.sleep(self.network.weather.zombie_s[1])  # calls that are still on their way arrive
        self.balancer.crash(0.0)
        await asyncio.sleep(0)
        await self._until_settled()
        self.problems += left_over(self)

    async def _until_settled(self) -> None:
        until_s = self.loop.time() + SETTLE_S + self.checker.outstanding() / DRAIN_PER_S
        while self.loop.time() < until_s:
            await asyncio.sleep(LOOK_S)
            if self.balancer.coordinator is not None and not await unsettled(self):
                return
        self.problems += await unsettled(self) or ["the balancer does not start"]

    def _outcome(self) -> Outcome:
        verdict = self.checker.verdict(self.faults.calm_s())
        found = [*self.problems, *verdict.examples] if not verdict.clean else self.problems
        unhandled = [text for text in self.loop.unhandled if "never retrieved" in text]
        return Outcome(
            seed=self.seed,
            wanted=self._wanted,
            migrations=self._ended(),
            faults=self.faults.counts + self.network.counts,
            violations=(*found, *unhandled),
            messages=verdict.consumed,
            steps=self.loop.steps,
            virtual_s=self.loop.time(),
        )

    def _ended(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for balancer in (self.balancer, *self.rivals):
            for record in balancer.journal.latest():
                counts["forward" if record.step is MigrationStep.DONE else "back"] += record.step.terminal
                counts[record.mode.value] += record.step.terminal
        return counts

    def _new_balancer(self, name: str) -> Balancer:
        settings = CoordinatorSettings(
            answer_s=0.5,
            survey_s=1.0,
            migration=MigrationSettings(
                lease_ms=int(self.lease_s * 1000),
                tail_messages=3,
                precopy_rounds=3,
                chunk_messages=8,
                retry_first_s=0.01,
                retry_most_s=0.3,
            ),
            chains=ChainSettings(segment_messages=10, look_s=0.1),
        )
        return Balancer(name, self.loop, self.dice, self.network, self.servers, settings, self.faults.boundary)

    def _new_consumer(self, name: str) -> Consumer:
        node = Node(name, self.loop)
        return Consumer(node, self.servers, self.loop, self.network, self.dice, self.application)

    def _bring_consumer_back(self, place: int, name: str) -> None:
        self.consumers[place] = self._new_consumer(name)
        self.consumers[place].start()

    def _new_producer(self, order_param: str, node: Node) -> Producer:
        parts = (self.servers, self.network, self.dice, self.checker, self.resolve, self.faults.calm_s)
        return Producer(node.name, order_param, node, *parts)


async def _is_over(coordinator: Coordinator, request: MigrationRequest) -> bool:
    """Follow a migration; return whether it has ended, or is refused for good."""
    last = None
    try:
        async for record in coordinator.migrate(request):
            last = record
    except RetryableError:
        return False
    except PlbError:
        return True
    return last is not None and last.step.terminal


async def _tolerant(call: Awaitable[object]) -> None:
    try:
        await call
    except PlbError:
        return
