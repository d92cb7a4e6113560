"""The record of the real control loop over a queue in memory, in a real journal: written, asked for, after a restart."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
from a_queue import HandClock, MemoryQueue
from test_control_loop import RATE_PER_SHARD, START_S, STEADY, STEP_S, BaselinePool

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.clock import wall_time_s
from plb_ray.control.damping import Memory
from plb_ray.control.inputs import NAMES_MOST, SHARDS_MOST, inputs_of
from plb_ray.control.loop import ControlLoop
from plb_ray.control.migration_meter import MigrationMeter
from plb_ray.control.orders import Orders
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.control.ports import ProvidedShard
from plb_ray.control.scribe import NotingKeeper, NotingProvider, Scribe
from plb_ray.control.situation import Situation
from plb_ray.control.stating import course_of
from plb_ray.control.views import Admission, AdmittedMove
from plb_ray.domain.audit import AuditQuery, DecisionQuery
from plb_ray.domain.effects import EffectQuery, EffectState
from plb_ray.domain.load import RESOURCES, ResourceVector, Shard
from plb_ray.domain.plan import Move
from plb_ray.errors import BadInputError, RetryableError
from plb_ray.estimate.cost_keeper import CostKeeper
from plb_ray.history.store import HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.journal.journal import open_journal
from plb_ray.settings import BalancerSettings
from tests.service.record_contract import RecordContract

SETTINGS = BalancerSettings(step_s=STEP_S, mode="predictive", headroom=0.8, solver_budget_s=2.0)


class Kept:
    """A loop over a journal, and the queue that goes on when the loop is restarted."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = HandClock(START_S)
        owners = {"a": "s0", "b": "s0", "c": "s1"}
        self.queue = MemoryQueue(self.clock, owners, ("s0", "s1"), RATE_PER_SHARD)

    @asynccontextmanager
    async def loop(self):
        """Yield a loop as `service.wiring` puts it together, and close it after the block."""
        meter = MigrationMeter(lambda: 0.0)
        journal = await open_journal(self.folder / "journal.sqlite", meter.note)
        history = HistoryStore.open(self.folder, STEP_S)
        scribe, costs = Scribe(journal.audit, wall_time_s), CostKeeper(self.folder / "costs.npz")
        meter.follow(scribe.migration_step)
        parts = Parts(
            queue=self.queue,
            pool=BaselinePool(),
            planner=CompositePlanner(),
            checker=PlanVerifier(),
            history=history,
            decisions=journal.decisions,
            clock=self.clock,
            events=CalendarStore(self.folder),
            meter=meter,
            effects=journal.effects,
            scribe=scribe,
            costs=costs,
        )
        loop = ControlLoop(parts, SETTINGS, Surroundings("memory:queue", 2000, 3600.0, 3))
        loop._next_number = await journal.decisions.count()
        try:
            yield loop
        finally:
            await costs.close()
            await scribe.close()
            history.close()
            await journal.close()

    async def steps(self, loop, count, messages):
        """Let `count` steps pass, each with these messages, and tick at each end."""
        for _ in range(count):
            await loop.tick()
            await asyncio.sleep(0)
            self.queue.arrive(messages)
            self.clock.at_s += STEP_S
        await loop.tick()
        await asyncio.sleep(0)


@pytest.fixture
async def balancer(tmp_path):
    kept = Kept(tmp_path)
    async with kept.loop() as loop:
        await kept.steps(loop, 6, STEADY)
        yield loop


class TestTheLoopsRecord(RecordContract):
    """The loop in this process holds what every balancer must."""


async def test_a_decision_holds_what_it_was_made_from(balancer):
    """Of the decision that moved: shares of both shards, the peak above the headroom, orders and memory."""
    (document,) = await balancer.decisions(DecisionQuery(admission="admitted"))
    inputs = document["inputs"]
    assert inputs["shards"]["shard_ids"] == ["s0", "s1"]
    assert inputs["shards"]["now"] == pytest.approx([0.9, 0.2], abs=0.01)
    assert inputs["shards"]["peak"][0] > inputs["headroom"] == 0.8
    assert (inputs["order_params"], inputs["step_end_s"]) == (3, inputs["first_step_s"])
    assert inputs["orders"]["pinned"] == {"some": [], "count": 0}
    assert inputs["memory"]["ratio"] == 1.0
    moved = document["moves"][0]["move"]["order_param"]
    assert (await balancer.decisions(DecisionQuery(order_param=moved)))[0] == document
    assert json.loads(json.dumps(document)) == document


