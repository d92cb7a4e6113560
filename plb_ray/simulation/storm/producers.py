"""Producers as simple as can be: in order, one append at a time per order param, repeated until it is answered.

What a producer has numbered it keeps until it is acknowledged, and a producer that comes back from a crash goes on with
that: it sends again what may have been stored already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.errors import (
    FencedError,
    MovedError,
    PausedError,
    PlbError,
    StaleEpochError,
    UnknownOrderParamError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from plb_ray.simulation.checker import OrderChecker
    from plb_ray.simulation.storm.dice import Dice
    from plb_ray.simulation.storm.network import Network, Node
    from plb_ray.simulation.storm.server import ShardServer

    Resolve = Callable[[Node, str], Awaitable[tuple[str, int] | None]]
    """Where an order param lives: (shard id, epoch); None: it cannot be told now."""

RETRY_S = (0.002, 0.1)
BATCH_MOST = 6


class Producer:
    """One producer's stream into one order param.

    Args:
        name, order_param: of the stream.
        node: the process it runs in.
        servers: shard id -> server.
        network, dice, checker: of the world.
        resolve: asks the coordinator.
        calm_s: a clock that stands while faults are at work, so that the pauses they cause are not held against the queue.
    """

    def __init__(
        self,
        name: str,
        order_param: str,
        node: Node,
        servers: Mapping[str, ShardServer],
        network: Network,
        dice: Dice,
        checker: OrderChecker,
        resolve: Resolve,
        calm_s: Callable[[], float],
    ) -> None:
        self.name = name
        self.order_param = order_param
        self.appended = 0
        self.stopping = False
        self._node = node
        self._servers = servers
        self._network = network
        self._dice = dice
        self._checker = checker
        self._resolve = resolve
        self._calm_s = calm_s
        self._number = 0  # last one that was acknowledged
        self._pending = 0  # messages of the append that is under way
        self._at: tuple[str, int] | None = None

    async def run(self, gap_s: tuple[float, float]) -> None:
        """Append at random times until `stopping`; what is under way then is brought to its end."""
        dice = self._dice
        while not self.stopping:
            await self._node.wait(dice.long_tailed(*gap_s))
            if not self.stopping:
                self._pending = self._pending or 1 + dice.below(BATCH_MOST)
                await self._until_acknowledged()

    @property
    def is_waiting(self) -> bool:
        """An append is not acknowledged yet."""
        return self._pending > 0

    async def _until_acknowledged(self) -> None:
        failures = 0
        while self._pending:
            if not await self._try_once():
                failures += 1
                await self._node.wait(min(RETRY_S[1], RETRY_S[0] * 2.0 ** min(failures, 10)))

    async def _try_once(self) -> bool:
        """Send the pending append; return whether to go on at once."""
        if self._at is None:
            self._at = await self._resolve(self._node, self.order_param)
            if self._at is None:
                return False
        shard_id, epoch = self._at
        payloads = [b"x"] * self._pending
        call = (self.order_param, epoch, self.name, self._number + 1, payloads)
        try:
            last_seq, repetition = await self._network.call(self._node, self._servers[shard_id], "append", *call)
        except MovedError as error:
            self._at = (error.shard_id, error.epoch)
            return error.epoch > epoch
        except PausedError:
            self._checker.refused(self.order_param, self._calm_s())
            return False
        except (UnknownOrderParamError, FencedError) as error:
            serves_again = isinstance(error, StaleEpochError) and error.current > epoch
            self._at = (shard_id, error.current) if serves_again else None
            return False
        except PlbError:
            if self._dice.chance(0.3):
                self._at = None
            return False
        self._acknowledged(last_seq, repetition=repetition)
        return True

    def _acknowledged(self, last_seq: int, *, repetition: bool) -> None:
        assert self._at is not None
        shard_id, epoch = self._at
        self._checker.appended(
            self.order_param,
            last_seq,
            self._pending,
            shard_id,
            epoch,
            producer=self.name,
            repetition=repetition,
            at_s=self._calm_s(),
        )
        self.appended += self._pending
        self._number += self._pending
        self._pending = 0
