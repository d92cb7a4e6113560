"""One case on a stage: an order param of its own under traffic, a migration, a boundary to stop at, and the checks."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field

from plb_ray.domain.migration import MigrationMode, MigrationRequest, MigrationStep
from plb_ray.errors import OutcomeUnknownError, PlbError, RetryableError
from plb_ray.migration.ports import OrderParamState, Ownership
from tests.chaos.stage import CONSUMER_LEASE_S, LEASE_S, SHARDS, Stuck

RECOVERED_S = LEASE_S + 1.0
CONSUMED_S = CONSUMER_LEASE_S + 1.0
REACHED_S = 8.0
SETTLED_S = 20.0
BUSY_PER_CORE = 2.0  # load average from which on times say more about the machine than about the queue
BULKS = (0, 60, 400, 1200)


@dataclass
class Outcome:
    """What came of a case. `ended`: forward, back, never (nothing was journaled), refused, or several."""

    case: str
    seed: int
    kind: str
    ended: str = "?"
    violations: list[str] = field(default_factory=list)
    recovery_s: float | None = None
    late: bool = False  # a violation only if the machine was not too busy to tell
    redelivered: int = 0
    messages: int = 0
    seconds: float = 0.0


class Trial:
    """See the module.

    Args:
        stage: everything up and settled.
        case: see `cases.Case`.
        number: makes the order param's name unique on the stage.
        rng: all chance of the case.
    """

    def __init__(self, stage, case, number, seed, rng):
        self.stage, self.case, self.rng = stage, case, rng
        self.order_param = f"op{number}"
        self.source, self.destination, self.third = (SHARDS[n] for n in rng.permutation(len(SHARDS)))
        self.outcome = Outcome(case.name, seed, case.kind)
        self.ids = []
        self.following = []
        self.struck_s = self.back_s = None

    @property
    def victims(self):
        """The children that `case.victim` names by their roles."""
        roles = {"source": self.source, "destination": self.destination, "third": self.third}
        return [roles.get(name, name) for name in self.case.victim.split("+")] if self.case.victim else []

    # Acts

    async def traffic(self):
        """Place the order param on the source and begin to send, a backlog first."""
        await self.stage.allocate(self.order_param, self.source)
        needs_backlog = "within" in self.case.where or self.case.mode != "copy"
        bulk = int(self.rng.choice(BULKS[2:] if needs_backlog else BULKS))
        payload_bytes, batch = int(self.rng.choice((10, 200, 2000))), int(self.rng.choice((1, 2, 5)))
        gap_s = float(self.rng.uniform(0.002, 0.008))
        self.stage.send(self.order_param, payload_bytes=payload_bytes, batch=batch, gap_s=gap_s, bulk=bulk)
        await self.stage.acked(self.order_param, bulk + 5 * batch)

    def migrate(self, source=None, destination=None, mode=None, queue=None):
        """Begin a migration; return the task whose result is its last record or its refusal."""
        request_id = f"{self.order_param}#{len(self.ids)}"
        self.ids.append(request_id)
        between = (source or self.source, destination or self.destination)
        mode = MigrationMode(mode or self.case.mode)
        request = MigrationRequest(request_id, self.order_param, *between, reason="chaos", mode=mode)
        task = asyncio.create_task(_followed(queue or self.stage.queue, request))
        self.following.append(task)
        return task

    async def stopped_at(self, where, balancer=None):
        """Let the next migration come to a boundary and stop there; a context that begins when it stands there."""
        balancer = balancer or self.stage.balancer
        balancer.say("arm", order_param=self.order_param, where=self.physical(where))
        await balancer.hear("armed", REACHED_S)
        return balancer

    async def reach(self, where, **how):
        """Migrate until the balancer stands at a boundary. Raises Stuck if it never comes there."""
        balancer = await self.stopped_at(where)
        return await self._arrived(balancer, self.migrate(**how), where)

    async def _arrived(self, balancer, migrating, where):
        arriving = asyncio.create_task(balancer.hear("at", REACHED_S))
        try:
            await asyncio.wait({migrating, arriving}, return_when=asyncio.FIRST_COMPLETED)
            if not arriving.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await asyncio.wait({arriving})
            if not arriving.done():
                raise Stuck(f"the boundary {where} was never reached; the migration ended with {migrating.result()}")
            await arriving
        except TimeoutError:
            raise Stuck(f"the boundary {where} was not reached in {REACHED_S:g} s") from None
        finally:
            arriving.cancel()
        return migrating

    def require(self, true, otherwise):
        """Note a violation unless something is so."""
        if not true:
            self.outcome.violations.append(otherwise)

    def drawn_mode(self):
        """Return the case's mode; one by chance where the case has no mode of its own."""
        return self.case.mode if self.case.mode != "mixed" else str(self.rng.choice(("copy", "chain")))

    def logical(self, name):
        """Return a boundary's name with the roles for this trial's shards."""
        who, dot, rest = name.partition(".")
        return {self.source: "source", self.destination: "destination"}.get(who, who) + dot + rest

    def physical(self, where):
        """Return a boundary's name with this trial's shards for the roles."""
        role, dot, rest = where.partition(".")
        return {"source": self.source, "destination": self.destination}.get(role, role) + dot + rest

    async def flows(self, timeout_s=15.0):
        """Return when an append that was sent after the strike is acknowledged."""
        first = lambda: self.stage.evidence.first_ack_s(self.order_param, self.struck_s)  # noqa: E731
        return await self.stage.until(first, timeout_s, "append after the strike")

    async def ended(self, timeout_s=SETTLED_S):
        """Return the last record of each migration when all have ended; None for one that was never journaled."""
        return [await self._ended(request_id, timeout_s) for request_id in self.ids]

    # Afterwards

    async def settle(self):
        """Heal, wait until nothing happens any more, and check all that can be checked."""
        stage, outcome = self.stage, self.outcome
        await stage.heal()
        records = await self.ended()
        outcome.ended = outcome.ended if outcome.ended != "?" else _how(records)
        if self.struck_s is not None:
            await self._measure()
        await stage.acked(self.order_param, 1)
        await stage.stop_sending(self.order_param)
        what = "end of the consumption of everything acknowledged"
        try:
            await stage.until(lambda: not stage.evidence.outstanding(self.order_param), SETTLED_S, what)
        except Stuck as stuck:
            outcome.violations.append(f"stuck: {stuck}; the shards say {_brief(await stage.states(self.order_param))}")
            stage.children["consumer"].say("show", order_param=self.order_param)
        await self._check_owner()
        await self._check_nothing_left()
        self.judge()

    def judge(self):
        """Ask the checker."""
        verdict, self.outcome.redelivered = self.stage.evidence.verdict(self.order_param)
        self.outcome.messages = verdict.sent
        if not verdict.clean:
            self.outcome.violations += [f"order: {example}" for example in verdict.examples[:5]]

    async def close(self):
        """Let go of what may still run."""
        for task in self.following:
            task.cancel()
        await asyncio.gather(*self.following, return_exceptions=True)
        self.stage.evidence.forget(self.order_param)

    # Parts

    async def _ended(self, request_id, timeout_s):
        record = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    with contextlib.suppress(RetryableError, OutcomeUnknownError):
                        record = await self.stage.record(request_id)
                        if record is None or record.step.terminal:
                            return record
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise Stuck(f"migration {request_id} has not ended after {timeout_s:g} s: {record}") from None

    async def _measure(self):
        """Note how long it took until the queue served again: from the strike, or from when those were back who had to be.

        A balancer is never needed for that. A consumer's successor counts from when its process was ready.
        """
        consumer = "consumer" in self.victims
        looked = self.stage.evidence.first_consumed_s if consumer else self.stage.evidence.first_ack_s
        served = lambda: looked(self.order_param, self.struck_s)  # noqa: E731
        first_s = await self.stage.until(served, 15.0, "service after the strike")
        if not self.case.faulted.measured:
            return
        since_s = max(self.struck_s, self.stage.stand_in_ready_s if consumer else 0.0)
        if self.victims != ["balancer"] and self.back_s is not None and first_s > self.back_s:
            since_s = self.back_s
        self.outcome.recovery_s = first_s - since_s
        limit_s = CONSUMED_S if consumer else RECOVERED_S
        self.outcome.late = self.outcome.recovery_s > limit_s
        quiet = os.getloadavg()[0] <= BUSY_PER_CORE * len(os.sched_getaffinity(0))
        late = f"late: served again after {self.outcome.recovery_s:.2f} s, limit {limit_s:g} s"
        self.require(not (self.outcome.late and quiet), late)

    async def _check_owner(self):
        """One shard says that it owns the order param, and the balancer names that one."""
        stage, order_param = self.stage, self.order_param
        owners, placement = set(), None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(8.0):
                while len(owners) != 1 or placement is None or (placement.owner, placement.epoch) not in owners:
                    await asyncio.sleep(0.02)
                    owners = await stage.owners(order_param)
                    placement = await stage.placement(order_param)
                return
        self.require(False, f"owners: {owners or 'nobody'}; the balancer says {placement}")

    async def _check_nothing_left(self):
        """No trailing segment is left once all is consumed, and the placement names one shard."""
        try:
            async with asyncio.timeout(6.0):
                while left := await self._left():  # noqa: ASYNC110 - bounded
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.outcome.violations.append(f"left over: {left}")

    async def _left(self):
        states = await self.stage.states(self.order_param)
        left = [(shard_id, *state.segments) for shard_id, state in states.items() if getattr(state, "segments", ())]
        behind = [shard_id for shard_id, state in states.items() if getattr(state, "behind", False)]
        placement = await self.stage.placement(self.order_param)
        return left or behind or (placement if len(placement.shards if placement else ()) != 1 else None)


def _brief(states):
    """Return the states in words: what differs from a state that says nothing."""
    bare = OrderParamState("", Ownership.NONE, 0)
    named = {shard_id: vars(state).items() - vars(bare).items() for shard_id, state in states.items()}
    return {shard_id: dict(sorted(items)) for shard_id, items in named.items()}


async def _followed(queue, request):
    last = None
    try:
        async for record in queue.migrate(request):
            last = record
    except PlbError as error:
        return error
    return last


def _how(records):
    words = {MigrationStep.DONE: "forward", MigrationStep.ABORTED: "back"}
    ends = {"never" if record is None else words[record.step] for record in records}
    return ends.pop() if len(ends) == 1 else "several"
