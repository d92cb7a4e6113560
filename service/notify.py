"""Watches a control loop for what people should be told, and has it sent. A task of its own: no tick waits for it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from plb_ray.clock import wall_time_s
from plb_ray.control.notice_watch import Picture, Watch, look
from plb_ray.domain.notices import Notice, NoticeKind
from plb_ray.errors import PlbError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plb_ray.control.feedback import ModelKeeper
    from plb_ray.control.views import Balancer
    from plb_ray.settings import NotifySettings

LOG = logging.getLogger("plb.notify")
LOOK_EVERY_S = 5.0
MIGRATIONS = 200


@asynccontextmanager
async def watched(
    balancer: Balancer, settings: NotifySettings, post: Callable[[Notice], None], every_s: float = LOOK_EVERY_S
) -> AsyncIterator[None]:
    """Look again and again while the block runs, and post what is found."""
    watching = asyncio.create_task(_watch(balancer, settings, post, every_s), name="watch for notices")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _watch(balancer: Balancer, settings: NotifySettings, post: Callable[[Notice], None], every_s: float) -> None:
    watch = Watch(since_s=wall_time_s())
    while True:
        await asyncio.sleep(every_s)
        try:
            status, decision = await balancer.status(), await balancer.latest_decision()
            picture = Picture(wall_time_s(), status, decision, await balancer.migrations(MIGRATIONS))
        except PlbError as error:  # the queue is away for a moment; the next look finds it or its shards silent
            LOG.debug("nothing to look at: %s", error)
            continue
        watch, notices = look(watch, picture, settings.min_interval_s)
        for notice in notices:
            LOG.info("notice %s: %s", notice.kind, notice.text)
            post(notice)


class TellingKeeper:
    """A `ModelKeeper` that also tells people of a demotion. Called off the event loop."""

    def __init__(self, keeper: ModelKeeper, post: Callable[[Notice], None]) -> None:
        self._keeper = keeper
        self._post = post

    def demote(self, horizon: str, reason: str, at_s: float) -> None:
        """See `ModelKeeper`. A demotion that fails is told when it has worked."""
        self._keeper.demote(horizon, reason, at_s)
        text = f"the {horizon} forecasters are demoted, the baseline serves: {reason}"
        self._post(Notice(NoticeKind.MODEL_DEMOTED, horizon, text, at_s, {"horizon": horizon}))
