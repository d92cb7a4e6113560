"""The operator's standing orders in API v1. Each call answers with the orders as they stand then, and may be repeated."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from plb_ray.control.orders import OrdersChange
from service.api import examples
from service.api.deps import BalancerDep, WhoDep
from service.api.order_examples import ORDERS
from service.api.order_schemas import BalancerOrders, BalancerPatch, ForbiddenPut, SpreadGroupPut, orders_out
from service.api.read_routes import OrderParamPath

router = APIRouter(prefix="/v1/balancer", tags=["act"])

ShardPath = Annotated[str, Path(description="Id of the shard.", examples=["shard-4"])]
GroupPath = Annotated[str, Path(description="Name of the group, of your choice.", examples=["primaries"], max_length=200)]
GIVEN = examples.ok(ORDERS, "contradiction", "unknown", "invalid", "busy")


@router.get("", summary="The standing orders", responses=examples.ok(ORDERS, "busy"))
async def get_orders(balancer: BalancerDep) -> BalancerOrders:
    """What the operator has ordered: it stands until it is taken back, over restarts too, and every decision keeps to it."""
    return orders_out(await balancer.orders())


@router.patch("", summary="Change mode, pause or approval", responses=GIVEN)
async def patch_orders(balancer: BalancerDep, who: WhoDep, body: BalancerPatch) -> BalancerOrders:
    """Changes what is named. It counts from the next decision on; migrations under way go on."""
    change = OrdersChange(
        who,
        mode=body.mode,
        as_configured="mode" in body.model_fields_set and body.mode is None,
        paused=body.paused,
        approval=body.approval,
    )
    return orders_out(await balancer.change_orders(change))


@router.put("/pins/{order_param:path}", summary="Pin an order param", responses=GIVEN)
async def put_pin(balancer: BalancerDep, who: WhoDep, order_param: OrderParamPath) -> BalancerOrders:
    """It stays where it is, whatever its shard carries; people can still move it."""
    return orders_out(await balancer.change_orders(OrdersChange(who, pins={order_param: True})))


@router.delete("/pins/{order_param:path}", summary="Unpin an order param", responses=GIVEN)
async def delete_pin(balancer: BalancerDep, who: WhoDep, order_param: OrderParamPath) -> BalancerOrders:
    """It may be moved again."""
    return orders_out(await balancer.change_orders(OrdersChange(who, pins={order_param: False})))


@router.put("/forbidden/{order_param:path}", summary="Forbid shards to an order param", responses=GIVEN)
async def put_forbidden(
    balancer: BalancerDep, who: WhoDep, order_param: OrderParamPath, body: ForbiddenPut
) -> BalancerOrders:
    """It is moved off these shards if it is on one, and never onto one. They take the place of those named before."""
    return orders_out(await balancer.change_orders(OrdersChange(who, forbidden={order_param: frozenset(body.shards)})))


@router.delete("/forbidden/{order_param:path}", summary="Allow an order param every shard", responses=GIVEN)
async def delete_forbidden(balancer: BalancerDep, who: WhoDep, order_param: OrderParamPath) -> BalancerOrders:
    """No shard is forbidden to it any more."""
    return orders_out(await balancer.change_orders(OrdersChange(who, forbidden={order_param: frozenset()})))


@router.put("/spread-groups/{group}", summary="Keep order params on different shards", responses=GIVEN)
async def put_spread_group(balancer: BalancerDep, who: WhoDep, group: GroupPath, body: SpreadGroupPut) -> BalancerOrders:
    """No two of them may share a shard; those that do are parted. They take the place of the group's members before."""
    members = frozenset(body.order_params)
    return orders_out(await balancer.change_orders(OrdersChange(who, spread_groups={group: members})))


@router.delete("/spread-groups/{group}", summary="Dissolve a group", responses=GIVEN)
async def delete_spread_group(balancer: BalancerDep, who: WhoDep, group: GroupPath) -> BalancerOrders:
    """Its order params may share a shard again."""
    return orders_out(await balancer.change_orders(OrdersChange(who, spread_groups={group: frozenset()})))


@router.put("/drains/{shard:path}", summary="Empty a shard", responses=GIVEN)
async def put_drain(balancer: BalancerDep, who: WhoDep, shard: ShardPath) -> BalancerOrders:
    """It takes nothing, and what is on it is moved away, tick by tick within the budgets. /v1/status says what is left."""
    return orders_out(await balancer.change_orders(OrdersChange(who, draining={shard: True})))


@router.delete("/drains/{shard:path}", summary="Stop emptying a shard", responses=GIVEN)
async def delete_drain(balancer: BalancerDep, who: WhoDep, shard: ShardPath) -> BalancerOrders:
    """It may take order params again."""
    return orders_out(await balancer.change_orders(OrdersChange(who, draining={shard: False})))


@router.put("/fills/{shard:path}", summary="Fill a shard", responses=GIVEN)
async def put_fill(balancer: BalancerDep, who: WhoDep, shard: ShardPath) -> BalancerOrders:
    """For a shard that has been added: moves go onto such shards only, until they have their share of the load."""
    return orders_out(await balancer.change_orders(OrdersChange(who, filling={shard: True})))


@router.delete("/fills/{shard:path}", summary="Stop filling a shard", responses=GIVEN)
async def delete_fill(balancer: BalancerDep, who: WhoDep, shard: ShardPath) -> BalancerOrders:
    """Moves may go onto any shard again, if no other one is being filled."""
    return orders_out(await balancer.change_orders(OrdersChange(who, filling={shard: False})))
