"""Which shards take nothing any more, because they are about to be taken out, and what is still on its way onto each.

A shard can be taken out when nothing lives on it and nothing can come. The first is asked of mapping, runner and shard
(`coordinator.retire`); the second is known here: from `close` on nothing is placed there, and what was being placed at that
moment is counted until it is. No awaits here, so whoever checks and acts in one go cannot be overtaken.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plb_ray.errors import MigrationConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Closing:
    """See the module."""

    def __init__(self) -> None:
        self._closed: set[str] = set()
        self._coming: Counter[str] = Counter()

    def __contains__(self, shard_id: str) -> bool:
        return shard_id in self._closed

    def close(self, shard_id: str) -> None:
        """Let nothing new onto a shard. Again: no difference."""
        self._closed.add(shard_id)

    def open(self, shard_id: str) -> None:
        """Let order params onto a shard again, or forget one that is gone."""
        self._closed.discard(shard_id)

    def awaits(self, shard_id: str) -> bool:
        """Return whether something is still being placed on a shard."""
        return self._coming[shard_id] > 0

    def require_open(self, shards: Iterable[str]) -> None:
        """Refuse what would go onto a shard that is being taken out.

        Raises:
            MigrationConflictError: names the shard.
        """
        for shard_id in shards:
            if shard_id in self._closed:
                raise MigrationConflictError(f"shard {shard_id!r} is being taken out and takes nothing; choose another")

    @contextmanager
    def placing(self, shard_id: str) -> Iterator[None]:
        """Note that something comes onto a shard while the block runs. Raises MigrationConflictError: it is closed."""
        self.require_open((shard_id,))
        self._coming[shard_id] += 1
        try:
            yield
        finally:
            self._coming[shard_id] -= 1
