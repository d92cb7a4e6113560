"""The large pictures of the balancer, kept for a moment: asked for once, then looked at by many different requests.

`Snapshots` keeps whole answers. This keeps what answers are made of: the table of ten thousand order params is brought here
once a second, not once for each page of it and each order param in it. Pictures are frozen, so that sharing them is safe.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.control.views import Balancer

KEPT = frozenset({"status", "order_params", "mapping", "migrations"})

Key = tuple[str, tuple[Any, ...]]


class KeptReads:
    """A `Balancer` whose pictures of `KEPT` may be a little old; everything else is passed on as it is.

    Args:
        balancer: whom to ask.
        keep_s: how old a picture may be.
        now_s: a clock that only goes forward.
    """

    def __init__(self, balancer: Balancer, keep_s: float, now_s: Callable[[], float]) -> None:
        self._balancer = balancer
        self._keep_s = keep_s
        self._now_s = now_s
        self._kept: dict[Key, tuple[float, asyncio.Task[Any]]] = {}

    def __getattr__(self, method: str) -> Any:
        asked = getattr(self._balancer, method)
        if method not in KEPT or not self._keep_s:
            return asked

        async def kept(*args: Any) -> Any:
            # Shielded: one who goes away must not take the picture from the others.
            return await asyncio.shield(self._task((method, args), asked))

        return kept

    def forget(self) -> None:
        """Let go of everything: something was changed."""
        self._kept.clear()

    def _task(self, key: Key, asked: Callable[..., Any]) -> asyncio.Task[Any]:
        at_s, task = self._kept.get(key, (0.0, None))
        if task is None or self._now_s() - at_s >= self._keep_s or _failed(task):
            task = asyncio.get_running_loop().create_task(asked(*key[1]))
            self._kept[key] = (self._now_s(), task)
        return task


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
