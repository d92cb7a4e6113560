"""Sends admitted moves to the queue as migrations and knows which order params are on their way.

A move is a task of its own, so a tick never waits for one. At most `in_flight` run at once; the others wait their turn until
the next tick, which plans anew on what it sees then. A move is over for the mover when the destination serves and the
mapping says so: draining the source may take as long as the source is away.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from itertools import groupby
from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationRequest, MigrationStep
from plb_ray.errors import PlbError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.domain.plan import Move

LOG = logging.getLogger("plb.control")


def migration_id_of(decision_number: int, order_param: str) -> str:
    """Return the id of the migration that carries a decision's move out."""
    return f"{decision_number}-{order_param}"


class Mover:
    """Use from one event loop.

    Args:
        migrate: starts a migration, or joins it, and follows it.
        in_flight: most at once.
        note: told each record of a migration that is followed.
        dropped: told the id of each migration that is not begun after all, and why.

    Attributes:
        on_their_way: destination of each order param whose move has not ended or waits for its turn.
        last_error: why the last refused migration could not be run; empty if none was refused since it was cleared.
    """

    def __init__(
        self,
        migrate: Callable[[MigrationRequest], AsyncGenerator[MigrationRecord, None]],
        in_flight: int,
        note: Callable[[MigrationRecord], None],
        dropped: Callable[[str, str], None],
    ) -> None:
        self.on_their_way: dict[str, str] = {}
        self.last_error = ""
        self._run = migrate
        self._note = note
        self._dropped = dropped
        self._permits = asyncio.Semaphore(in_flight)
        self._tasks: set[asyncio.Task[bool]] = set()
        self._waiting: dict[str, tuple[str, asyncio.Task[bool]]] = {}  # migration id and task, by order param

    def send(self, moves: Iterable[Move], decision_number: int) -> None:
        """Start the moves of a decision, a wave when the one before it is over.

        If a move does not get through, later waves are not begun: they may need the room that it was to make. The request id
        names the decision, so sending it again joins the same migration.
        """
        before: tuple[asyncio.Task[bool], ...] = ()
        for _, wave in groupby(sorted(moves, key=lambda move: move.wave), key=lambda move: move.wave):
            before = tuple(self._start(move, decision_number, before) for move in wave)

    def _start(self, move: Move, decision_number: int, before: tuple[asyncio.Task[bool], ...]) -> asyncio.Task[bool]:
        request_id = migration_id_of(decision_number, move.order_param)
        request = MigrationRequest(request_id, move.order_param, move.source, move.destination, move.reason)
        self.on_their_way[move.order_param] = move.destination
        task = asyncio.create_task(self._migrate(request, before))
        self._waiting[move.order_param] = request_id, task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def ended(self) -> None:
        """Wait until every move that was sent has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_waiting(self) -> None:
        """Forget the moves that have not begun."""
        for order_param, (migration_id, task) in self._waiting.items():
            task.cancel()
            self.on_their_way.pop(order_param, None)
            self._dropped(migration_id, "its turn had not come when the next tick began, which plans anew")
        self._waiting.clear()

    async def _migrate(self, request: MigrationRequest, before: tuple[asyncio.Task[bool], ...]) -> bool:
        """Run a migration when those before it are over; return whether it got through."""
        if before and not await _all_through(before):
            self._waiting.pop(request.order_param, None)
            self.on_their_way.pop(request.order_param, None)
            self._dropped(request.request_id, "one that makes room for it did not get through")
            return False
        async with self._permits:
            self._waiting.pop(request.order_param, None)
            return await self._follow(request)

    async def _follow(self, request: MigrationRequest) -> bool:
        """Run a migration until the destination serves; return whether it does. Leaving its stream cancels nothing."""
        try:
            async with aclosing(self._run(request)) as records:
                async for record in records:
                    self._note(record)
                    if record.step in (MigrationStep.MAPPED, MigrationStep.DONE):
                        return True
        except PlbError as error:
            self.last_error = f"migration {request.request_id}: {error}"
            LOG.warning("%s", self.last_error)
        finally:
            self.on_their_way.pop(request.order_param, None)
        return False


async def _all_through(before: tuple[asyncio.Task[bool], ...]) -> bool:
    """Wait until they are over, and cancel none if the one that waits is cancelled."""
    done, _ = await asyncio.wait(before)
    return all(not task.cancelled() and task.exception() is None and task.result() for task in done)
