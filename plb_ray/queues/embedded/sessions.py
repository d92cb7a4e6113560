"""Which consumers are alive, as a shard sees it: a consumer keeps what it holds while it calls at least once per lease."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plb_ray.queues.embedded.ledger import Key


class Sessions:
    """Leases of consumers, and what each of them holds. Times are monotonic seconds. Cost: O(1) per call of a consumer."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._seen_s: OrderedDict[str, float] = OrderedDict()  # the one silent for longest comes first
        self._held: defaultdict[str, set[Key]] = defaultdict(set)

    def touch(self, consumer: str, now_s: float) -> None:
        """Begin or renew a consumer's lease."""
        self._seen_s[consumer] = now_s
        self._seen_s.move_to_end(consumer)

    def hold(self, consumer: str, key: Key) -> None:
        """Note what a consumer holds."""
        self._held[consumer].add(key)

    def release(self, consumer: str, key: Key) -> None:
        """Note that it holds it no longer."""
        self._held[consumer].discard(key)

    def held(self, consumer: str) -> tuple[Key, ...]:
        """Return what a consumer holds."""
        return tuple(self._held.get(consumer, ()))

    def ended(self, now_s: float) -> list[tuple[str, tuple[Key, ...]]]:
        """End the leases that have run out, and return each consumer with what it held."""
        result = []
        while self._seen_s and next(iter(self._seen_s.values())) + self.lease_s <= now_s:
            consumer, _ = self._seen_s.popitem(last=False)
            result.append((consumer, tuple(self._held.pop(consumer, ()))))
        return result

    def next_end_s(self) -> float:
        """Return when the next lease ends; infinity if there is none."""
        return next(iter(self._seen_s.values())) + self.lease_s if self._seen_s else inf
