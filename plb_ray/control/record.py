"""What the control loop keeps of what it does: decisions, what moves promise and what comes of it, its acts, learned costs.

    tick: begin (once) -> learned(costs) -> settle(situation) ... decide ... keep(decision, course) -> the moves are sent

`keep` returns when the decision, the promises and the acts are on disk, so whatever is sent can be looked up, whenever the
process ends. The three share a transaction.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from plb_ray.control.effects import EffectKeeper
from plb_ray.control.mover import migration_id_of
from plb_ray.control.promises import promises_of
from plb_ray.control.views import Admission, Basis
from plb_ray.domain.effects import MoveEffect

if TYPE_CHECKING:
    from plb_ray.control.observation import Observer
    from plb_ray.control.parts import Parts
    from plb_ray.control.situation import Situation
    from plb_ray.control.stating import Course
    from plb_ray.control.views import Decision
    from plb_ray.domain.audit import AuditEntry
    from plb_ray.domain.effects import Experience
    from plb_ray.domain.plan import Move

CAUSES_MOST = 20


class Record:
    """See the module. Use from one event loop."""

    def __init__(self, parts: Parts, headroom: float) -> None:
        self._decisions = parts.decisions
        self._costs = parts.costs
        self._headroom = headroom
        self._effects = EffectKeeper(parts.effects, parts.meter.newest, headroom)
        self._scribe = parts.scribe
        self._begun = False
        self._told: tuple[object, ...] = ()

    @property
    def experience(self) -> Experience:
        """What the moves so far teach."""
        return self._effects.experience

    @property
    def error(self) -> str:
        """What went wrong with keeping, in one sentence; empty if nothing did."""
        return self._scribe.error or (self._costs.error if self._costs else "")

    async def begin(self, observer: Observer) -> None:
        """Take up what a predecessor left: pending promises, and learned costs for the observer. Again does nothing."""
        if self._begun:
            return
        await self._effects.recall()
        if self._costs is not None:
            observer.cost = await self._costs.recall()
            if self._costs.set_aside is not None:
                self._scribe.note("costs.set_aside", self._costs.set_aside.name, "learned anew", self._costs.error)
        self._begun = True

    def learned(self, observer: Observer, at_s: float) -> None:
        """Let the costs that are known now be kept if that is due."""
        if self._costs is not None:
            self._costs.note(observer.cost, at_s)

    async def settle(self, situation: Situation) -> None:
        """Compare the step that has closed with what was promised of it."""
        await self._effects.settle(situation)

    def training_started(self, horizons: tuple[str, ...], steps: int) -> None:
        """Note that networks are trained anew."""
        self._scribe.note("training.started", ", ".join(horizons), detail=f"on {steps} steps of history")

    async def keep(self, decision: Decision, course: Course) -> None:
        """Make a decision durable, with what its moves promise; then they may be sent.

        Args:
            decision: the complete record.
            course: the load that it was planned on.
        """
        effects = await asyncio.to_thread(effects_of, decision, course, self._headroom)
        append = self._decisions.append(decision.number, decision.at_s, decision_document(decision))
        await asyncio.gather(append, self._effects.note(effects), self._scribe.write(self._entries(decision)))
        self._told = _essence(decision)

    def _entries(self, decision: Decision) -> list[AuditEntry]:
        """Return the entries of a decision that plans moves: one, however many ticks it stays as it is and sends nothing."""
        sent, told = decision.sent, _essence(decision) == self._told
        if not decision.moves or (told and not sent):
            return []
        outcome = f"{len(sent)} of {len(decision.moves)} moves sent"
        made = self._scribe.entry("decision.made", str(decision.number), outcome, _reasons(decision))
        return [made, *(self._sent(decision.number, move) for move in sent)]

    def _sent(self, number: int, move: Move) -> AuditEntry:
        way = f"{move.order_param}: {move.source} -> {move.destination}; {move.reason}"
        return self._scribe.entry("migration.sent", migration_id_of(number, move.order_param), "sent", way)


def _essence(decision: Decision) -> tuple[object, ...]:
    return tuple((each.move.order_param, each.move.destination, each.admission) for each in decision.moves)


def decision_document(decision: Decision) -> dict[str, object]:
    """Return a decision as plain JSON values, of bounded size but for its moves.

    The plan's moves are left out, since each is in `moves` with what became of it; of its unresolved causes some are kept.
    """
    plan = decision.plan
    causes = plan.unresolved[:CAUSES_MOST]
    if len(plan.unresolved) > CAUSES_MOST:
        causes = (*causes, f"and {len(plan.unresolved) - CAUSES_MOST} more")
    values = asdict(replace(decision, plan=replace(plan, moves=(), unresolved=causes)))
    del values["plan"]["moves"]
    return values


def effects_of(decision: Decision, course: Course, headroom: float) -> list[MoveEffect]:
    """Return what each move that is to be sent promises."""
    sent = [(place, each.move) for place, each in enumerate(decision.moves) if each.admission is Admission.ADMITTED]
    promises = promises_of(course, [move for _, move in sent], headroom)
    return [
        MoveEffect(
            migration_id=migration_id_of(decision.number, move.order_param),
            decision=decision.number,
            place=place,
            at_s=course.situation.at_s,
            order_param=move.order_param,
            source=move.source,
            destination=move.destination,
            foreseen=decision.basis is Basis.FORECAST and len(course.starts_s) > 1,
            promise=promise,
        )
        for (place, move), promise in zip(sent, promises, strict=True)
        if promise is not None
    ]


def _reasons(decision: Decision) -> str:
    """Return why moves were not sent, counted, and what the checker found."""
    refused = Counter(each.admission.value for each in decision.moves if each.admission is not Admission.ADMITTED)
    parts = [f"{reason}: {count}" for reason, count in sorted(refused.items())]
    return "; ".join([*parts, *decision.faults])
