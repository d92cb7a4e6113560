"""A plan that people may look at before it is carried out: what it holds, and the states it goes through. Plain values.

    saved -> awaiting -> approved -> executing -> executed        cancelled and expired: from every state before the last
    saved -> approved, saved -> executing                         refused: from executing, when it does not hold any more

A tick's plan begins in `awaiting` while approval is ordered, and approving it sends it at once. One that people have saved
is approved for a later run, or run as it is where approval is not ordered. Whatever has ended stays as it is: to execute an
executed plan again changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from plb_ray.control.shard_loads import loads_of
from plb_ray.control.views import Mode
from plb_ray.domain.plan import Move, Plan, PlanStatus, Termination
from plb_ray.errors import PlanConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plb_ray.control.shard_loads import ShardLoads


class PlanState(StrEnum):
    """Where a plan stands."""

    SAVED = "saved"  # by people, to be run later
    AWAITING = "awaiting"  # approval
    APPROVED = "approved"
    EXECUTING = "executing"  # some of its moves are sent or have arrived
    EXECUTED = "executed"  # all of them have arrived
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # its time was over, or a newer one took its place
    REFUSED = "refused"  # it did not hold any more when it was to be carried out

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return not LEGAL[self]


LEGAL: dict[PlanState, frozenset[PlanState]] = {
    PlanState.SAVED: frozenset(
        {PlanState.AWAITING, PlanState.APPROVED, PlanState.EXECUTING, PlanState.CANCELLED, PlanState.EXPIRED}
    ),
    PlanState.AWAITING: frozenset({PlanState.APPROVED, PlanState.CANCELLED, PlanState.EXPIRED}),
    PlanState.APPROVED: frozenset({PlanState.EXECUTING, PlanState.CANCELLED, PlanState.EXPIRED}),
    PlanState.EXECUTING: frozenset({PlanState.EXECUTED, PlanState.CANCELLED, PlanState.EXPIRED, PlanState.REFUSED}),
    PlanState.EXECUTED: frozenset(),
    PlanState.CANCELLED: frozenset(),
    PlanState.EXPIRED: frozenset(),
    PlanState.REFUSED: frozenset(),
}
OPEN = frozenset(state for state, after in LEGAL.items() if after)


@dataclass(frozen=True)
class PlanEvent:
    """One step in the life of a plan: when, to which state, who, and why; the time is the loop's clock."""

    at_s: float
    state: PlanState
    who: str
    why: str = ""


@dataclass(frozen=True)
class SavedPlan:
    """A plan that is kept.

    Attributes:
        plan_id: names it; empty before it is kept.
        plan: as it was made; its figures are of that moment.
        mode: that it was made in.
        decision: number of the decision that made it, or that would have been the next when it was asked for.
        expires_s: when it is over if it was not carried out by then, in the loop's clock.
        note: for people.
        history: all that happened to it, oldest first, at least one.
        loads: what it does to the load of each shard; None in plans of earlier releases.
    """

    plan_id: str
    plan: Plan
    mode: Mode
    decision: int
    expires_s: float
    note: str
    history: tuple[PlanEvent, ...]
    loads: ShardLoads | None = None

    @property
    def state(self) -> PlanState:
        """Where it stands."""
        return self.history[-1].state

    @property
    def made(self) -> PlanEvent:
        """Its beginning."""
        return self.history[0]

    @property
    def approved_by(self) -> str:
        """Who let it be carried out; empty if nobody did yet."""
        begun = (each.who for each in self.history if each.state in (PlanState.APPROVED, PlanState.EXECUTING))
        return next(begun, "")

    @property
    def ways(self) -> frozenset[tuple[str, str, str]]:
        """Its moves without words: order param, source, destination."""
        return frozenset((move.order_param, move.source, move.destination) for move in self.plan.moves)

    def stepped(self, event: PlanEvent) -> SavedPlan:
        """Return the plan after an event.

        Raises:
            PlanConflictError: that does not follow from where it stands.
        """
        if event.state not in LEGAL[self.state]:
            said = f": {self.history[-1].why}" if self.history[-1].why else ""
            raise PlanConflictError(f"plan {self.plan_id!r} is {self.state}{said}; it cannot be {event.state} any more")
        return replace(self, history=(*self.history, event))


def plan_document(saved: SavedPlan) -> dict[str, Any]:
    """Return a plan as plain JSON values; the id is left out."""
    document = asdict(saved)
    del document["plan_id"]
    return document


def plan_of(plan_id: str, document: Mapping[str, Any]) -> SavedPlan:
    """Return what `plan_document` gave."""
    plan = dict(document["plan"])
    plan |= {
        "status": PlanStatus(plan["status"]),
        "termination": Termination(plan["termination"]),
        "moves": tuple(Move(**move) for move in plan["moves"]),
        "unresolved": tuple(plan["unresolved"]),
    }
    events = tuple(PlanEvent(**{**event, "state": PlanState(event["state"])}) for event in document["history"])
    loads = loads_of(document["loads"]) if document.get("loads") else None
    fields = {**document, "plan": Plan(**plan), "mode": Mode(document["mode"]), "history": events, "loads": loads}
    return SavedPlan(plan_id=plan_id, **fields)
