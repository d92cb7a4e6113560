"""What goes wrong, and when.

Faults strike at the boundaries of a balancer's calls: before one is sent or after its answer is there. So every step of
every migration is a crash point, also in recovery, and several faults overlap. What strikes is about the call at hand
half of the time (its shard, its process), else about anything.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import accumulate
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.simulation.storm.network import Node
    from plb_ray.simulation.storm.server import ShardServer
    from plb_ray.simulation.storm.world import World

SHORT_S = (0.005, 0.15)
LONG_S = (0.2, 2.0)
ENDS_A_PAUSE = ("seal", "resume", "state")
"""Calls of a balancer that appends wait for; a network that loses one costs a pause of the call's time-out."""

AGAIN_S = 0.3
_WEIGHTS = {
    "balancer crash": 8,
    "balancer freeze": 3,
    "request lost": 5,
    "reply lost": 5,
    "doubled call": 3,
    "zombie call": 4,
    "shard crash": 5,
    "shard freeze": 4,
    "shard disk full": 3,
    "journal full": 3,
    "partition": 5,
    "slow network": 1,
    "clock jump": 2,
    "consumer crash": 2,
    "consumer freeze": 2,
    "producer freeze": 1,
    "second balancer": 1,
}
_KINDS = tuple(_WEIGHTS)
_UPTO = tuple(accumulate(_WEIGHTS.values()))


