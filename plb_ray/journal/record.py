"""The journal's record: decisions, what moves promised and what came of them, and who did what. See the ports."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from plb_ray.journal import record_rows, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.domain.audit import AuditEntry, AuditQuery, DecisionQuery
    from plb_ray.domain.effects import EffectQuery, MoveEffect
    from plb_ray.journal.worker import SqlWorker


class DecisionLog:
    """The control loop's decisions, one JSON document per tick, numbered by the loop."""

    def __init__(self, worker: SqlWorker) -> None:
        self._worker = worker

    async def append(self, number: int, at_s: float, document: dict[str, Any]) -> None:
        """Store a decision durably. The same number again replaces it."""
        await self._worker.run(partial(record_rows.append_decision, number=number, at_s=at_s, document=document))

    async def latest(self) -> dict[str, Any] | None:
        """Return the decision with the highest number."""
        newest = await self.recent(1)
        return newest[0] if newest else None

    async def recent(self, limit: int) -> tuple[dict[str, Any], ...]:
        """Return the last decisions, newest first."""
        return await self._worker.run(partial(records.recent_decisions, limit=limit))

    async def find(self, query: DecisionQuery) -> tuple[dict[str, Any], ...]:
        """See the port."""
        return await self._worker.run(partial(record_rows.find_decisions, query=query))

    async def get(self, number: int) -> dict[str, Any] | None:
        """See the port."""
        return await self._worker.run(partial(record_rows.get_decision, number=number))

    async def count(self) -> int:
        """Return how many were ever made, those that were pruned included: the next number."""
        return await self._worker.run(records.count_decisions)


class SqlEffects:
    """Implements `plb_ray.control.ports.EffectLog`."""

    def __init__(self, worker: SqlWorker) -> None:
        self._worker = worker

    async def put(self, changed: Sequence[MoveEffect]) -> None:
        """See the port."""
        await self._worker.run(partial(record_rows.put_effects, changed=changed))

    async def pending(self) -> tuple[MoveEffect, ...]:
        """See the port."""
        return await self._worker.run(record_rows.pending_effects)

    async def find(self, query: EffectQuery) -> tuple[MoveEffect, ...]:
        """See the port."""
        return await self._worker.run(partial(record_rows.find_effects, query=query))


class SqlAudit:
    """Implements `plb_ray.control.ports.AuditLog`."""

    def __init__(self, worker: SqlWorker) -> None:
        self._worker = worker

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """See the port."""
        await self._worker.run(partial(record_rows.append_audit, entries=entries))

    async def find(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """See the port."""
        return await self._worker.run(partial(record_rows.find_audit, query=query))
