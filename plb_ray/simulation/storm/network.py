"""Processes and the network between them.

A `Node` is a process: it can die, and it can be frozen (SIGSTOP) and come back, and then does late what it should have done
before. The `Network` carries calls from node to node with delays, and loses, doubles and delays them at random; both sides
of a call see what gRPC would show them: an answer, an error of ours, a broken connection or a deadline.

A call that is delayed beyond its deadline is carried out all the same, long after the caller has given up: a zombie.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from plb_ray.errors import OutcomeUnknownError, PlbError, ShardUnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from plb_ray.simulation.storm.dice import Dice
    from plb_ray.simulation.storm.loop import VirtualLoop


class Node:
    """A process. `wall_off_s`: what its wall clock is ahead of virtual time."""

    def __init__(self, name: str, loop: VirtualLoop) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.wall_off_s = 0.0
        self._loop = loop
        self._held: list[Callable[[], None]] = []

    def wall_s(self) -> float:
        """Return what its wall clock shows."""
        return 1.7e9 + self._loop.time() + self.wall_off_s

    def do(self, act: Callable[[], None]) -> None:
        """Do something in this process: now, when it is thawed, or never if it is dead."""
        if not self.alive:
            return
        if self.frozen:
            self._held.append(act)
        else:
            act()

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something in this process after a while."""
        self._loop.call_later(delay_s, self.do, act)

    def wait(self, delay_s: float) -> asyncio.Future[None]:
        """Return a future that is done after a while; never if the process dies before."""
        future = self._loop.create_future()
        self._loop.call_later(delay_s, self._wake, future)
        return future

    def _wake(self, future: asyncio.Future[None]) -> None:
        if self.alive and not self.frozen:
            if not future.done():
                future.set_result(None)
        else:
            self.do(lambda: self._wake(future))

    def freeze(self) -> None:
        """Stop as SIGSTOP does: what comes is kept, nothing is done."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on, first with what has come meanwhile."""
        self.frozen = False
        held, self._held = self._held, []
        for act in held:
            self.do(act)

    def die(self) -> None:
        """End as SIGKILL does."""
        self.alive = self.frozen = False
        self._held.clear()


class Server(Protocol):
    """What calls go to. `node`: its process now; a new one after each restart."""

    name: str
    endpoint: str
    node: Node
    open: dict[Exchange, None]

    def handle(self, exchange: Exchange) -> None:
        """Carry out a call; `Network.answer` at once or later, in the same process."""
        ...


class Exchange:
    """One call under way."""

    __slots__ = ("args", "caller", "future", "method", "mutating", "server")

    def __init__(
        self, caller: Node, server: Server, method: str, args: Any, future: asyncio.Future[Any], *, mutating: bool
    ) -> None:  # fmt: skip
        self.caller = caller
        self.server = server
        self.method = method
        self.args = args
        self.future = future
        self.mutating = mutating


@dataclass
class Weather:
    """How the network behaves. Chances are per call; delays are one way, in seconds.

    Attributes:
        timeout_s: a caller gives up after this long.
        slow: what all delays are multiplied with.
    """

    request_lost: float = 0.002
    reply_lost: float = 0.002
    doubled: float = 0.003
    zombie: float = 0.002
    delay_s: tuple[float, float] = (0.0002, 0.001)
    straggler: float = 0.02
    straggler_s: tuple[float, float] = (0.001, 0.1)
    zombie_s: tuple[float, float] = (0.5, 8.0)
    timeout_s: float = 1.0
    slow: float = 1.0

    def clear(self) -> None:
        """Lose and double nothing any more."""
        self.request_lost = self.reply_lost = self.doubled = self.zombie = 0.0
        self.slow = 1.0


