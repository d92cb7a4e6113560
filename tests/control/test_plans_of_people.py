"""Plans that people look at, approve and run: in the control loop, over a queue in memory and a journal on disk."""

import asyncio
from dataclasses import replace

import pytest
from lives import ADA, SETTINGS, Lives

from plb_ray.control.orders_port import PlanAct, PlanQuery, PlanSave
from plb_ray.control.saved_plans import LEGAL, PlanEvent, PlanState
from plb_ray.control.views import Admission, Mode
from plb_ray.errors import NoPlanError, PlanConflictError, UnknownPlanError
from plb_ray.journal.retention import Retention


@pytest.fixture
async def world(tmp_path):
    made = Lives(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def waiting(world):
    """Order approval, let a plan come to wait, and return it."""
    await world.order(approval=True)
    await world.steps(5)
    (plan,) = await world.loop.plans(PlanQuery((PlanState.AWAITING,)))
    return plan


async def test_a_plan_waits_for_approval_and_is_sent_by_it(world):
    """Nothing moves before; the plan keeps its id while it does as much as a new one; approved, it is sent and executed."""
    plan = await waiting(world)
    decision = await world.steps(2)
    assert {each.admission for each in decision.moves} == {Admission.AWAITS_APPROVAL}
    assert [each.plan_id for each in await world.loop.plans(PlanQuery())] == [plan.plan_id]
    assert ((await world.loop.status()).plans_awaiting, world.queue.records) == (1, [])
    sent = await world.loop.approve_plan(PlanAct(plan.plan_id, ADA))
    assert sent.state is PlanState.EXECUTING
    await world.steps(1)
    done = await world.loop.plan(plan.plan_id)
    assert [event.state.value for event in done.history] == ["awaiting", "approved", "executing", "executed"]
    assert [event.who for event in done.history] == ["balancer", ADA, ADA, "balancer"]
    (record,) = world.queue.records
    assert record.order_param in {move.order_param for move in plan.plan.moves}


async def test_a_plan_carried_out_twice_changes_nothing_the_second_time(world):
    """Running and approving an executed plan again answers with the same plan, and sends nothing."""
    plan = await waiting(world)
    await world.order(approval=False)
    act = PlanAct(plan.plan_id, ADA)
    await world.loop.approve_plan(act)
    await world.steps(1)
    done = await world.loop.plan(plan.plan_id)
    for ask in (world.loop.execute_plan, world.loop.approve_plan):
        assert await ask(act) == done
    await world.steps(1)
    assert len(world.queue.records) == 1
    with pytest.raises(PlanConflictError, match="executed"):
        await world.loop.cancel_plan(act)


async def test_the_decision_that_carries_a_plan_out_names_it(world):
    """The record of decisions says which plan it was and who approved it."""
    plan = await waiting(world)
    await world.loop.approve_plan(PlanAct(plan.plan_id, ADA))
    decision = await world.loop.latest_decision()
    assert f"carries out {plan.plan_id}, approved by {ADA}" in decision.notes
    assert {each.admission for each in decision.moves} == {Admission.ADMITTED}


async def test_a_plan_that_does_not_hold_any_more_is_refused_with_reasons(world):
    """An order param that has moved meanwhile is named; nothing is sent, not even the moves that would still do."""
    plan = await waiting(world)
    (move,) = plan.plan.moves
    world.queue.owners[move.order_param] = move.destination
    world.queue.owners["c"] = "s0"
    await world.order(pins={move.order_param: True})
    world.queue.owners[move.order_param] = move.source
    refused = await world.loop.approve_plan(PlanAct(plan.plan_id, ADA))
    assert refused.state is PlanState.REFUSED
    assert move.order_param in refused.history[-1].why
    assert world.queue.records == []


async def test_a_plan_that_would_overload_now_is_refused(world):
    """The verifier looks at the load as it is now: what was good yesterday may be harm today."""
    plan = await waiting(world)
    (move,) = plan.plan.moves
    stays = next(name for name in ("a", "b") if name != move.order_param)
    await world.order(paused=True)
    await world.steps(6, {**dict.fromkeys("abc", 0), "c": 500, move.order_param: 200, stays: 0})
    await world.order(paused=False)
    refused = await world.loop.approve_plan(PlanAct(plan.plan_id, ADA))
    assert refused.state is PlanState.REFUSED
    assert "overload" in refused.history[-1].why
    assert world.queue.records == []


async def test_a_saved_plan_is_run_later(world):
    """In forecast_only people keep what a tick would do and run it themselves; if approval is ordered it waits first."""
    await world.order(mode=Mode.FORECAST_ONLY)
    await world.steps(5)
    saved = await world.loop.save_plan(PlanSave(ADA, "tonight", 7200.0))
    assert (saved.state, saved.note, saved.made.who) == (PlanState.SAVED, "tonight", ADA)
    await world.order(approval=True)
    act = PlanAct(saved.plan_id, ADA)
    assert (await world.loop.execute_plan(act)).state is PlanState.AWAITING
    with pytest.raises(PlanConflictError, match="waits for approval"):
        await world.loop.execute_plan(act)
    await world.steps(1)
    assert (await world.states()) == ["awaiting"]  # a tick does not end what people have put there
    assert (await world.loop.approve_plan(PlanAct(saved.plan_id, "grace"))).state is PlanState.EXECUTING
    await world.steps(1)
    assert (await world.loop.plan(saved.plan_id)).state is PlanState.EXECUTED
    assert len(world.queue.records) == 1


async def test_a_saved_plan_that_is_approved_may_be_run_though_approval_is_ordered(world):
    """Approval given beforehand counts, and sends nothing by itself."""
    await world.order(mode=Mode.FORECAST_ONLY, approval=True)
    await world.steps(5)
    saved = await world.loop.save_plan(PlanSave(ADA, "", 7200.0))
    act = PlanAct(saved.plan_id, ADA)
    assert (await world.loop.approve_plan(act)).state is PlanState.APPROVED
    assert world.queue.records == []
    assert (await world.loop.execute_plan(act)).state is PlanState.EXECUTING


async def test_nothing_to_save_is_said(world):
    """While nothing is over there is no plan to keep."""
    await world.steps(5, dict.fromkeys("abc", 60))
    with pytest.raises(NoPlanError):
        await world.loop.save_plan(PlanSave(ADA, "", 60.0))


async def test_plans_expire(world):
    """A plan whose time is over cannot be run; one that a tick has put before people makes room for the next."""
    plan = await waiting(world)
    await world.order(paused=True)
    world.clock.at_s += world.settings.approval_expires_s
    with pytest.raises(PlanConflictError, match="its time was over"):
        await world.loop.approve_plan(PlanAct(plan.plan_id, ADA))
    assert await world.states() == ["expired"]
    await world.order(paused=False)
    await world.steps(1)
    assert await world.states() == ["awaiting", "expired"]


async def test_a_plan_that_is_not_needed_any_more_does_not_wait_on(world):
    """When nothing needs to move, or approval is taken back, a tick's plan is over; the loop then acts by itself."""
    plan = await waiting(world)
    await world.order(approval=False)
    await world.steps(1)
    assert (await world.loop.plan(plan.plan_id)).state is PlanState.EXPIRED
    assert len(world.queue.records) == 1


async def test_a_paused_balancer_sends_no_plan_of_people_either(world):
    """Approving and running are refused while it is paused, and change nothing."""
    plan = await waiting(world)
    await world.order(paused=True)
    with pytest.raises(PlanConflictError, match="paused"):
        await world.loop.approve_plan(PlanAct(plan.plan_id, ADA))
    assert (await world.loop.plan(plan.plan_id)).state is PlanState.AWAITING
    assert (await world.loop.cancel_plan(PlanAct(plan.plan_id, ADA))).state is PlanState.CANCELLED
    assert (await world.loop.cancel_plan(PlanAct(plan.plan_id, ADA))).state is PlanState.CANCELLED


async def test_a_plan_goes_on_after_a_restart(world):
    """Of a plan with two moves and a budget of one per tick, the second is sent by the next life, and none twice."""
    world.settings = replace(SETTINGS, budget_moves=1)
    await world.start()
    await world.order(mode=Mode.FORECAST_ONLY, draining={"s0": True})
    world.loop._decider._settings = SETTINGS
    await world.steps(4, dict.fromkeys("abc", 60))
    saved = await world.loop.save_plan(PlanSave(ADA, "", 86_400.0))
    assert len(saved.plan.moves) == 2
    world.loop._decider._settings = world.settings
    assert (await world.loop.execute_plan(PlanAct(saved.plan_id, ADA))).state is PlanState.EXECUTING
    await asyncio.sleep(0.01)
    assert len(world.queue.records) == 1
    await world.start()
    await world.steps(3, dict.fromkeys("abc", 60))
    assert (await world.loop.plan(saved.plan_id)).state is PlanState.EXECUTED
    assert sorted(record.order_param for record in world.queue.records) == ["a", "b"]


async def test_unknown_plans_are_refused(world):
    """A plan that never was, or was pruned, is unknown; open ones and the newest are never pruned."""
    await waiting(world)
    saved = await world.loop.save_plan(PlanSave(ADA, "", 60.0))
    newer = await world.loop.save_plan(PlanSave(ADA, "", 1e6))
    await world.loop.cancel_plan(PlanAct(saved.plan_id, ADA))
    world.clock.at_s += 10_000.0
    await world.loop.cancel_plan(PlanAct(newer.plan_id, ADA))
    await world.journal.prune(Retention(keep_s=5_000.0), 0.0)
    with pytest.raises(UnknownPlanError):
        await world.loop.plan(saved.plan_id)
    assert (await world.loop.plan(newer.plan_id)).state is PlanState.CANCELLED


def test_only_what_is_open_goes_on():
    """Every state but the ended ones leads to one of them, and no ended one leads anywhere."""
    ended = {state for state in PlanState if state.ended}
    assert ended == {PlanState.EXECUTED, PlanState.CANCELLED, PlanState.EXPIRED, PlanState.REFUSED}
    for state in set(PlanState) - ended:
        assert LEGAL[state] & ended
    assert PlanEvent(0.0, PlanState.SAVED, ADA).why == ""
