"""How many shards there are, should be and will be, as it is shown to people. Plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShardNeed:
    """How many shards the load of a step needs; the step lasts until the next one begins."""

    starts_s: float
    shards: int


@dataclass(frozen=True)
class FleetView:
    """Advice on the number of shards, and what is being done about it.

    Attributes:
        managed: shards are started and drained by it; else it is advice alone.
        at_s: of the look that it stands on.
        shards: that take load.
        wanted: that should take load.
        why: in words.
        needs: now, at each step of the short horizon, and at each hour of the medium one; within the limits that are set.
        short: how many more than the most allowed the highest need would be; 0 if there is room.
        starting, draining: ids of shards on their way in and out.
        error: why the last turn could not do what it should; empty if it could.
    """

    managed: bool
    at_s: float
    shards: int
    wanted: int
    why: str
    needs: tuple[ShardNeed, ...]
    short: int = 0
    starting: tuple[str, ...] = ()
    draining: tuple[str, ...] = ()
    error: str = ""