async def test_what_a_move_promised_is_held_against_what_came(balancer):
    """The overload was to be taken away; the traffic came as before, and it was. The status tells what that teaches."""
    (effect,) = await balancer.effects(EffectQuery())
    assert effect.state is EffectState.SETTLED
    assert effect.realised.steps >= 1
    assert effect.realised.taken_s == pytest.approx(effect.realised.steps * 0.1 * STEP_S, rel=0.02)
    assert effect.realised.source_without == pytest.approx(0.9, abs=0.01)
    assert effect.realised.source < 0.8
    assert effect.realised.pause_ms == 1.0
    experience = (await balancer.status()).experience
    assert experience.moves == 1.0
    assert experience.move_cost_s > 0


async def test_the_loop_writes_down_what_it_does(balancer):
    """Decision, migration sent and ended, in their order, by the balancer; a decision without moves is no entry."""
    found = await balancer.audit_log(AuditQuery(after=0))
    assert [each.action for each in found] == ["decision.made", "migration.sent", "migration.ended"]
    decision, sent, ended = found
    assert {each.who for each in found} == {"balancer"}
    assert decision.outcome == "1 of 1 moves sent"
    assert sent.target == ended.target == f"{decision.target}-{balancer._parts.queue.records[0].order_param}"
    assert ended.outcome == "done"
    assert "s0 -> s1" in sent.detail


async def test_after_a_restart_nothing_is_forgotten(tmp_path):
    """A new process finds the pending promise, the experience, and the same costs and bands; and goes on from there."""
    kept = Kept(tmp_path)
    async with kept.loop() as loop:
        await kept.steps(loop, 6, STEADY)
        costs, experience = await loop.costs("", 10, 0), (await loop.status()).experience
        assert costs.items[0].messages > 0
    async with kept.loop() as loop:
        await loop.tick()
        assert await loop.costs("", 10, 0) == costs
        assert (await loop.status()).experience == experience
        numbers = [each["number"] for each in await loop.decisions(DecisionQuery(limit=100))]
        assert numbers == list(range(numbers[0], -1, -1))
        await kept.steps(loop, 2, STEADY)
        assert (await loop.cost("a")).messages > costs.items[0].messages


async def test_damaged_costs_are_told_in_the_status_and_the_log(tmp_path):
    """What is set aside is an entry and the status's error; learning begins anew."""
    (tmp_path / "costs.npz").write_bytes(b"not a zip")
    kept = Kept(tmp_path)
    async with kept.loop() as loop:
        await loop.tick()
        assert "set aside as costs.npz.damaged-1" in (await loop.status()).last_error
        (entry,) = await loop.audit_log(AuditQuery(action="costs"))
        assert (entry.action, entry.target) == ("costs.set_aside", "costs.npz.damaged-1")


def wide(order_params, shards):
    """Return a situation of many shards, filled from none to full."""
    load = np.zeros((order_params, len(RESOURCES)))
    load[:, 0] = np.arange(order_params) / order_params
    names = tuple(f"order-param-{number:06}" for number in range(order_params))
    all_shards = tuple(Shard(f"shard-{number:04}", "", ResourceVector(1.0)) for number in range(shards))
    owner = np.arange(order_params) * shards // order_params
    moving = dict.fromkeys(names[:100], "shard-0001")
    return Situation(6e8, STEP_S, names, all_shards, frozenset(), owner, load, None, moving)


def test_inputs_are_bounded_whatever_the_size():
    """Of 1,000 shards the fullest 200 are kept and those that moves touch; lists of names are cut; under 16 KB of JSON."""
    situation = wide(1000, 1000)
    moves = [Move("order-param-000000", "shard-0000", "shard-0005", "")]
    orders = Orders(pinned=frozenset(situation.order_params))
    inputs = inputs_of(course_of(situation, None), moves, orders, Memory(), SETTINGS)
    assert len(inputs.shards.shard_ids) == SHARDS_MOST + 2
    assert {"shard-0000", "shard-0005", "shard-0999"} <= set(inputs.shards.shard_ids)
    assert inputs.shards.left_out == 1000 - SHARDS_MOST - 2
    assert inputs.shards.left_out_peak <= min(inputs.shards.peak[:SHARDS_MOST])
    assert (len(inputs.orders.pinned.some), inputs.orders.pinned.count) == (NAMES_MOST, 1000)
    assert (len(inputs.moving.some), inputs.moving.count) == (NAMES_MOST, 100)
    assert len(json.dumps(asdict(inputs))) < 16_000


class Refusing:
    """A log that refuses until it is told otherwise."""

    def __init__(self):
        self.refuse = True
        self.kept = []

    async def append(self, entries):
        if self.refuse:
            raise RetryableError("the journal's database failed: disk full")
        self.kept += entries