class Network:
    """See the module. `cuts`: pairs of names between which nothing passes, in that direction."""

    def __init__(self, loop: VirtualLoop, dice: Dice, weather: Weather) -> None:
        self.weather = weather
        self.cuts: set[tuple[str, str]] = set()
        self.counts: Counter[str] = Counter()
        self.next_trouble = ""  # of the very next call: a field of `Weather`
        self.on_lost: Callable[[str], None] = lambda _: None  # is told the method of each call whose caller waits in vain
        self._loop = loop
        self._dice = dice

    def call(self, caller: Node, server: Server, method: str, *args: Any, mutating: bool = True) -> asyncio.Future[Any]:
        """Send a call; the future has its answer or its error."""
        exchange = Exchange(caller, server, method, args, self._loop.create_future(), mutating=mutating)
        if caller.alive and not caller.frozen:
            self._send(exchange)
        else:
            caller.do(partial(self._send, exchange))
        return exchange.future

    def answer(self, exchange: Exchange, result: Any, error: PlbError | None = None) -> None:
        """Send the outcome of a call back."""
        exchange.server.open.pop(exchange, None)
        if exchange.future.done():
            return
        if (exchange.server.name, exchange.caller.name) in self.cuts:
            self._give_up_later(exchange)
        elif self._dice.uniform() < self.weather.reply_lost or self._planned("reply_lost"):
            self.counts["reply lost"] += 1
            self._give_up_later(exchange)
        else:
            self._loop.call_later(self._delay_s(), self._finish, exchange, result, error)

    def break_off(self, exchange: Exchange) -> None:
        """Show the caller that the server's process has ended under the call."""
        error = OutcomeUnknownError(f"{exchange.server.name}: connection reset") if exchange.mutating else None
        self._loop.call_later(self._delay_s(), self._finish, exchange, None, error or self._away(exchange))

    def _send(self, exchange: Exchange) -> None:
        if (exchange.caller.name, exchange.server.name) in self.cuts:
            self._give_up_later(exchange)
            return
        weather = self.weather
        if (
            exchange.method == "poll"
        ):  # what a poll has taken is lost with its answer: a connection delivers in order, or breaks
            self._loop.call_later(self._delay_s(), self._arrive, exchange)
            return
        fate = self._dice.uniform()
        if self.next_trouble or fate < weather.request_lost + weather.doubled + weather.zombie:
            self._send_into_trouble(exchange, fate)
        else:
            self._loop.call_later(self._delay_s(), self._arrive, exchange)

    def _send_into_trouble(self, exchange: Exchange, fate: float) -> None:
        weather = self.weather
        if self._planned("request_lost") or fate < weather.request_lost:
            self.counts["request lost"] += 1
            self._give_up_later(exchange)
        elif self._planned("zombie") or fate < weather.request_lost + weather.zombie:
            self.counts["zombie call"] += 1
            self._give_up_later(exchange)
            self._loop.call_later(self._dice.long_tailed(*weather.zombie_s), self._arrive, exchange)
        else:
            if self._planned("doubled") or fate < weather.request_lost + weather.zombie + weather.doubled:
                self.counts["doubled call"] += 1
                self._loop.call_later(self._dice.long_tailed(*weather.zombie_s) - 0.4, self._arrive, self._ghost(exchange))
            self._loop.call_later(self._delay_s(), self._arrive, exchange)

    def _ghost(self, exchange: Exchange) -> Exchange:
        """Return the same call with nobody who waits for its answer."""
        call = (exchange.caller, exchange.server, exchange.method, exchange.args)
        ghost = Exchange(*call, self._loop.create_future(), mutating=exchange.mutating)
        ghost.future.cancel()
        return ghost

    def _planned(self, trouble: str) -> bool:
        if self.next_trouble != trouble:
            return False
        self.next_trouble = ""
        return True

    def _arrive(self, exchange: Exchange) -> None:
        server = exchange.server
        node = server.node
        if node.frozen:
            self._give_up_later(exchange)
            node.do(partial(self._arrive, exchange))
        elif not node.alive:
            self._loop.call_later(self._delay_s(), self._finish, exchange, None, self._away(exchange))
        elif exchange.method == "poll" and not exchange.caller.alive:
            return  # its connection is broken
        else:
            server.open[exchange] = None
            server.handle(exchange)

    def _give_up_later(self, exchange: Exchange) -> None:
        self.on_lost(exchange.method)
        self._loop.call_later(self.weather.timeout_s, self._give_up, exchange)

    def _give_up(self, exchange: Exchange) -> None:
        name = exchange.server.name
        error = OutcomeUnknownError(f"{name}: no answer in time") if exchange.mutating else self._away(exchange)
        self._finish(exchange, None, error)

    def _away(self, exchange: Exchange) -> PlbError:
        return ShardUnavailableError(exchange.server.name, exchange.server.endpoint, "does not answer")

    def _finish(self, exchange: Exchange, result: Any, error: PlbError | None) -> None:
        """Hand the outcome to the caller, unless it has one, or is not there any more."""
        caller, future = exchange.caller, exchange.future
        if future.done() or not caller.alive:
            return
        if caller.frozen:
            caller.do(partial(self._finish, exchange, result, error))
        elif error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
            future.exception()  # a caller that has gone does not look any more

    def _delay_s(self) -> float:
        weather, dice = self.weather, self._dice
        if dice.uniform() < weather.straggler:
            return dice.long_tailed(*weather.straggler_s) * weather.slow
        least, most = weather.delay_s
        return (least + (most - least) * dice.uniform()) * weather.slow
