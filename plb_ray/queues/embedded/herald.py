"""What a shard sees to by itself, so that no order param waits for a balancer: it tells and asks its peers.

    sealed here, hand-over not confirmed    after `GRACE_S`: resume the destination with the seal's record; let it copy
                                            first if it lacks messages. The balancer that sealed it may be dead for good
    served there, the copy is still here    after `DRAIN_AFTER_S`: ask the destination, or where it redirects to; if one
                                            serves, delete the copy as a DRAIN does. The balancer that should may be dead,
                                            its journal lost. A chained seal can leave only acknowledged messages here
    a trailing segment has ended            tell the shard of the next segment (`Advance`), then forget it. Where the next
                                            one has moved on meanwhile, its tombstone says where to tell it
    a segment is behind                     ask the shard of the segment before it, now and then, whether anything up to
                                            there is left: what was told may have gone to a shard that could not pass it on

Each of these duties follows from records on disk, is repeated for ever, less and less often, until it is done, and may be
done twice. A duty is begun in rounds, one every `ROUND_S` while there are any; without any, a look costs nothing.

A segment goes to the front only on somebody's word: of the shard before it, which has nothing left. A shard that does not
answer, or has never heard of the order param (its data are lost, or another one has taken its address), is no such word.
Nor is a copy deleted then: it may be the only one. A living balancer drains long before; then there is nothing to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.errors import MovedError, OutcomeUnknownError, PlbError, RetryableError, ShardUnavailableError
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import operations, sealing
from plb_ray.queues.embedded.draining import drain
from plb_ray.queues.embedded.ownership import OWNED
from plb_ray.rpc.shard_client import ShardClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.migration.ports import SealRecord
    from plb_ray.queues.embedded.ownership import Record
    from plb_ray.queues.embedded.shard import Shard

GRACE_S = 1.0
ASK_S = 1.0
LOOK_S = 1.0  # from when a copy may go to the first look whether the balancer has drained it
DRAIN_AFTER_S = 10.0
ROUND_S = 0.1
MOST_S = 5.0  # between two attempts
HOPS = 16  # redirects followed in one attempt; a longer way is gone from its start again
CHUNK_MESSAGES = 500
CALL_S = 2.0
log = logging.getLogger(__name__)
Duty = tuple[str, str, int]  # kind, order param, epoch
FIRST_S = {"hand over": GRACE_S, "drain": LOOK_S, "tell": 0.0, "ask": ASK_S}  # from when it is seen to the first attempt


@dataclass
class _State:
    """Of one duty: since when there is one and when it is tried next, monotonic, and how often it has been."""

    since_s: float
    next_s: float
    attempts: int = 0
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Herald:
    """See the module. Belongs to the shard's event loop; `run` it in a task.

    Args:
        shard: whose duties.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._clients: dict[str, ShardClient] = {}
        self._states: dict[Duty, _State] = {}

    async def run(self) -> None:
        """Go from round to round until cancelled."""
        while True:
            if not self.round():
                await self._shard.duties.wait()
                self._shard.duties.clear()
            await asyncio.sleep(ROUND_S)

    async def close(self) -> None:
        """Drop what is under way, and close the connections to peers."""
        tasks = [state.task for state in self._states.values() if state.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._clients.values():
            await client.close()

    def round(self) -> int:
        """Begin what is due and not under way; return how many duties there are."""
        now_s = self._shard.now_s()
        duties = dict(self._duties())
        kept = {duty: state for duty, state in self._states.items() if duty in duties or state.task is not None}
        self._states = kept
        for duty, work in duties.items():
            state = kept.setdefault(duty, _State(now_s, now_s + FIRST_S[duty[0]]))
            if state.task is None and now_s >= state.next_s:
                state.attempts += 1
                state.next_s = now_s + min(MOST_S, max(ROUND_S, FIRST_S[duty[0]]) * 2 ** min(state.attempts - 1, 10))
                state.task = asyncio.create_task(self._carried_out(duty, state, work))
        return len(duties)

    def _duties(self) -> list[tuple[Duty, Callable[[], Awaitable[None]]]]:
        found: list[tuple[Duty, Callable[[], Awaitable[None]]]] = []
        for name in self._shard.view.with_duties():
            asked = False
            for line in self._shard.view.of(name):
                record = line.record
                if record.ownership is Ownership.SEALED and not record.handed_over:
                    kind, work = ("drain", self._drain) if record.served_there else ("hand over", self._hand_over)
                    found.append(((kind, name, record.epoch), lambda record=record, work=work: work(record)))
                elif sealing.has_ended(record):
                    found.append((("tell", name, record.epoch), lambda record=record: self._tell(record)))
                elif line.behind and not asked:
                    asked = True  # those after it here wait for it
                    found.append((("ask", name, record.epoch), lambda record=record: self._ask(record)))
        return found

    async def _carried_out(self, duty: Duty, state: _State, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (PlbError, TimeoutError) as error:
            log.log(logging.WARNING if state.attempts == 1 else logging.DEBUG, "%s %r (epoch %d): %s", *duty, error)
        except Exception:  # a mistake in one duty must not end the others
            log.exception("%s %r (epoch %d) failed unexpectedly", *duty)
        finally:
            state.task = None

    async def _hand_over(self, record: Record) -> None:
        """Resume the destination, and note that it serves."""
        log.info("nobody confirms the hand-over of %r by %s; doing it", record.order_param, record.migration_id)
        repeat = sealing.SealOrder(record.migration_id, record.epoch - 1, ("", ""), 0)
        sealed: SealRecord = await self._shard.run(record.order_param, operations.Seal(repeat))
        await self._resume(record, sealed)
        await self._change(record, lambda now, _: sealing.confirmed(now, record.migration_id))

    async def _resume(self, record: Record, sealed: SealRecord) -> None:
        peer, name = self._peer(record.moved_to_endpoint), record.order_param
        try:
            await peer.resume(name, record.migration_id, sealed)
        except (ShardUnavailableError, OutcomeUnknownError):
            raise
        except PlbError:
            if await self._has_served(record):
                return
            ids = (name, record.migration_id, record.epoch - 1)
            async for _ in peer.copy_backlog(*ids, self._shard.endpoint, CHUNK_MESSAGES):
                pass
            await peer.resume(name, record.migration_id, sealed)

    async def _has_served(self, record: Record) -> bool:
        """Say whether the destination has taken over. A refusal alone does not: another import may be in the way."""
        state = await self._peer(record.moved_to_endpoint).state(record.order_param)
        gave_it_on = state.ownership is Ownership.SEALED and state.epoch > record.epoch
        return gave_it_on or (state.ownership in OWNED and state.epoch >= record.epoch)

    async def _drain(self, record: Record) -> None:
        """Delete the copy, if somebody serves what was handed over; note when nothing is left of it."""
        name = record.order_param
        if await self._is_stored(record):
            if self._shard.now_s() < self._states["drain", name, record.epoch].since_s + DRAIN_AFTER_S:
                return
            await self._require_owner(record)
            log.info("nobody drains %r of %s; doing it", name, record.migration_id)
        async for _ in drain(self._shard.run, name, record.migration_id):
            pass

    async def _require_owner(self, record: Record) -> None:
        """Find who serves under this seal's epoch or a later one, which the destination must have served before.

        What tombstones and imports say only shows the way: they may have it from hearsay.
        """
        endpoint, asked = record.moved_to_endpoint, {""}
        while endpoint not in asked:
            asked.add(endpoint)
            state = await self._peer(endpoint).state(record.order_param)
            if state.ownership in OWNED and state.epoch >= record.epoch:
                return
            endpoint = state.moved_to_endpoint
        raise RetryableError(f"nobody says to serve what {record.migration_id} has sealed; the copy stays")

    async def _is_stored(self, record: Record) -> bool:
        """Say whether anything is left of a sealed copy."""
        async with contextlib.aclosing(self._shard.export(record.order_param, 1, record.last_seq, 1)) as chunks:
            async for _ in chunks:
                return True
        return False

    async def _tell(self, record: Record) -> None:
        """Tell the next segment's shard, wherever it is now, then forget the segment."""
        endpoint = record.moved_to_endpoint
        for _ in range(HOPS):
            try:
                await self._peer(endpoint).advance(record.order_param, record.epoch, record.hold_no, record.holder)
            except MovedError as moved:
                endpoint = moved.endpoint
            else:
                await self._shard.run(record.order_param, operations.forget, record.epoch)
                return
        raise RetryableError(f"{HOPS} redirects, and no shard that the end of a segment could be told")

    async def _ask(self, record: Record) -> None:
        """Ask what is left before a segment; nothing: it is behind no longer."""
        state = await self._peer(record.after_endpoint).state(record.order_param)
        if state.epoch <= record.after_epoch:
            raise RetryableError(f"{record.after_endpoint} does not know the segment of epoch {record.after_epoch}")
        if not any(segment.epoch <= record.after_epoch for segment in state.segments):
            await self._shard.advance(record.order_param, record.after_epoch)

    async def _change(self, record: Record, step: Callable[[Record, float], Record]) -> None:
        await self._shard.run(record.order_param, operations.transition(step))

    def _peer(self, endpoint: str) -> ShardClient:
        if endpoint not in self._clients:
            self._clients[endpoint] = ShardClient("?", endpoint, CALL_S)
        return self._clients[endpoint]
