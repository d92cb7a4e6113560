"""The service rate as a token bucket: one token per delivered message."""

from __future__ import annotations

from math import inf

BURST_S = 0.05  # how much unused service time is kept
REFILL_S = 0.02  # a bucket found empty is left alone this long, so that deliveries come in small batches


class TokenBucket:
    """At most `rate_per_s` tokens per second, with a burst of `BURST_S` of them (one at least). Rate 0: no limit."""

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._most = max(1.0, rate_per_s * BURST_S)
        self._tokens = self._most
        self._at_s = now_s

    def available(self, now_s: float) -> float:
        """Return how many whole tokens there are: infinite without a limit."""
        if not self.rate_per_s:
            return inf
        self._refill(now_s)
        return float(int(self._tokens + 1e-9))

    def take(self, count: int, now_s: float) -> None:
        """Spend tokens that `available` has just named."""
        if self.rate_per_s:
            self._refill(now_s)
            self._tokens = max(0.0, self._tokens - count)

    def wait_s(self, wanted: int, now_s: float) -> float:
        """Return how long to wait for `wanted` tokens, or for what `REFILL_S` brings if that is less; one at least."""
        if not self.rate_per_s:
            return 0.0
        self._refill(now_s)
        goal = min(float(wanted), max(1.0, self.rate_per_s * REFILL_S))
        return max(0.0, (goal - self._tokens) / self.rate_per_s)

    def _refill(self, now_s: float) -> None:
        self._tokens = min(self._most, self._tokens + max(0.0, now_s - self._at_s) * self.rate_per_s)
        self._at_s = now_s
