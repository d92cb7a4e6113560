"""Asks again the shards that were away when a coordinator started with an empty mapping.

Such a coordinator knows only what the shards tell it. An order param that it does not know may live on a shard that has not
answered yet, and placing it elsewhere would give it two owners. A mapping that had placements is trusted instead.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plb_ray.errors import RetryableError
from plb_ray.migration import recovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from plb_ray.migration.ports import ShardPort
    from plb_ray.migration.recovery import Survey


class LateSurvey:
    """Which shards have never been surveyed, while that matters.

    Args:
        shards: all of them.
        timeout_s: how long each may take to answer.
        learn: takes what a late survey found into mapping and journal.
    """

    def __init__(
        self, shards: Collection[ShardPort], timeout_s: float, learn: Callable[[Survey], Awaitable[object]]
    ) -> None:
        self._shards = shards
        self._timeout_s = timeout_s
        self._learn = learn
        self._unsurveyed: set[str] = set()
        self._running: asyncio.Task[None] | None = None

    def begin(self, unsurveyed: Collection[str]) -> None:
        """Note who did not answer at the start."""
        self._unsurveyed = set(unsurveyed)

    async def catch_up(self) -> None:
        """Survey if a shard is missing; callers at the same time share one survey, and none can stop it.

        Raises:
            RetryableError: the coordinator stops.
        """
        if not self._unsurveyed:
            return
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._survey(), name="late survey")
        survey = self._running
        await asyncio.wait({survey})
        if survey.cancelled():
            raise RetryableError("the coordinator stops; ask again when it is back")
        survey.result()

    def require_all(self, order_param: str) -> None:
        """Refuse to place an unknown order param while a shard that may own it was never asked.

        Raises:
            RetryableError: names the shards.
        """
        if self._unsurveyed:
            names = ", ".join(sorted(self._unsurveyed))
            raise RetryableError(
                f"{order_param!r} may live on shard {names}, which has not answered since this coordinator started with an "
                "empty mapping; bring it back, or take it out of the configuration"
            )

    def close(self) -> None:
        """Drop a survey that runs."""
        if self._running is not None:
            self._running.cancel()

    async def _survey(self) -> None:
        """Ask all shards, since what was true of the others at the start may not be any more."""
        found = await recovery.survey(self._shards, self._timeout_s)
        await self._learn(found)
        self._unsurveyed &= set(found.silent)
