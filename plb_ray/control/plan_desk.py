"""Where plans are kept that people may look at before they are carried out. Carrying them out is the loop's business."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.control.saved_plans import OPEN, PlanEvent, PlanState, SavedPlan, plan_document, plan_of
from plb_ray.domain.audit import BALANCER
from plb_ray.errors import PlanConflictError, UnknownPlanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.control.orders_port import PlanQuery
    from plb_ray.control.ports import PlanStore
    from plb_ray.control.views import Decision

PREFIX = "plan-"
OPEN_MOST = 1000
"""Most plans that have not ended; they expire."""


def _not_noted(_action: str, _target: str, _outcome: str, _detail: str) -> None:
    """Of a desk without an audit log."""


class PlanDesk:
    """See the module. Use from one event loop; `open` comes first.

    Args:
        store: where plans are kept.
        now_s: the loop's clock.
        note: adds to the audit log what happens to plans without anybody asking: action, target, outcome, detail.
    """

    def __init__(
        self, store: PlanStore, now_s: Callable[[], float], note: Callable[[str, str, str, str], None] = _not_noted
    ) -> None:
        self._store = store
        self._now_s = now_s
        self._note = note
        self._open: dict[str, SavedPlan] = {}

    async def open(self) -> None:
        """Read the plans that have not ended."""
        found = await self._store.find([state.value for state in OPEN], OPEN_MOST, 0)
        plans = [plan_of(_id_of(number), document) for number, document in reversed(found)]
        self._open = {plan.plan_id: plan for plan in plans}

    @property
    def executing(self) -> tuple[SavedPlan, ...]:
        """Those that are being carried out, oldest first."""
        return tuple(plan for plan in self._open.values() if plan.state is PlanState.EXECUTING)

    @property
    def awaiting(self) -> tuple[SavedPlan, ...]:
        """Those that wait for approval, oldest first."""
        return tuple(plan for plan in self._open.values() if plan.state is PlanState.AWAITING)

    @property
    def of_a_tick(self) -> SavedPlan | None:
        """The one that a tick has put before people, and that waits for their approval."""
        return next((plan for plan in self.awaiting if plan.made.who == BALANCER), None)

    async def get(self, plan_id: str) -> SavedPlan:
        """Return one plan. Raises UnknownPlanError."""
        if plan_id in self._open:
            return self._open[plan_id]
        number = plan_id.removeprefix(PREFIX)
        known = number.isascii() and number.isdecimal() and len(number) < 19 and _id_of(int(number)) == plan_id
        document = await self._store.get(int(number)) if known else None
        if document is None:
            raise UnknownPlanError(plan_id)
        return plan_of(plan_id, document)

    async def find(self, query: PlanQuery) -> tuple[SavedPlan, ...]:
        """Return a page of plans, newest first."""
        found = await self._store.find([state.value for state in query.states], query.limit, query.offset)
        return tuple(plan_of(_id_of(number), document) for number, document in found)

    async def keep(self, decision: Decision, begins: PlanEvent, expires_s: float, note: str = "") -> SavedPlan:
        """Keep the plan of a decision and return it with its id; `expires_s` is seconds from now.

        Raises:
            PlanConflictError: there are too many that have not ended.
        """
        if len(self._open) >= OPEN_MOST:
            raise PlanConflictError(f"{len(self._open)} plans have not ended yet, the most that are kept; cancel some first")
        until_s = begins.at_s + expires_s
        saved = SavedPlan("", decision.plan, decision.mode, decision.number, until_s, note, (begins,), decision.loads)
        number = await self._store.add(begins.state.value, begins.at_s, plan_document(saved))
        saved = replace(saved, plan_id=_id_of(number))
        self._open[saved.plan_id] = saved
        if begins.who == BALANCER:
            self._note("plan.waiting", saved.plan_id, "waits", f"{len(saved.plan.moves)} moves wait for approval")
        return saved

    async def step(self, saved: SavedPlan, state: PlanState, who: str, why: str = "") -> SavedPlan:
        """Let a plan go on to a state, durably. Raises PlanConflictError: that does not follow from where it stands."""
        after = saved.stepped(self.event(state, who, why))
        number = int(after.plan_id.removeprefix(PREFIX))
        await self._store.put(number, state.value, after.history[-1].at_s, plan_document(after))
        if state.ended and who == BALANCER:
            self._note("plan.ended", after.plan_id, state.value, why)
        if state.ended:
            self._open.pop(after.plan_id, None)
        else:
            self._open[after.plan_id] = after
        return after

    async def expire(self) -> None:
        """End the plans whose time is over."""
        now_s = self._now_s()
        for plan in [each for each in self._open.values() if each.expires_s <= now_s]:
            await self.step(plan, PlanState.EXPIRED, BALANCER, "its time was over")

    def event(self, state: PlanState, who: str, why: str = "") -> PlanEvent:
        """Return an event that happens now."""
        return PlanEvent(self._now_s(), state, who, why)


def _id_of(number: int) -> str:
    return f"{PREFIX}{number}"