class Faults:
    """Strikes a world.

    Args:
        world: what is struck.
        gap: boundaries between two faults, on average; 0: never.
    """

    def __init__(self, world: World, gap: float) -> None:
        self.counts: Counter[str] = Counter()
        self._world = world
        self._dice = world.dice
        self._gap = gap
        self._countdown = self._next_gap()
        self._at_work = 0
        self._calm_s = 0.0  # of calm that is over
        self._calm_since_s = world.loop.time()
        self._strikes: dict[str, Callable[[Node, ShardServer | None], None]] = {
            "balancer crash": self._crash_balancer,
            "balancer freeze": self._freeze_balancer,
            "request lost": lambda *_: self._trouble("request_lost"),
            "reply lost": lambda *_: self._trouble("reply_lost"),
            "doubled call": lambda *_: self._trouble("doubled"),
            "zombie call": lambda *_: self._trouble("zombie"),
            "shard crash": self._crash_shard,
            "shard freeze": self._freeze_shard,
            "shard disk full": self._fill_disk,
            "journal full": self._fill_journal,
            "partition": self._cut,
            "slow network": self._slow_down,
            "clock jump": self._jump,
            "consumer crash": lambda *_: self._world.replace_consumer(self._duration_s()),
            "consumer freeze": lambda *_: self._freeze(self._dice.pick(self._world.consumers).node, scale=2.0),
            "producer freeze": lambda *_: self._freeze(self._dice.pick(self._world.producer_nodes)),
            "second balancer": lambda *_: self._world.begin_rival(self._dice.long_tailed(0.5, 5.0)),
        }

    def boundary(self, node: Node, server: ShardServer | None, where: str) -> None:
        """Let a call pass, perhaps with a fault."""
        del where
        self._countdown -= 1
        if self._countdown == 0:
            self._countdown = self._next_gap()
            self._strike(node, server)

    def stop(self) -> None:
        """Strike no more."""
        self._gap, self._countdown = 0, -1

    def calm_s(self) -> float:
        """Return a clock that stands while faults are at work, and for a while after."""
        return self._calm_s + (0.0 if self._at_work else self._world.loop.time() - self._calm_since_s)

    def lost(self, method: str) -> None:
        """Stop the calm clock while a balancer waits in vain for what ends a pause, and until it has asked again."""
        if method in ENDS_A_PAUSE:
            self._stand(self._world.network.weather.timeout_s + AGAIN_S)

    def _next_gap(self) -> int:
        return 1 + int(-self._gap * log(1.0 - self._dice.uniform())) if self._gap else -1

    def _strike(self, node: Node, server: ShardServer | None) -> None:
        draw = self._dice.below(_UPTO[-1])
        kind = next(kind for kind, upto in zip(_KINDS, _UPTO, strict=True) if draw < upto)
        self.counts[kind] += 1
        self._disturb(0.0)
        self._strikes[kind](node, server)

    def _duration_s(self) -> float:
        return self._dice.long_tailed(*(LONG_S if self._dice.chance(0.2) else SHORT_S))

    def _disturb(self, duration_s: float) -> None:
        """Stop the calm clock for the fault and what it takes to get over it."""
        self._stand(duration_s + self._world.recovery_s)

    def _stand(self, for_s: float) -> None:
        loop = self._world.loop
        if not self._at_work:
            self._calm_s += loop.time() - self._calm_since_s
        self._at_work += 1
        loop.call_later(for_s, self._calm_down)

    def _calm_down(self) -> None:
        self._at_work -= 1
        if not self._at_work:
            self._calm_since_s = self._world.loop.time()

    def _lasting(self, end: Callable[[], object], scale: float = 1.0) -> None:
        """Let a fault that has begun last for a while."""
        duration_s = self._duration_s() * scale
        self._disturb(duration_s)
        self._world.loop.call_later(duration_s, end)

    def _victim(self, server: ShardServer | None) -> ShardServer:
        if server is not None and self._dice.chance(0.5):
            return server
        return self._dice.pick(tuple(self._world.servers.values()))

    def _crash_balancer(self, node: Node, _server: ShardServer | None) -> None:
        balancer = self._world.balancer_of(node)
        duration_s = self._duration_s()
        self._disturb(duration_s)
        balancer.crash(duration_s)

    def _freeze_balancer(self, node: Node, _server: ShardServer | None) -> None:
        self._freeze(node)

    def _freeze(self, node: Node, scale: float = 1.0) -> None:
        if not node.frozen:
            node.freeze()
            self._lasting(node.thaw, scale)

    def _trouble(self, what: str) -> None:
        self._world.network.next_trouble = what

    def _crash_shard(self, _node: Node, server: ShardServer | None) -> None:
        victim = self._victim(server)
        if victim.node.alive:
            victim.crash()
            self._lasting(victim.restart)

    def _freeze_shard(self, _node: Node, server: ShardServer | None) -> None:
        victim = self._victim(server)
        if victim.node.alive:
            self._freeze(victim.node)

    def _fill_disk(self, _node: Node, server: ShardServer | None) -> None:
        victim = self._victim(server)
        victim.fill_disk(full=True)
        self._lasting(partial(victim.fill_disk, full=False))

    def _fill_journal(self, node: Node, _server: ShardServer | None) -> None:
        balancer = self._world.balancer_of(node)
        balancer.fill_journal(full=True)
        self._lasting(partial(balancer.fill_journal, full=False))

    def _cut(self, node: Node, server: ShardServer | None) -> None:
        """Cut a shard off from the balancer, from another shard, or from a client; in one direction or in both."""
        world, dice = self._world, self._dice
        victim = self._victim(server)
        others = [node.name, dice.pick(tuple(world.servers)), dice.pick(world.client_names)]
        other = dice.pick(others)
        pairs = ((victim.name, other), (other, victim.name))
        cut = {pair for pair in pairs if dice.chance(0.7)} or set(pairs)
        world.network.cuts |= cut
        self._lasting(lambda: world.network.cuts.difference_update(cut))

    def _slow_down(self, _node: Node, _server: ShardServer | None) -> None:
        weather = self._world.network.weather
        weather.slow = 20.0
        self._lasting(lambda: setattr(weather, "slow", 1.0))

    def _jump(self, node: Node, server: ShardServer | None) -> None:
        """Let the wall clock of a process jump, forth or back, by up to an hour."""
        victim = server if server is not None and self._dice.chance(0.7) else None
        by_s = self._dice.long_tailed(0.1, 3600.0) * (1 if self._dice.chance(0.5) else -1)
        self._world.application.trusts_tokens &= victim is None  # they are wall times, and a restart forgets the last one
        if victim is None:
            node.wall_off_s += by_s
        else:
            victim.node.wall_off_s += by_s
