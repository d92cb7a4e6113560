"""Standing orders and saved plans kept in memory: of a loop without a journal, as in a replay. A restart forgets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


class MemoryOrders:
    """Implements `plb_ray.control.ports.OrdersStore`."""

    def __init__(self) -> None:
        self._document: dict[str, Any] | None = None

    async def read(self) -> dict[str, Any] | None:
        """See the port."""
        return self._document

    async def write(self, document: dict[str, Any]) -> None:
        """See the port."""
        self._document = document


class MemoryPlans:
    """Implements `plb_ray.control.ports.PlanStore`."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[str, dict[str, Any]]] = {}

    async def add(self, state: str, at_s: float, document: dict[str, Any]) -> int:
        """See the port."""
        del at_s  # nothing is forgotten by age here
        number = len(self._kept) + 1
        self._kept[number] = (state, document)
        return number

    async def put(self, number: int, state: str, at_s: float, document: dict[str, Any]) -> None:
        """See the port."""
        del at_s
        self._kept[number] = (state, document)

    async def get(self, number: int) -> dict[str, Any] | None:
        """See the port."""
        return self._kept[number][1] if number in self._kept else None

    async def find(self, states: Collection[str], limit: int, offset: int) -> tuple[tuple[int, dict[str, Any]], ...]:
        """See the port."""
        newest_first = sorted(self._kept.items(), reverse=True)
        found = [(number, document) for number, (state, document) in newest_first if not states or state in states]
        return tuple(found[offset : offset + limit])
