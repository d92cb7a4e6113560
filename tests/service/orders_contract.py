"""What every `Balancer` must hold about orders; see `balancer_contract`. A test leaves the orders as it found them."""

from __future__ import annotations

import pickle

import pytest

from plb_ray.control.orders import OrdersChange
from plb_ray.control.orders_port import PlanAct, PlanQuery
from plb_ray.control.views import Mode
from plb_ray.errors import BadInputError, UnknownOrderParamError, UnknownPlanError, UnknownShardError


class OrdersContract:
    async def test_an_order_stands_until_it_is_taken_back(self, balancer):
        """What is ordered is shown with who ordered it; the same again, or taking it back twice, changes nothing more."""
        name = next(iter((await balancer.mapping()).placements))
        shard = (await balancer.status()).shards[0].shard_id
        before = await balancer.orders()
        change = OrdersChange("contract", pins={name: True}, forbidden={name: frozenset({shard})}, approval=True)
        ordered = await balancer.change_orders(change)
        assert (ordered.changed_by, ordered.orders.approval) == ("contract", True)
        assert name in ordered.orders.pinned
        assert ordered.orders.forbidden[name] == {shard}
        assert await balancer.change_orders(change) == ordered == await balancer.orders()
        back = OrdersChange("contract", pins={name: False}, forbidden={name: frozenset()}, approval=before.orders.approval)
        assert (await balancer.change_orders(back)).orders == before.orders
        assert (await balancer.change_orders(back)).orders == before.orders

    async def test_a_mode_is_ordered_and_taken_back(self, balancer):
        """An ordered mode comes before the configured one until it is taken back."""
        before = await balancer.orders()
        relief = await balancer.change_orders(OrdersChange("contract", mode=Mode.RELIEF))
        assert (relief.ordered, relief.orders.mode) == (Mode.RELIEF, Mode.RELIEF)
        assert "contract" in relief.why
        after = await balancer.change_orders(OrdersChange("contract", as_configured=True))
        assert (after.ordered, after.orders.mode) == (before.ordered, before.orders.mode)

    async def test_orders_about_what_there_is_not_are_refused(self, balancer):
        """An unknown order param or shard is refused, and so is a contradiction; an order can always be taken back."""
        name = next(iter((await balancer.mapping()).placements))
        shards = [shard.shard_id for shard in (await balancer.status()).shards]
        before = await balancer.orders()
        for change in (
            OrdersChange("c", pins={"nobody": True}),
            OrdersChange("c", spread_groups={"g": frozenset({"nobody"})}),
        ):
            with pytest.raises(UnknownOrderParamError):
                await balancer.change_orders(change)
        for change in (OrdersChange("c", draining={"no": True}), OrdersChange("c", forbidden={name: frozenset({"no"})})):
            with pytest.raises(UnknownShardError):
                await balancer.change_orders(change)
        for change in (
            OrdersChange("c", draining=dict.fromkeys(shards, True)),
            OrdersChange("c", forbidden={name: frozenset(shards)}),
            OrdersChange("c", draining={shards[0]: True}, filling={shards[0]: True}),
        ):
            with pytest.raises(BadInputError):
                await balancer.change_orders(change)
        assert (await balancer.change_orders(OrdersChange("c", pins={"nobody": False}))).orders == before.orders

    async def test_plans_that_there_are_not(self, balancer):
        """An unknown plan is refused whatever is asked of it, and the list answers with an empty page past its end."""
        act = PlanAct("plan-999999", "contract")
        for ask in (balancer.approve_plan, balancer.execute_plan, balancer.cancel_plan):
            with pytest.raises(UnknownPlanError):
                await ask(act)
        for plan_id in ("plan-999999", "plan-007", "plan-x", "", "plan-" + "9" * 40):
            with pytest.raises(UnknownPlanError):
                await balancer.plan(plan_id)
        assert await balancer.plans(PlanQuery(offset=10_000)) == ()

    async def test_orders_cross_process_borders(self, balancer):
        """The orders can be pickled, as they must on their way through Ray."""
        orders = await balancer.orders()
        assert pickle.loads(pickle.dumps(orders)) == orders
