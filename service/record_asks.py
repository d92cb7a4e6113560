"""The record's part of the `Balancer` port, over whatever passes questions on to the loop; see `service.deployments`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from service.asks import Asks

if TYPE_CHECKING:
    from plb_ray.control.record_port import CostPage, CostView
    from plb_ray.domain.audit import AuditEntry, AuditQuery, DecisionQuery
    from plb_ray.domain.effects import EffectQuery, MoveEffect

SEARCH_TIMEOUT_S = 30.0


class RecordAsks(Asks):
    """A part of the adapter of the control actor."""

    async def note(self, entry: AuditEntry) -> None:
        """See `Balancer`."""
        await self._act("note", entry, doing="while the audit log was being written; it may hold the entry or not")

    async def audit_log(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """See `Balancer`."""
        return cast("tuple[AuditEntry, ...]", await self._ask("audit_log", query, timeout_s=SEARCH_TIMEOUT_S))

    async def decisions(self, query: DecisionQuery) -> tuple[dict[str, Any], ...]:
        """See `Balancer`."""
        return cast("tuple[dict[str, Any], ...]", await self._ask("decisions", query, timeout_s=SEARCH_TIMEOUT_S))

    async def decision_of(self, number: int) -> dict[str, Any]:
        """See `Balancer`."""
        return cast("dict[str, Any]", await self._ask("decision_of", number))

    async def effects(self, query: EffectQuery) -> tuple[MoveEffect, ...]:
        """See `Balancer`."""
        return cast("tuple[MoveEffect, ...]", await self._ask("effects", query, timeout_s=SEARCH_TIMEOUT_S))

    async def costs(self, contains: str, limit: int, offset: int) -> CostPage:
        """See `Balancer`."""
        return cast("CostPage", await self._ask("costs", contains, limit, offset))

    async def cost(self, order_param: str) -> CostView:
        """See `Balancer`."""
        return cast("CostView", await self._ask("cost", order_param))
