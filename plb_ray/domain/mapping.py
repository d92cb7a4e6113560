"""Which shard holds which order param."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class ShardAllocation:
    """The shards of one order param, in the order in which they are to be consumed (the specification's structure)."""

    order_param: str
    shards: tuple[str, ...]


@dataclass(frozen=True)
class Placement:
    """An allocation and the epoch of its ownership. The last shard takes the appends.

    Attributes:
        shards: in the order in which they are to be consumed; more than one while segments of a chain are not consumed, a
            shard once per such segment.
        rotation: the shards over which new segments rotate; empty for an order param that lives on one.
    """

    order_param: str
    shards: tuple[str, ...]
    epoch: int
    rotation: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """The shard that takes appends."""
        return self.shards[-1]

    @property
    def allocation(self) -> ShardAllocation:
        """The specification's view of this placement."""
        return ShardAllocation(self.order_param, self.shards)


@dataclass(frozen=True)
class Mapping:
    """All placements, with a generation number that grows with each change."""

    generation: int
    placements: dict[str, Placement]


def rendezvous_shard(order_param: str, shard_ids: Sequence[str]) -> str:
    """Return the shard that highest-random-weight hashing gives to an order param; stable when shards come and go.

    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998. Cost: one hash per shard.
    """

    def weight(shard_id: str) -> bytes:
        return blake2b(f"{order_param}|{shard_id}".encode(), digest_size=8).digest()

    return max(shard_ids, key=weight)
