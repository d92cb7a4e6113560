"""The record kept in memory: of a loop without a journal, as in a replay. A restart forgets it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.domain.audit import AuditEntry, AuditQuery
    from plb_ray.domain.effects import EffectQuery, MoveEffect

MOST = 10_000
"""Entries and effects that are remembered; the oldest are forgotten first."""


class MemoryEffects:
    """Implements `plb_ray.control.ports.EffectLog`."""

    def __init__(self) -> None:
        self._effects: dict[str, MoveEffect] = {}

    async def put(self, changed: Sequence[MoveEffect]) -> None:
        """See the port."""
        self._effects.update({each.migration_id: each for each in changed})
        while len(self._effects) > MOST:
            del self._effects[next(iter(self._effects))]

    async def pending(self) -> tuple[MoveEffect, ...]:
        """See the port."""
        return tuple(each for each in self._sorted() if each.state == "pending")

    async def find(self, query: EffectQuery) -> tuple[MoveEffect, ...]:
        """See the port."""
        found = (
            each
            for each in reversed(self._sorted())
            if query.order_param in (None, each.order_param) and query.decision in (None, each.decision)
        )
        return tuple(found)[: query.limit]

    def _sorted(self) -> list[MoveEffect]:
        return sorted(self._effects.values(), key=lambda each: (each.decision, each.place))


class MemoryAudit:
    """Implements `plb_ray.control.ports.AuditLog`."""

    def __init__(self) -> None:
        self._entries: list[AuditEntry] = []
        self._next = 1

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """See the port."""
        for each in entries:
            self._entries.append(replace(each, number=self._next))
            self._next += 1
        del self._entries[: len(self._entries) - MOST]

    async def find(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """See the port."""
        found = [each for each in self._entries if _fits(each, query)]
        return tuple(found if query.after is not None else reversed(found))[: query.limit]


def _fits(entry: AuditEntry, query: AuditQuery) -> bool:
    return (
        (query.before is None or entry.number < query.before)
        and (query.after is None or entry.number > query.after)
        and query.who in (None, entry.who)
        and (query.action is None or _is_action(entry.action, query.action))
        and (query.since_s is None or entry.at_s >= query.since_s)
        and (query.until_s is None or entry.at_s < query.until_s)
    )


def _is_action(action: str, asked: str) -> bool:
    return action == asked or ("." not in asked and action.startswith(f"{asked}."))
