"""What the control loop answers of the record: the part of the `Balancer` port that `record_port` states."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plb_ray.control.cost_pictures import cost_views
from plb_ray.control.record_port import CostPage
from plb_ray.errors import NotReadyError, UnknownDecisionError, UnknownOrderParamError

if TYPE_CHECKING:
    from plb_ray.control.observation import Observation, Observer
    from plb_ray.control.parts import Parts
    from plb_ray.control.record_port import CostView
    from plb_ray.domain.audit import AuditEntry, AuditQuery, DecisionQuery
    from plb_ray.domain.effects import EffectQuery, MoveEffect


class RecordAnswers:
    """A base of what answers for the loop; `Answers` sets its attributes."""

    _parts: Parts
    _observer: Observer
    _seen: Observation | None

    async def note(self, entry: AuditEntry) -> None:
        """See `RecordKeeping`."""
        await self._parts.scribe.log.append([entry])

    async def audit_log(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """See `RecordKeeping`. What the loop has noted by then is in it."""
        await self._parts.scribe.write()
        return await self._parts.scribe.log.find(query)

    async def decisions(self, query: DecisionQuery) -> tuple[dict[str, Any], ...]:
        """See `RecordKeeping`."""
        return await self._parts.decisions.find(query)

    async def decision_of(self, number: int) -> dict[str, Any]:
        """See `RecordKeeping`."""
        found = await self._parts.decisions.get(number)
        if found is None:
            raise UnknownDecisionError(number)
        return found

    async def effects(self, query: EffectQuery) -> tuple[MoveEffect, ...]:
        """See `RecordKeeping`."""
        return await self._parts.effects.find(query)

    async def costs(self, contains: str, limit: int, offset: int) -> CostPage:
        """See `RecordKeeping`."""
        seen = self._looked()
        return await asyncio.to_thread(_page, self._observer, seen, contains.casefold(), (limit, offset))

    async def cost(self, order_param: str) -> CostView:
        """See `RecordKeeping`."""
        if order_param not in self._looked().mapping.placements:
            raise UnknownOrderParamError(order_param)
        return cost_views(self._observer.cost, (order_param,))[0]

    def _looked(self) -> Observation:
        if self._seen is None:
            raise NotReadyError("costs are learned from what shards report: the first tick is outstanding")
        return self._seen


def _page(observer: Observer, seen: Observation, contains: str, page: tuple[int, int]) -> CostPage:
    limit, offset = page
    found = sorted(name for name in seen.mapping.placements if contains in name.casefold())
    return CostPage(cost_views(observer.cost, tuple(found[offset : offset + limit])), len(found))
