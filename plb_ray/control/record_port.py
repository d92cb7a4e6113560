"""The part of the `Balancer` port that asks for the record: decisions, effects, the audit log, and learned costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from plb_ray.domain.audit import AuditEntry, AuditQuery, DecisionQuery
    from plb_ray.domain.effects import EffectQuery, MoveEffect
    from plb_ray.domain.load import ResourceVector


@dataclass(frozen=True)
class CostView:
    """What a message of one order param costs, as learned so far.

    Attributes:
        cost: CPU in core-seconds, memory in bytes while it waits, I/O in bytes.
        lower, upper: between which the cost should lie nine times in ten; far apart while little is known.
        messages: delivered, old ones counting less, that this stands on; 0 for a new order param.
        payload_bytes: of a message.
    """

    order_param: str
    cost: ResourceVector
    lower: ResourceVector
    upper: ResourceVector
    messages: float
    payload_bytes: float


@dataclass(frozen=True)
class CostPage:
    """A page of costs, sorted by order param. `total`: how many match."""

    items: tuple[CostView, ...]
    total: int


class RecordKeeping(Protocol):
    """What the service asks of the record; mixed into `Balancer`."""

    async def note(self, entry: AuditEntry) -> None:
        """Add to the audit log; kept on return. The entry's number is given, whatever it carries."""
        ...

    async def audit_log(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """Return a page of the audit log."""
        ...

    async def decisions(self, query: DecisionQuery) -> tuple[dict[str, Any], ...]:
        """Return a page of decisions, newest first: the documents that `decision_document` made of them."""
        ...

    async def decision_of(self, number: int) -> dict[str, Any]:
        """Return one decision. Raises UnknownDecisionError: there was none, or it was pruned."""
        ...

    async def effects(self, query: EffectQuery) -> tuple[MoveEffect, ...]:
        """Return what moves promised and what came of it, newest first."""
        ...

    async def costs(self, contains: str, limit: int, offset: int) -> CostPage:
        """Return what messages cost, of the order params on shards whose name holds this in any case.

        Raises:
            NotReadyError: the first tick is outstanding.
        """
        ...

    async def cost(self, order_param: str) -> CostView:
        """Return what a message of one order param costs. Raises UnknownOrderParamError, NotReadyError."""
        ...
