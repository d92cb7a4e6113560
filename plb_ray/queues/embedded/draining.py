"""Step 5, for whoever asks for it: a balancer's DRAIN, or the shard's own herald."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.queues.embedded import sealing
from plb_ray.queues.embedded.operations import Drain, transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Run = Callable[[str, Any], Awaitable[Any]]
    """Runs an operation on an order param; see `Shard.run`."""

DRAIN_MESSAGES = 400  # deleted at a time if nobody says otherwise


async def drain(run: Run, order_param: str, migration_id: str, limit: int = 0) -> AsyncIterator[int]:
    """Delete what a migration has sealed, so many at a time; yield how many are gone, at the end when that is noted."""
    deleted = 0
    while chunk := await run(order_param, Drain(migration_id, limit or DRAIN_MESSAGES)):
        deleted += chunk
        yield deleted
    await run(order_param, transition(lambda record, _: sealing.drained(record, migration_id)))
    yield deleted
