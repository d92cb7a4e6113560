"""Standing orders and saved plans on real databases, and those in memory beside them."""

from __future__ import annotations

from plb_ray.control.memory_orders import MemoryOrders, MemoryPlans
from plb_ray.journal.retention import Retention

ODD = {"note": "café ☕ 'quoted'; --", "moves": [1, 2.5, None, True]}


async def orders_are_one_document(orders):
    assert await orders.read() is None
    for document in ({"a": 1}, ODD):
        await orders.write(document)
        assert await orders.read() == document


async def plans_are_numbered_found_and_replaced(plans):
    numbers = [await plans.add(state, 10.0, {"n": n}) for n, state in enumerate(["saved", "awaiting", "saved"])]
    assert numbers == [1, 2, 3]
    await plans.put(1, "executed", 20.0, ODD)
    assert await plans.get(1) == ODD
    assert await plans.get(4) is None
    assert [number for number, _ in await plans.find((), 10, 0)] == [3, 2, 1]
    assert await plans.find(("executed",), 10, 0) == ((1, ODD),)
    assert [number for number, _ in await plans.find(("saved", "awaiting"), 10, 0)] == [3, 2]
    assert [number for number, _ in await plans.find((), 1, 1)] == [2]


async def test_orders(journal):
    """There are none at first; the last document that was written is read, here and in memory."""
    for orders in (journal.orders, MemoryOrders()):
        await orders_are_one_document(orders)


async def test_plans(journal):
    """Numbers grow from 1; a page comes newest first, of the states asked for; a plan is replaced in its place."""
    for plans in (journal.plans, MemoryPlans()):
        await plans_are_numbered_found_and_replaced(plans)


async def test_ended_plans_are_forgotten_by_age(journal):
    """Chunk by chunk, those that ended too long before the newest; what is open, and the newest number, stay."""
    for number in range(50):
        await journal.plans.add("executed" if number else "saved", float(number), {"n": number})
    await journal.prune(Retention(keep_s=10.0, chunk=7), 1e9)
    assert [number for number, _ in await journal.plans.find((), 100, 0)] == [*range(50, 39, -1), 1]
    await journal.prune(Retention(keep_s=1e-9), 1e9)
    assert await journal.plans.add("saved", 100.0, {}) == 51
