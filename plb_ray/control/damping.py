"""What keeps the balancer from wandering: what it remembers of its moves, and which further ones that forbids.

    cooldown   an order param that was moved stays for `cooldown_s`: it cannot return, nor go on
    budgets    most moves in a tick, in an hour, and onto or off one shard in a tick
    worth      a plan must take away more overload than its moves cost
    thrash     share of moves that brought an order param back to a shard it had left within THRASH_S: measured, not assumed

All of it is a function of the memory and the moment. The memory is a value: the control loop carries one, a replay another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from plb_ray.control.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plb_ray.domain.plan import Move

HOUR_S = 3600.0
THRASH_S = 6 * HOUR_S


@dataclass(frozen=True)
class Past:
    """A move that was sent."""

    at_s: float
    source: str
    destination: str


@dataclass(frozen=True, eq=False)
class Memory:
    """What decisions remember of earlier ones; `Memory()` is the beginning.

    Attributes:
        latest: the latest moves of each order param, oldest first, of the last THRASH_S.
        sent_s: times of the moves of the last hour.
        moves: sent since the beginning.
        returns: of them, those that brought an order param back to where it had been within THRASH_S.
        guard: whether the forecast may be planned on.
    """

    latest: Mapping[str, tuple[Past, ...]] = field(default_factory=dict)
    sent_s: tuple[float, ...] = ()
    moves: int = 0
    returns: int = 0
    guard: Guard = field(default_factory=Guard)

    @property
    def thrash(self) -> float:
        """Share of all moves that were returns, 0 to 1."""
        return self.returns / self.moves if self.moves else 0.0

    def at(self, now_s: float) -> Memory:
        """Return the memory without what is too old to matter."""
        latest = {
            name: kept
            for name, moves in self.latest.items()
            if (kept := tuple(m for m in moves if m.at_s > now_s - THRASH_S))
        }
        return replace(self, latest=latest, sent_s=tuple(at_s for at_s in self.sent_s if at_s > now_s - HOUR_S))

    def with_sent(self, moves: Iterable[Move], now_s: float) -> Memory:
        """Return the memory after these moves were sent."""
        latest, sent, returns = dict(self.latest), list(self.sent_s), self.returns
        for move in moves:
            before = latest.get(move.order_param, ())
            returns += any(each.source == move.destination for each in before)
            latest[move.order_param] = (*before, Past(now_s, move.source, move.destination))
            sent.append(now_s)
        count = self.moves + len(sent) - len(self.sent_s)
        return replace(self, latest=latest, sent_s=tuple(sent), moves=count, returns=returns)

    def cooling(self, now_s: float, cooldown_s: float) -> frozenset[str]:
        """Return the order params that were moved so recently that they stay."""
        return frozenset(name for name, moves in self.latest.items() if moves[-1].at_s > now_s - cooldown_s)