async def test_entries_wait_until_the_log_takes_them():
    """Nothing is lost while the journal does not answer, the order stays, and that it waits is told."""
    log = Refusing()
    scribe = Scribe(log, lambda: 5.0)
    scribe.note("shard.started", "s1")
    await scribe.write()
    assert "disk full" in scribe.error
    await asyncio.to_thread(scribe.note, "shard.left", "s1")
    await asyncio.sleep(0.01)
    log.refuse = False
    await scribe.close()
    assert [each.action for each in log.kept] == ["shard.started", "shard.left"]
    assert (scribe.error, log.kept[0].at_s) == ("", 5.0)


async def test_what_is_noted_elsewhere_is_written_in_the_background():
    """After the first write a note from a thread reaches the log without anybody asking for it."""
    log = Refusing()
    log.refuse = False
    scribe = Scribe(log, lambda: 5.0)
    await scribe.write()
    await asyncio.to_thread(scribe.note, "champion.demoted", "short")
    async with asyncio.timeout(5):
        while not log.kept:  # noqa: ASYNC110  nothing to wait for
            await asyncio.sleep(0)
    assert log.kept[0].target == "short"


async def test_shards_and_champions_that_come_and_go_are_entries():
    """Started, drained, kept, left, demoted; a start that failed says why, and the error goes on to who asked."""

    class Provider:
        async def shards(self):
            return (ProvidedShard("s9", "standard"),)

        async def scale_out(self, count, shard_type):  # noqa: ARG002  the port's
            if shard_type == "huge":
                raise BadInputError("there is no type 'huge'")
            return ("s9",)

        async def drain(self, shard_id): ...
        async def keep(self, shard_id): ...
        async def remove(self, shard_id):
            return shard_id == "s9"

    class Keeper:
        def demote(self, horizon, reason, at_s): ...

    log = Refusing()
    log.refuse = False
    scribe = Scribe(log, lambda: 5.0)
    provider = NotingProvider(Provider(), scribe)
    assert (await provider.shards())[0].shard_id == "s9"
    assert await provider.scale_out(1, "standard") == ("s9",)
    await provider.drain("s9")
    await provider.keep("s9")
    assert not await provider.remove("s8")
    assert await provider.remove("s9")
    with pytest.raises(BadInputError):
        await provider.scale_out(2, "huge")
    NotingKeeper(Keeper(), scribe).demote("short", "worse than the seasonal naive", 1.0)
    await scribe.close()
    assert [(each.action, each.target, each.outcome) for each in log.kept] == [
        ("shard.started", "s9", "done"),
        ("shard.draining", "s9", "done"),
        ("shard.kept", "s9", "done"),
        ("shard.left", "s9", "done"),
        ("shard.started", "huge", "BAD_INPUT"),
        ("champion.demoted", "short", "the baseline serves"),
    ]


async def test_a_plan_that_stays_is_one_entry(balancer):
    """A decision that plans what the one before planned, and sends nothing, is not written down again; a changed one is."""
    shown, course = balancer._decision, course_of(wide(10, 10), None)
    move = Move("a", "s0", "s1", "because")
    before = len(await balancer.audit_log(AuditQuery(action="decision")))
    for admission in (Admission.DEFERRED, Admission.DEFERRED, Admission.NOT_WORTH_IT):
        await balancer._record.keep(replace(shown, moves=(AdmittedMove(move, admission),)), course)
    found = await balancer.audit_log(AuditQuery(action="decision"))
    assert [each.detail for each in found[: len(found) - before]] == ["not_worth_it: 1", "deferred: 1"]


async def test_a_decision_is_kept_whole_or_not_at_all(tmp_path):
    """When the journal does not take a decision, nothing is sent, and no entry says later that something was."""
    kept = Kept(tmp_path)
    async with kept.loop() as loop:
        await kept.steps(loop, 3, {})
        scribe = loop._parts.scribe
        log, scribe.log = scribe.log, Refusing()
        with pytest.raises(RetryableError):
            await kept.steps(loop, 6, STEADY)
        assert kept.queue.records == []
        scribe.log = log
        assert await loop.audit_log(AuditQuery(action="migration")) == ()
        await kept.steps(loop, 2, STEADY)
        assert [each.action for each in await loop.audit_log(AuditQuery(action="migration.sent"))] == ["migration.sent"]


async def test_a_decision_with_its_promises_and_entries_is_one_transaction(tmp_path):
    """What belongs together is committed together: one commit has all three."""
    kept = Kept(tmp_path)
    async with kept.loop() as loop:
        batches, worker = [], loop._parts.decisions._worker
        commit = worker._commit

        def counted(operations):
            batches.append([getattr(each, "func", each).__name__ for each in operations])
            return commit(operations)

        worker._commit = counted
        await kept.steps(loop, 6, STEADY)
    assert ["append_decision", "put_effects", "append_audit"] in batches
