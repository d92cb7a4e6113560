"""One migration as server-sent events, from its first step to its end.

    event: step       a record that is new; `id` counts them, so that Last-Event-ID goes on where a connection broke
    event: progress   copy progress within a step
    event: problem    the migration can no longer be followed; the data are a problem document, and the stream ends

The balancer is asked again and again, because it answers questions and keeps no connections: the control loop may be
replaced by its successor meanwhile, which the follower does not notice. Only a step costs a look into the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.errors import ControlUnavailableError, NotReadyError, PlbError
from service.api.migration_views import migration_out
from service.api.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pydantic import BaseModel

    from plb_ray.control.views import Balancer
    from plb_ray.domain.migration import MigrationRecord

EVENT_STREAM = "text/event-stream"
POLL_S = 0.25
GIVE_UP_S = 30.0
"""How long a control loop may be away before its followers are told."""
KEEP_ALIVE_S = 15.0
RECONNECT_MS = 1000
FOLLOWERS_MAX = 50


class Followers:
    """Counts the open streams of one application; each occupies a connection for as long as a migration runs."""

    def __init__(self) -> None:
        self._open = 0

    def require_room(self) -> None:
        """Raise NotReadyError if there are as many as there may be."""
        if self._open >= FOLLOWERS_MAX:
            raise NotReadyError(
                f"{FOLLOWERS_MAX} streams of events are open, the most at once; try again, or poll GET /v1/migrations/ID"
            )

    async def counted(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a stream on; it counts from its first event to its end."""
        self._open += 1
        try:
            async for event in events:
                yield event
        finally:
            self._open -= 1


async def follow(
    balancer: Balancer, migration_id: str, seen: int, sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[bytes]:
    """Yield the events of a migration that exists, and end after its last step.

    Args:
        balancer: who knows it.
        migration_id: of the migration.
        seen: how many of its records the follower has already.
        sleep: waits between two looks.
    """
    yield f"retry: {RECONNECT_MS}\n\n".encode()
    follower = _Follower(balancer, migration_id, seen)
    quiet_s = away_s = 0.0
    while not follower.ended:
        try:
            events, away_s = await follower.look(), 0.0
        except PlbError as error:
            events, away_s = [], away_s + POLL_S
            if away_s > GIVE_UP_S or not isinstance(error, ControlUnavailableError):
                yield _event("problem", problem_of(error, f"/v1/migrations/{migration_id}/events"))
                return
        quiet_s = 0.0 if events else quiet_s + POLL_S
        if quiet_s >= KEEP_ALIVE_S:
            events, quiet_s = [b": still there\n\n"], 0.0
        for event in events:
            yield event
        if not follower.ended:
            await sleep(POLL_S)


class _Follower:
    """What one follower was told so far. `ended`: the last step is among it."""

    def __init__(self, balancer: Balancer, migration_id: str, seen: int) -> None:
        self.ended = False
        self._balancer = balancer
        self._migration_id = migration_id
        self._seen = seen
        self._last: MigrationRecord | None = None

    async def look(self) -> list[bytes]:
        """Return the events since the last look.

        A step may be known a moment before the journal has it; then the next look finds it.
        """
        latest = await self._balancer.migration(self._migration_id)
        if latest == self._last:
            return []
        if self._last is not None and (latest.step, latest.error) == (self._last.step, self._last.error):
            self._last = latest
            return [_event("progress", migration_out(latest))]
        records = await self._balancer.timeline(self._migration_id)
        self._last = records[-1]
        self.ended = self._last.step.terminal
        numbered = list(enumerate(records, start=1))[self._seen :]
        self._seen = max(self._seen, len(records))
        return [_event("step", migration_out(record), number) for number, record in numbered]


def _event(name: str, data: BaseModel, number: int | None = None) -> bytes:
    """Return one event. JSON has no line breaks, so its data are one line."""
    numbered = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{numbered}data: {data.model_dump_json(exclude_none=name == 'problem')}\n\n".encode()
