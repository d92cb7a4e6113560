"""What one check works with: the targets, names that nobody else uses, and what is to be cleaned up behind it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s
from plb_ray.conformance.outcome import Failure, Skip
from plb_ray.conformance.status import Refusal
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.queue import QueueUnderTest
    from plb_ray.conformance.shard import ShardUnderTest
    from plb_ray.conformance.targets import Targets

PREFIX = "plb-conformance"
CLEANER = "plb-conformance-cleaner"
RESTART_S = 30.0
CLEAN_S = 10.0
LOOK_S = 0.02
CLEAN_S = 2.0  # for the segments of a check to end one after the other


class Case:
    """Handed to each check. `a` and `b` are the first two shards; a migration goes from `a` to `b`."""

    def __init__(self, targets: Targets, run_id: str, check: str, restart_command: str = "") -> None:
        self.targets = targets
        self.run_id = run_id
        self._check = check
        self._restart_command = restart_command
        self._names: list[str] = []
        self._migrations: list[str] = []

    @property
    def a(self) -> ShardUnderTest:
        return self.targets.shards[0]

    @property
    def b(self) -> ShardUnderTest:
        return self.targets.shards[1]

    @property
    def queue(self) -> QueueUnderTest:
        assert self.targets.queue is not None, "the runner skips checks that need one"
        return self.targets.queue

    def name(self, tail: str = "") -> str:
        """Return an order param of this check alone."""
        name = f"{prefix_of(self.run_id)}{self._check}{tail and '/'}{tail}"
        if name not in self._names:
            self._names.append(name)
        return name

    def migration(self, number: int = 1) -> str:
        """Return a migration id of this check alone."""
        migration = f"{prefix_of(self.run_id)}{self._check}#{number}"
        if migration not in self._migrations:
            self._migrations.append(migration)
        return migration

    async def restart(self, shard: ShardUnderTest) -> None:
        """Kill and restart a shard by the operator's command, and wait until it answers.

        Raises:
            Skip: there is no command.
            Failure: it failed, or the shard does not come back.
        """
        if not self._restart_command:
            raise Skip("needs --restart-command")
        words = [_filled(word, shard) for word in shlex.split(self._restart_command)]
        quiet = asyncio.subprocess.DEVNULL  # standard output is the report's
        process = await asyncio.create_subprocess_exec(*words, stdin=quiet, stdout=quiet)
        try:
            async with asyncio.timeout(RESTART_S):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Failure(f"--restart-command for {shard.shard_id} has not ended after {RESTART_S:g} s") from None
        if code:
            raise Failure(f"--restart-command for {shard.shard_id} ended with code {code}")
        await _answers(shard)

    async def clean(self) -> list[str]:
        """Undo what is left of this check; return what could not be undone, in words.

        Afterwards nothing of it is paused or being imported, and nothing is stored that is not consumed. The contract has
        no call that makes a shard forget an order param, so empty records stay.
        """
        left: list[str] = []
        for name in self._names:
            left += await self._clean_everywhere(name)
        return left

    async def _clean_everywhere(self, name: str) -> list[str]:
        """Clean again until nothing is left: a segment that ends lets the one after it be consumed, once it was told."""
        until_s = monotonic_s() + CLEAN_S
        while True:
            for shard in self.targets.shards:
                with contextlib.suppress(Refusal):
                    await self._clean(shard, name)
            left = await self._leftovers(name)
            if not left or monotonic_s() > until_s:
                return left
            await asyncio.sleep(LOOK_S)

    async def _clean(self, shard: ShardUnderTest, name: str) -> None:
        for migration in self._migrations:
            for undo in (shard.abort, shard.drain):
                with contextlib.suppress(Refusal):
                    await undo(name, migration)
        if not shard.has_data:
            return
        state = await shard.state(name)
        for epoch, last_seq in ((segment.epoch, segment.last_seq) for segment in state.segments):
            await self._consume(shard, name, epoch, last_seq)
        if state.state == pb.OWNERSHIP_STATE_ACTIVE and state.acked_seq < state.last_seq:
            await self._consume(shard, name, state.epoch, state.last_seq)

    async def _consume(self, shard: ShardUnderTest, name: str, epoch: int, last_seq: int) -> None:
        """Acknowledge everything; naming the order param in a poll takes it over from whoever held it."""
        with contextlib.suppress(Refusal):
            await shard.poll([name], CLEANER, most=1)
        await shard.ack(name, last_seq, epoch, CLEANER)

    async def _leftovers(self, name: str) -> list[str]:
        left = []
        for shard in self.targets.shards:
            with contextlib.suppress(Refusal):
                state = await shard.state(name)
                held = state.state in (pb.OWNERSHIP_STATE_PAUSED, pb.OWNERSHIP_STATE_IMPORTING)
                owned = state.state == pb.OWNERSHIP_STATE_ACTIVE and shard.has_data
                if held or (owned and state.acked_seq < state.last_seq):
                    left.append(f"{name} on {shard.shard_id}: {pb.OwnershipState.Name(state.state)}")
        return left


def prefix_of(run_id: str) -> str:
    """Return what every name of a run begins with."""
    return f"{PREFIX}/{run_id}/"


async def _answers(shard: ShardUnderTest) -> None:
    """Return when a shard answers again."""
    until_s = monotonic_s() + RESTART_S
    while True:
        try:
            await shard.capabilities()
        except Refusal as refusal:
            if monotonic_s() > until_s:
                raise Failure(f"{shard.shard_id} does not answer {RESTART_S:g} s after its restart: {refusal}") from None
            await asyncio.sleep(LOOK_S)
        else:
            return


def _filled(word: str, shard: ShardUnderTest) -> str:
    return word.replace("{shard_id}", shard.shard_id).replace("{endpoint}", shard.endpoint)
