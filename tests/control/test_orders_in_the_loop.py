"""Orders and plans in the control loop, over a queue in memory; and what a second loop takes up from the first's journal."""

import asyncio
from dataclasses import replace

import pytest
from a_queue import HandClock, MemoryQueue
from test_control_loop import RATE_PER_SHARD, START_S, STEADY, STEP_S, BaselinePool

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.auto_mode import ChampionStanding
from plb_ray.control.loop import ControlLoop
from plb_ray.control.orders import OrdersChange
from plb_ray.control.orders_port import PlanAct, PlanQuery, PlanSave
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.control.saved_plans import LEGAL, PlanEvent, PlanState
from plb_ray.control.views import Admission, Basis, Mode
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.errors import NoPlanError, PlanConflictError, UnknownPlanError
from plb_ray.history.store import HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.journal.journal import open_journal
from plb_ray.journal.retention import Retention
from plb_ray.settings import BalancerSettings
from tests.service.orders_contract import OrdersContract

SETTINGS = BalancerSettings("predictive", approval_expires_s=36_000.0, step_s=STEP_S, headroom=0.8, solver_budget_s=2.0)
ADA = "ada"


class Champions:
    """Says who serves, as the test wants."""

    def __init__(self):
        self.of = {}

    def standing(self, horizon):
        return self.of.get(horizon, ChampionStanding())


class World:
    """A queue that lives on, and loops over one journal, one after the other."""

    def __init__(self, folder, settings=SETTINGS, shards=("s0", "s1")):
        self.folder, self.settings = folder, settings
        self.clock = HandClock(START_S)
        self.queue = MemoryQueue(self.clock, {"a": "s0", "b": "s0", "c": "s1"}, shards, RATE_PER_SHARD)
        self.champions = Champions()
        self.journal = self.history = self.loop = None

    async def start(self):
        """Begin a life: what was in memory is gone, what is on disk is there."""
        await self.stop()
        self.journal = await open_journal(self.folder / "journal.sqlite")
        self.history = HistoryStore.open(self.folder / "history", STEP_S)
        kept = (self.history, self.journal.decisions, self.clock, CalendarStore(self.folder))
        parts = Parts(
            *(self.queue, BaselinePool(), CompositePlanner(), PlanVerifier(), *kept),
            orders=self.journal.orders,
            plans=self.journal.plans,
            champions=self.champions,
        )
        self.loop = ControlLoop(parts, self.settings, Surroundings("memory:queue", 2000, 3600.0, 3))

    async def stop(self):
        if self.journal is not None:
            await self.journal.close()
            self.history.close()

    async def steps(self, count, messages=STEADY):
        """Tick, then let `count` steps pass with these messages, and tick at the end of each; return the last decision."""
        decision = await self.tick()
        for _ in range(count):
            self.queue.arrive(messages)
            self.clock.at_s += STEP_S
            decision = await self.tick()
        return decision

    async def tick(self):
        decision = await self.loop.tick()
        for _ in range(3):
            await asyncio.sleep(0)  # what was sent begins, and is over: migrations here take no time
        return decision

    async def order(self, **change):
        return await self.loop.change_orders(OrdersChange(ADA, **change))

    async def states(self):
        return [plan.state.value for plan in await self.loop.plans(PlanQuery())]


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    await made.start()
    yield made
    await made.stop()


class TestTheLoop(OrdersContract):
    """The loop holds what every balancer must."""

    @pytest.fixture
    async def balancer(self, world):
        await world.steps(1)
        return world.loop


# ---- standing orders


async def test_orders_survive_a_restart(world):
    """What was ordered stands in the next life, with who ordered it and when; taken back it is gone for good."""
    group = {"g": frozenset({"a", "c"})}
    change = {"mode": Mode.RELIEF, "paused": True, "pins": {"a": True}, "spread_groups": group, "draining": {"s1": True}}
    ordered = await world.order(**change, forbidden={"b": frozenset({"s1"})}, approval=True)
    await world.start()
    assert await world.loop.orders() == ordered
    assert (ordered.changed_by, ordered.changed_at_s) == (ADA, START_S)
    await world.order(as_configured=True, paused=False, pins={"a": False}, draining={"s1": False})
    await world.start()
    after = (await world.loop.orders()).orders
    assert (after.mode, after.paused, after.pinned, after.draining) == (Mode.PREDICTIVE, False, frozenset(), frozenset())
    assert after.spread_groups == group


async def test_orders_that_cannot_be_read_pause_the_balancer(world):
    """What is damaged might have forbidden anything: nothing is sent, the status says why, and orders can be given anew."""
    await world.journal.orders.write({"orders": {"forbidden": 7}, "mode": None})
    await world.start()
    await world.steps(5)
    status = await world.loop.status()
    assert status.paused
    assert "cannot be read" in status.last_error
    assert world.queue.records == []
    await world.order(paused=False)
    await world.steps(1)
    assert world.queue.records
    assert (await world.loop.status()).last_error == ""


