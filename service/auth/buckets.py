"""How much each caller may ask: token buckets.

A bucket holds `burst` tokens and gets `per_s` back each second; a request takes one. What is kept is bounded: of more than
`KEYS_MAX` keys the one that was quiet for longest is forgotten, which at worst gives it a full bucket again.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS_MAX = 10_000


class Buckets:
    """One bucket per key.

    Args:
        per_s: tokens that come back each second; 0: nothing is limited.
        burst: tokens of a full bucket.
        now_s: a clock that only goes forward.
    """

    def __init__(self, per_s: float, burst: int, now_s: Callable[[], float] = monotonic_s) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._now_s = now_s
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def take(self, key: str) -> float:
        """Take a token; return 0.0, or, if there is none, after how many seconds there is one."""
        if not self._per_s:
            return 0.0
        now_s = self._now_s()
        tokens = self._tokens(key, now_s)
        left = tokens - 1.0 if tokens >= 1.0 else tokens
        self._kept[key] = (left, now_s)
        self._kept.move_to_end(key)
        if len(self._kept) > KEYS_MAX:
            self._kept.popitem(last=False)
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._per_s

    def _tokens(self, key: str, now_s: float) -> float:
        tokens, at_s = self._kept.get(key, (self._burst, now_s))
        return min(self._burst, tokens + (now_s - at_s) * self._per_s)


def whole_s(seconds: float) -> int:
    """Return seconds as Retry-After states them: whole ones, at least 1."""
    return max(1, math.ceil(seconds))
