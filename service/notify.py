"""Watches a control loop, and who serves forecasts, for what people should be told, and has it sent.

A task of its own: no tick waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from plb_ray.clock import wall_time_s
from plb_ray.control.notice_watch import Picture, Watch, look
from plb_ray.errors import PlbError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plb_ray.control.views import Balancer
    from plb_ray.domain.champions import Demotion
    from plb_ray.domain.notices import Notice
    from plb_ray.settings import NotifySettings

    Demotions = Callable[[], tuple[Demotion, ...]]

LOG = logging.getLogger("plb.notify")
LOOK_EVERY_S = 5.0
MIGRATIONS = 200


@asynccontextmanager
async def watched(
    balancer: Balancer,
    demotions: Demotions,
    settings: NotifySettings,
    post: Callable[[Notice], None],
    every_s: float = LOOK_EVERY_S,
) -> AsyncIterator[None]:
    """Look again and again while the block runs, and post what is found.

    Args:
        balancer: what is watched.
        demotions: tells, whoever demoted them, where the baseline serves in place of a champion; called in a thread.
        settings: how often the same is told.
        post: sends, without waiting.
        every_s: between two looks.
    """
    watching = asyncio.create_task(_watch(balancer, demotions, settings, post, every_s), name="watch for notices")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _watch(
    balancer: Balancer, demotions: Demotions, settings: NotifySettings, post: Callable[[Notice], None], every_s: float
) -> None:
    watch = Watch(since_s=wall_time_s())
    while True:
        await asyncio.sleep(every_s)
        try:
            status, decision = await balancer.status(), await balancer.latest_decision()
            migrations, demoted = await balancer.migrations(MIGRATIONS), await asyncio.to_thread(demotions)
            picture = Picture(wall_time_s(), status, decision, migrations, demoted)
        except (PlbError, OSError) as error:  # the queue, or a disk, is away for a moment; the next look finds what there is
            LOG.debug("nothing to look at: %s", error)
            continue
        watch, notices = look(watch, picture, settings.min_interval_s)
        for notice in notices:
            LOG.info("notice %s: %s", notice.kind, notice.text)
            post(notice)
