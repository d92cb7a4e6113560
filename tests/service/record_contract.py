"""What the record of every `Balancer` must hold; a part of `balancer_contract`."""

from __future__ import annotations

import pickle

import pytest

from plb_ray.domain.audit import AuditEntry, AuditQuery, DecisionQuery
from plb_ray.domain.effects import EffectQuery
from plb_ray.errors import UnknownDecisionError, UnknownOrderParamError


class RecordContract:
    async def test_what_is_noted_is_in_the_audit_log(self, balancer):
        """A note is found by who, by action and by its place, with a number that is larger than those before."""
        for outcome in ("200", "409 MIGRATION_CONFLICT"):
            await balancer.note(AuditEntry(0, 1e9, "contract ☕", "operator", "contract.act", "x", outcome, "why"))
        second, first = await balancer.audit_log(AuditQuery(who="contract ☕", limit=2))
        assert first.number < second.number
        assert (first.outcome, second.outcome) == ("200", "409 MIGRATION_CONFLICT")
        assert (first.role, first.target, first.detail) == ("operator", "x", "why")
        assert await balancer.audit_log(AuditQuery(action="contract", after=first.number, limit=1)) == (second,)
        assert await balancer.audit_log(AuditQuery(action="contract.other")) == ()

    async def test_decisions_come_newest_first_and_one_by_one(self, balancer):
        """Each decision of a page is what its number gives; a page goes on before the last one's number."""
        found = await balancer.decisions(DecisionQuery(limit=2))
        assert found
        numbers = [each["number"] for each in found]
        assert numbers == sorted(numbers, reverse=True)
        assert await balancer.decision_of(numbers[0]) == found[0]
        older = await balancer.decisions(DecisionQuery(before=numbers[0], limit=1))
        assert [each["number"] for each in older] == numbers[1:]
        with pytest.raises(UnknownDecisionError):
            await balancer.decision_of(10**9)

    async def test_a_filter_leaves_only_what_fits(self, balancer):
        """Of decisions with moves each has some; of an order param that never moved there are none."""
        assert all(each["moves"] for each in await balancer.decisions(DecisionQuery(with_moves=True)))
        assert await balancer.decisions(DecisionQuery(order_param="no such order param")) == ()
        assert await balancer.effects(EffectQuery(order_param="no such order param")) == ()

    async def test_costs_cover_the_order_params(self, balancer):
        """Every placed order param has a cost within its band; pages are sorted and counted; unknown ones are refused."""
        names = sorted((await balancer.mapping()).placements)
        page = await balancer.costs("", 2, 0)
        assert (page.total, [each.order_param for each in page.items]) == (len(names), names[:2])
        one = await balancer.cost(names[0])
        assert one == page.items[0]
        assert one.lower.cpu_cores <= one.cost.cpu_cores <= one.upper.cpu_cores
        assert (await balancer.costs(names[0].upper(), 5, 0)).total >= 1
        with pytest.raises(UnknownOrderParamError):
            await balancer.cost("no such order param")

    async def test_the_record_crosses_process_borders(self, balancer):
        """What is answered of the record can be pickled, as it must on its way through Ray."""
        answers = (await balancer.costs("", 2, 0), await balancer.decisions(DecisionQuery(limit=1)))
        assert pickle.loads(pickle.dumps(answers)) == answers