async def test_a_paused_balancer_sends_nothing_until_it_is_resumed(world):
    """Overload stays while it is paused, also over a restart, and is relieved when it is resumed."""
    await world.order(paused=True)
    await world.steps(5)
    await world.start()
    decision = await world.steps(1)
    assert (world.queue.records, decision.moves) == ([], ())
    assert (await world.loop.status()).paused
    await world.order(paused=False)
    await world.steps(1)
    assert len(world.queue.records) == 1


async def test_a_mode_that_is_ordered_counts_from_the_next_tick(world):
    """Under forecast_only the plan is shown and forbidden; under static there is none; predictive sends it."""
    await world.order(mode=Mode.FORECAST_ONLY)
    decision = await world.steps(5)
    assert {each.admission for each in decision.moves} == {Admission.MODE_FORBIDS}
    await world.order(mode=Mode.STATIC)
    assert await world.steps(1) is None
    await world.order(mode=Mode.PREDICTIVE)
    await world.steps(1)
    assert len(world.queue.records) == 1


async def test_a_drained_shard_is_seen_to_be_empty(world):
    """Drained, it is shown as draining with nothing on it, and takes nothing although the other one is over."""
    await world.steps(3, dict.fromkeys("abc", 60))
    await world.order(draining={"s1": True})
    await world.steps(2, dict.fromkeys("abc", 60))
    await world.steps(4)
    views = {shard.shard_id: shard for shard in (await world.loop.status()).shards}
    assert (views["s1"].draining, views["s1"].order_params, views["s1"].backlog) == (True, 0, 0)
    assert not views["s0"].draining
    assert {record.destination for record in world.queue.records} == {"s0"}


# ---- auto


async def test_auto_acts_when_a_champion_has_proved_itself(tmp_path):
    """Until then it sends nothing, and says what is missing; once it has, that holds over a restart and a demotion."""
    world = World(tmp_path, replace(SETTINGS, mode="auto"))
    await world.start()
    decision = await world.steps(5)
    status = await world.loop.status()
    assert (status.mode, decision.mode) == (Mode.FORECAST_ONLY, Mode.FORECAST_ONLY)
    assert "the backtest has not passed yet" in status.mode_why
    assert {each.admission for each in decision.moves} == {Admission.MODE_FORBIDS}
    world.champions.of["short"] = ChampionStanding(serving=1, learnt_s=2 * 86_400.0)
    await world.steps(1)
    status = await world.loop.status()
    assert status.mode is Mode.PREDICTIVE
    assert "a champion serves" in status.mode_why
    assert len(world.queue.records) == 1
    world.champions.of["short"] = ChampionStanding(demoted=1, reason="it was worse")
    await world.start()
    assert (await world.steps(1)).mode is Mode.PREDICTIVE
    await world.stop()


async def test_a_demoted_champion_leaves_what_was_measured(world):
    """Decisions say whose fault it is and relieve measured overload; with a new champion the forecast counts."""
    world.champions.of["short"] = ChampionStanding(demoted=1, reason="worse than the seasonal naive")
    decision = await world.steps(5)
    assert decision.basis is Basis.MEASURED
    assert any("the short champion was demoted (worse than the seasonal naive)" in note for note in decision.notes)
    assert len(world.queue.records) == 1
    world.champions.of["short"] = ChampionStanding(serving=1, learnt_s=86_400.0)
    assert (await world.steps(1)).basis is Basis.FORECAST


# ---- plans that wait for people


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


# ---- what a predecessor has left


async def test_a_restart_does_not_free_what_was_just_moved(world):
    """The next life knows the move, its cooldown, and the hour's budget; a move that never arrived is free."""
    await world.steps(2)
    (record,) = world.queue.records
    before = world.loop._memory
    await world.start()
    await world.loop.orders()
    after = world.loop._memory
    assert after.latest == before.latest
    assert (after.sent_s, after.moves) == (before.sent_s, before.moves)
    assert record.order_param in after.cooling(world.clock.at_s, SETTINGS.damping.cooldown_s)
    world.queue.owners[record.order_param] = record.source
    await world.start()
    await world.loop.orders()
    assert world.loop._memory.latest == {}


async def test_the_lead_time_is_what_migrations_took(world):
    """Situations carry the 95th percentile of the measured migrations: from their order until their destination served."""
    for number in range(20):
        took_s = 2.0 if number else 40.0
        started_s = START_S + number
        world.loop._parts.meter.note(
            MigrationRecord(f"m{number}", "a", "s0", "s1", 1, MigrationStep.MAPPED, "", started_s, at_s=started_s + took_s)
        )
    await world.steps(1)
    assert world.loop._situation(world.loop._seen, world.loop._outlook).lead_s == pytest.approx(2.0)
    world.loop._surroundings = replace(world.loop._surroundings, speed=60.0)
    assert world.loop._situation(world.loop._seen, world.loop._outlook).lead_s == pytest.approx(120.0)
