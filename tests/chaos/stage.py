"""A stage: three shards, a balancer, a producer and a consumer, each an OS process, with the evidence that they leave.

It serves many cases one after another, each with an order param of its own; only victims are started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from plb_ray.errors import OutcomeUnknownError, PermanentError, RetryableError
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions
from plb_ray.rpc.channel import open_channel
from plb_ray.rpc.errors import Peer, answer
from plb_ray.rpc.queue_client import QueueClient
from plb_ray.rpc.shard_client import ShardClient
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlStub
from tests.chaos.child import UNLIMITED, Child, ChildEnded
from tests.chaos.evidence import Evidence
from tests.chaos.network import Loopback

LEASE_S = 1.0
CONSUMER_LEASE_S = 1.2
HANDLING_S = 0.0005
LOOK_S = 0.01
CLOSE_S = 15.0
ANSWER_S = 8.0
SHARDS = ("shard-0", "shard-1", "shard-2")


class Stuck(Exception):  # noqa: N818 - it says what happened
    """Something that must come did not come in time."""


class Stage:
    """See the module. `children`: role or shard id -> process."""

    def __init__(self, folder, network=None):
        self.folder = folder
        self.network = network or Loopback()
        self.evidence = Evidence(folder)
        self.children = {}
        self.controls = {}
        self.queue = self._channel = self._peer = None
        self._endpoints = {}
        self._listen = {}
        self._sending = {}
        self._incarnations = 0
        self.stand_in_ready_s = 0.0  # when the last one was ready, monotonic

    @property
    def balancer(self):
        return self.children["balancer"]

    async def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.network.start()
        for shard_id in SHARDS:
            self._add(shard_id, "tests.chaos.shard_main", lambda name=shard_id: self._shard_arguments(name))
        self._add("balancer", "tests.chaos.balancer_main", self.balancer_arguments)
        self._add("producer", "tests.chaos.producer_main", self._producer_arguments)
        self._add("consumer", "tests.chaos.consumer_main", self._consumer_arguments)
        await _all(self._serve(shard_id) for shard_id in SHARDS)
        await self._serve("balancer")
        await _all(self.children[name].start() for name in ("producer", "consumer"))
        self.controls = {shard_id: ShardClient(shard_id, self._endpoints[shard_id]) for shard_id in SHARDS}
        self.queue = QueueClient(self._endpoints["balancer"])
        self._peer = Peer("queue", self._endpoints["balancer"])
        self._channel = open_channel(self._endpoints["balancer"])

    async def close(self):
        """Kill everything that was started, however far that came; nothing is left of a stage but its folder."""
        for child in self.children.values():
            child.signal(signal.SIGKILL)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._close()
        finally:
            await self.network.close()

    async def _close(self):
        clients = [client for client in (self.queue, self._channel, *self.controls.values()) if client is not None]
        await asyncio.gather(*(client.close() for client in clients))
        await asyncio.gather(*(child.kill() for child in self.children.values()))

    # Processes

    async def start_again(self, name):
        """Start a process that has ended, on the port it had; what was being sent goes on."""
        child = self.children[name]
        await (child.start() if name in ("producer", "consumer") else self._serve(name))
        if name == "producer":
            for order_param, how in self._sending.items():
                child.say("begin", order_param=order_param, **how)

    async def stand_in(self, *, on):
        """Let a second consumer come, and go."""
        if on:
            self._add("stand-in", "tests.chaos.consumer_main", lambda: self._consumer_arguments("stand-in"))
            await self.children["stand-in"].start()
            self.stand_in_ready_s = self.children["stand-in"].ready_s
        elif "stand-in" in self.children:
            await self.children.pop("stand-in").terminate()

    async def heal(self):
        """Bring everything back to how it should be: nothing stopped, dead, full or cut."""
        self.network.heal()
        for name, child in self.children.items():
            child.limit_files(UNLIMITED)
            if child.stopped:
                child.go_on()
            if not child.running and name != "stand-in":
                with contextlib.suppress(ChildEnded):
                    await child.kill()
                await self.start_again(name)
        await self.stand_in(on=False)

    # Traffic

    def send(self, order_param, **how):
        """Let the producer send to an order param until `stop_sending`."""
        self._sending[order_param] = {**how, "bulk": 0}
        self.children["producer"].say("begin", order_param=order_param, **how)

    async def stop_sending(self, order_param, timeout_s=15.0):
        """Stop after the append in flight is acknowledged. Raises Stuck."""
        self._sending.pop(order_param)
        producer = self.children["producer"]
        producer.say("end", order_param=order_param)
        try:
            while (await producer.hear("stopped", timeout_s))["order_param"] != order_param:
                pass
        except TimeoutError:
            raise Stuck(f"the producer's last append is not acknowledged after {timeout_s:g} s") from None

    async def acked(self, order_param, more, timeout_s=15.0):
        """Return when so many more messages are acknowledged."""
        self.evidence.read()
        goal = self.evidence.counts[order_param].sent + more
        what = f"{more} more acknowledged appends"
        await self.until(lambda: self.evidence.counts[order_param].sent >= goal, timeout_s, what)

    async def until(self, happened, timeout_s, what):
        """Return what `happened` returns once that is true, looking at new evidence again and again. Raises Stuck."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (found := happened()):
                    await asyncio.sleep(LOOK_S)
                    self.evidence.read()
        except TimeoutError:
            self.evidence.read()  # it may be the driver that was given no time
            if not (found := happened()):
                raise Stuck(f"no {what} within {timeout_s:g} s") from None
        return found

    # The queue

    async def allocate(self, order_param, shard_id):
        await self._reached()
        request = pb.AllocateShardsRequest(order_param=order_param, shards=[shard_id])
        call = QueueControlStub(self._channel).AllocateShards
        await _insist(lambda: answer(call(request, timeout=5.0), self._peer, mutating=True))

    async def _reached(self):
        """Return when the balancer reaches every shard again: after one was dead, its connection waits before it tries anew.

        Raises:
            TimeoutError: it does not within ANSWER_S.
        """
        async with asyncio.timeout(ANSWER_S):
            while (await _insist(self.queue.load_metrics)).missing:  # noqa: ASYNC110 (it happens in another process)
                await asyncio.sleep(LOOK_S)

    async def record(self, migration_id):
        """Return the balancer's record of a migration; None if it has never heard of it.

        Raises:
            RetryableError, OutcomeUnknownError: it does not answer.
        """
        try:
            return await self.queue.migration(migration_id)
        except PermanentError:
            return None

    async def states(self, order_param):
        """Return shard id -> state, from the shards themselves; connections to a restarted one may take a moment."""
        controls = self.controls.values()
        answers = await _insist(lambda: asyncio.gather(*(control.state(order_param) for control in controls)))
        return dict(zip(self.controls, answers, strict=True))

    async def placement(self, order_param):
        """Return what the balancer says; None if it does not answer."""
        try:
            return (await self.queue.mapping()).placements.get(order_param)
        except (RetryableError, OutcomeUnknownError):
            return None

    async def owners(self, order_param):
        """Return {(shard id, epoch)} of those that say they own it."""
        states = await self.states(order_param)
        owning = (Ownership.ACTIVE, Ownership.PAUSED)
        return {(shard_id, state.epoch) for shard_id, state in states.items() if state.ownership in owning}

    # Parts

    def _add(self, name, module, arguments):
        log = self.folder / f"{name}.log"
        self.children[name] = Child(name, module, arguments, log, self.network.prefix(name))

    async def _serve(self, name):
        """Start a server; it keeps its port for ever, and others reach it where the network says."""
        ready = await self.children[name].start()
        self._listen[name] = ready["endpoint"]
        self._endpoints[name] = await self.network.serving(name, ready["endpoint"])

    def _shard_arguments(self, shard_id):
        options = ShardOptions(shard_id, self.folder / shard_id, consumer_lease_s=CONSUMER_LEASE_S)
        return ShardProcess(options, self._listening(shard_id))._arguments()[2:]

    def balancer_arguments(self, journal="balancer", listen=None):
        shards = [f"{shard_id}={self._endpoints[shard_id]}" for shard_id in SHARDS]
        path = self.folder / journal / "journal.db"
        return (path, listen or self._listening("balancer"), int(LEASE_S * 1000), *shards)

    def _producer_arguments(self):
        self._incarnations += 1
        return (self._endpoints["balancer"], "producer", self.evidence.producer_file(self._incarnations))

    def _consumer_arguments(self, name="consumer"):
        self._incarnations += 1
        return (self._endpoints["balancer"], name, self.evidence.consumer_file(self._incarnations), HANDLING_S)

    def _listening(self, server):
        return self._listen.get(server) or self.network.listen(server)


async def _all(starts):
    """Start all at once; if one fails, none is still on its way afterwards."""
    async with asyncio.TaskGroup() as group:
        for start in starts:
            group.create_task(start)


async def _insist(call):
    """Return what a call gives, repeating it while connections to restarted processes come back."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            try:
                return await call()
            except (RetryableError, OutcomeUnknownError):
                await asyncio.sleep(LOOK_S)
