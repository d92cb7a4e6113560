"""Tells one shard to abort a migration, and what it may say to that. What follows from it is decided in `actions`."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from plb_ray.errors import FencedError, PermanentError, PlbError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.ports import ShardPort
    from plb_ray.migration.settings import MigrationSettings


class AbortAnswer(Enum):
    """What a shard said to an abort. One that is not configured any more counts as refusing."""

    ACCEPTED = auto()
    REFUSED = auto()
    UNANSWERED = auto()


async def asked_to_abort(
    shard: ShardPort | None, record: MigrationRecord, settings: MigrationSettings, sleep: Callable[[float], Awaitable[None]]
) -> AbortAnswer:
    """Tell a shard to abort, `undo_attempts` times unless it answers before."""
    if shard is None:
        return AbortAnswer.REFUSED
    for attempt in range(1, settings.undo_attempts + 1):
        try:
            await shard.abort(record.order_param, record.migration_id)
        except (PermanentError, FencedError):
            return AbortAnswer.REFUSED
        except (PlbError, TimeoutError):
            await sleep(settings.retry_s(attempt))
        else:
            return AbortAnswer.ACCEPTED
    return AbortAnswer.UNANSWERED
