"""Consumers: the product's own reassembly and leases over simulated polls, and one application behind all of them.

A consumer polls every shard, hands over in sequence what its `Line`s give out, and acknowledges. It may be frozen for longer
than its lease and come back, or crash and come back with nothing but its name.

The application remembers per order param the last sequence it has worked off, as a database in which work and
remembering are one transaction would: that is the client's dedupe, over the lives of all consumers. Each message that a
consumer hands it is evidence of who holds the order param; each new one is evidence of the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.errors import MovedError, NotTheHolderError, OutcomeUnknownError, PlbError, RetryableError, StaleEpochError
from plb_ray.queues.deliveries import Batch, Bounds, Delivered, Offer, Pool, Source
from plb_ray.queues.leases import Leases
from plb_ray.queues.reassembly import Line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plb_ray.simulation.checker import OrderChecker
    from plb_ray.simulation.storm.dice import Dice
    from plb_ray.simulation.storm.loop import VirtualLoop
    from plb_ray.simulation.storm.network import Network, Node
    from plb_ray.simulation.storm.server import Polled, ShardServer

ATTEMPTS = 100
RETRY_S = 0.01
POLL_GAP_S = (0.02, 0.15)
NACKED = 0.005  # share of messages that cannot be worked off at first
KEPT = Bounds(line_messages=40, total_messages=150)  # small, so that they are reached
STUCK_S = 2.0  # how long what is kept may wait for what comes before it, and then stays away
IDLE_S = 1.0  # without a delivery, until a shard is asked for redelivery


class Application:
    """What the consumers work for. Tells the checker. `trusts_tokens`: hold numbers are evidence of who holds."""

    def __init__(self, checker: OrderChecker) -> None:
        self.trusts_tokens = True
        self._checker = checker
        self._done: dict[str, int] = {}

    def work(self, message: Delivered, consumer: str, hold_no: int) -> None:
        """Work a message off, unless that is done."""
        name = message.order_param
        if hold_no and self.trusts_tokens:
            self._checker.held(name, consumer, hold_no)
        if message.seq > self._done.get(name, 0):
            self._done[name] = message.seq
            self._checker.consumed(name, message.seq, message.producer, message.producer_seq)


class Consumer:
    """One life of a consumer's process; `life` tells it apart from earlier ones of the same name for the checker."""

    def __init__(
        self,
        node: Node,
        servers: Mapping[str, ShardServer],
        loop: VirtualLoop,
        network: Network,
        dice: Dice,
        application: Application,
    ) -> None:
        self.node = node
        self._servers = servers
        self._by_endpoint = {server.endpoint: server for server in servers.values()}
        self._loop = loop
        self._network = network
        self._dice = dice
        self._application = application
        self._leases = Leases()
        self._pool = Pool(KEPT)
        self._lines: dict[str, Line] = {}
        self._waiting_since_s: dict[str, float] = {}
        self._polls = False
        self._redeliver: set[str] = set()
        self._heard_s: dict[str, float] = {}

    def start(self) -> None:
        """Begin to poll, unless it does."""
        if self._polls:
            return
        self._polls = True
        for server in self._servers.values():
            self._loop.create_task(self._poll_for_ever(server))

    async def _poll_for_ever(self, server: ShardServer) -> None:
        redeliver = True
        while True:
            await self.node.wait(self._dice.between(*POLL_GAP_S))
            redeliver = not await self._poll(server, redeliver=redeliver)

    async def _poll(self, server: ShardServer, *, redeliver: bool) -> bool:
        """Poll once; return whether all is well, else the next poll asks for redelivery."""
        sent_s, endpoint = self._loop.time(), server.endpoint
        begins = self._leases.polling(endpoint, sent_s)
        holds = {name: line.hold_no for name, line in self._lines.items() if line.chained and line.hold_no}
        limit = 1 + self._dice.below(12)
        redeliver = redeliver or begins or endpoint in self._redeliver or self._is_idle(endpoint)
        self._redeliver.discard(endpoint)
        call = (self.node.name, limit, redeliver, holds)
        try:
            polled, lease_ms = await self._network.call(self.node, server, "poll", *call, mutating=False)
        except PlbError:
            return False
        self._leases.answered(endpoint, sent_s, lease_ms, self._loop.time())
        lease_no = self._leases.number(endpoint, self._loop.time())
        if not lease_no:
            return False
        if polled:
            self._heard_s[endpoint] = sent_s
        taken = [self._take(batch, endpoint, lease_no) for batch in polled]
        self._unstick()
        return all(taken)

    def _is_idle(self, endpoint: str) -> bool:
        """Say whether a shard has delivered nothing for long: then it is asked again for what it may have in flight to us.

        A poll that was carried out after its caller had given up has taken messages that nobody got, and no gap shows it
        before the next message comes.
        """
        idle = self._loop.time() - self._heard_s.setdefault(endpoint, self._loop.time()) > IDLE_S
        if idle:
            del self._heard_s[endpoint]
        return idle

    def _take(self, polled: Polled, endpoint: str, lease_no: int) -> bool:
        """Offer a batch to its line and hand over what continues; return False if it has a gap."""
        name = polled.order_param
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(name, self._pool)
        messages = [
            Delivered(name, one.seq, one.producer, one.producer_seq, one.payload, one.appended_s, endpoint)
            for one in polled.messages
        ]
        source = Source(endpoint, polled.epoch)
        offer = line.offer(
            Batch(source, messages, lease_no, polled.hold_no, polled.behind, polled.followed, polled.acked_seq)
        )
        self._hand_over(line)
        return offer is not Offer.GAP

    def _hand_over(self, line: Line) -> None:
        """Let the application work off what the line gives out; now and then it cannot, and a nack goes back."""
        while (message := line.take(self._lease_number)) is not None:
            if self._dice.uniform() < NACKED:
                self._return(line, line.put_back())
                break
            self._application.work(message, self.node.name, line.hold_no)
            line.handled()
        for source in line.refused():
            self._return(line, source)
        for source, up_to_seq in line.acks_due().items():
            self._loop.create_task(self._ack(line, source, up_to_seq))
        if line.kept.messages:
            self._waiting_since_s.setdefault(line.order_param, self._loop.time())
        else:
            self._waiting_since_s.pop(line.order_param, None)

    def _unstick(self) -> None:
        """Give back what was kept too long for what comes before it."""
        now_s = self._loop.time()
        for name, since_s in list(self._waiting_since_s.items()):
            if now_s - since_s > STUCK_S:
                line = self._lines[name]
                del self._waiting_since_s[name]
                for source in line.stuck():
                    self._return(line, source, STUCK_S)

    def _lease_number(self, endpoint: str) -> int:
        return self._leases.number(endpoint, self._loop.time())

    def _return(self, line: Line, source: Source, delay_s: float = 0.0) -> None:
        self._loop.create_task(self._nack(line, source, delay_s))

    async def _nack(self, line: Line, source: Source, delay_s: float) -> None:
        """Have a source delivered again; what comes of it before the nack is answered is refused."""
        again = True
        while again:
            delay_ms = int(1000 * delay_s + self._dice.uniform() * 50)
            error, _ = await self._send(line, source, "nack", line.nack_seq, self.node.name, delay_ms)
            again = line.returned(source)
            if error is not None:
                if not isinstance(error, NotTheHolderError):
                    self._redeliver.add(source.endpoint)
                return
            if again:
                line.give_back(source)
        self._hand_over(line)

    async def _ack(self, line: Line, source: Source, up_to_seq: int) -> None:
        error, sure = await self._send(line, source, "ack", up_to_seq, self.node.name)
        if isinstance(error, NotTheHolderError):
            self._redeliver.update(line.lost())
        elif error is None and sure:
            line.confirmed(source, up_to_seq)
            self._hand_over(line)
        else:
            line.unsure(source)

    async def _send(self, line: Line, source: Source, method: str, *arguments: object) -> tuple[PlbError | None, bool]:
        """Send an ack or a nack, following the order param where it goes.

        Returns:
            Why it was given up, or None; and whether the right segment has it, see `plb_ray.queues.acks`.
        """
        to, failures, sure = source, 0, True
        while True:
            server = self._by_endpoint[to.endpoint]
            try:
                await self._network.call(self.node, server, method, line.order_param, to.epoch, *arguments)
            except MovedError as error:
                if error.epoch <= to.epoch:
                    return error, False
                sure &= error.epoch == to.epoch + 1
                to = Source(error.endpoint, error.epoch)
            except StaleEpochError as error:
                if error.current <= to.epoch:
                    return error, False
                sure &= error.current == to.epoch + 1
                to = Source(to.endpoint, error.current)
            except (RetryableError, OutcomeUnknownError) as error:
                failures += 1
                if failures > ATTEMPTS:
                    return error, False
            except PlbError as error:
                return error, False
            else:
                return None, sure
            await self.node.wait(RETRY_S * min(failures + 1, 10))
