"""Until when a shard keeps for this consumer what it has delivered to it. No IO; times are monotonic seconds passed in.

A shard takes back what a consumer has in flight once it has not heard of it for a lease. The consumer must stop working on
it no later: it counts from when it *sent* its last answered poll, so that its lease ends before the shard's does.

A lease that has ended does not come back: the next one at the same shard has another number, and what was delivered under
the old number is worth nothing even if the shard is heard of again, since others may have been given it meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass
class _Lease:
    number: int = 0
    until_s: float = -inf
    begins: bool = False  # its first poll is not answered yet


class Leases:
    """The leases at all shards, by endpoint."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}

    def polling(self, endpoint: str, now_s: float) -> bool:
        """Note that a poll is sent now; return whether a new lease begins, so that it must ask for redelivery."""
        lease = self._leases.setdefault(endpoint, _Lease())
        if now_s < lease.until_s:
            return False
        lease.number += 1
        lease.begins = True
        return True

    def answered(self, endpoint: str, sent_s: float, lease_ms: int, now_s: float) -> None:
        """Note that the poll sent at `sent_s` was answered. A lease of 0 ms: the shard knows none, it never ends."""
        lease = self._leases[endpoint]
        if now_s >= lease.until_s and not lease.begins:
            return  # it has ended while the poll was under way, and what it had delivered may be dropped already
        lease.begins = False
        lease.until_s = max(lease.until_s, sent_s + lease_ms / 1000 if lease_ms else inf)

    def number(self, endpoint: str, now_s: float) -> int:
        """Return the number of the lease that runs now, from 1; 0 if there is none."""
        lease = self._leases.get(endpoint)
        return lease.number if lease is not None and now_s < lease.until_s else 0
