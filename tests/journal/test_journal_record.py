"""The record on real databases, and the one in memory beside it: what is asked for is found, in order, page by page."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import pytest
from sqlalchemy import event

from plb_ray.control.memory_record import MemoryAudit, MemoryEffects
from plb_ray.domain.audit import AuditEntry, AuditQuery, DecisionQuery
from plb_ray.domain.effects import EffectQuery, EffectState, MoveEffect, Promise, Realised
from plb_ray.journal.journal import open_journal
from plb_ray.journal.retention import Retention

PROMISE = Promise("cpu_cores", (0.0, 60.0), (60.0, 60.0), (0.3, 0.4), (0.25, 0.35), (6.0, 12.0), 1.2, 0.8, 0.4, 0.7, 2.5)
EFFECT = MoveEffect("7-a", 7, 0, 0.0, "a ☕", "s0", "s1", foreseen=True, promise=PROMISE)
ENTRY = AuditEntry(0, 100.0, "balancer", "", "migration.sent", "7-a", "sent", "s0 -> s1, because 'quoted'")


@pytest.fixture(params=["journal", "memory"])
async def kept(request, tmp_path):
    """The two that keep a record: the effects, and the audit log."""
    if request.param == "memory":
        yield MemoryEffects(), MemoryAudit()
        return
    opened = await open_journal(tmp_path / "journal.sqlite")
    yield opened.effects, opened.audit
    await opened.close()


def document(number, *moves):
    return {
        "number": number,
        "moves": [{"move": {"order_param": name}, "admission": admission} for name, admission in moves],
    }


async def numbers(journal, **query):
    return [found["number"] for found in await journal.decisions.find(DecisionQuery(**query))]


async def test_decisions_are_found_by_what_was_decided(journal):
    """By time, by order param, by what became of its move, by having moves at all; the conditions hold together."""
    for number, moves in enumerate(
        [(), (("a", "admitted"), ("b", "deferred")), (("b", "admitted"),), (), (("a", "deferred"),)]
    ):
        await journal.decisions.append(number, 60.0 * number, document(number, *moves))
    assert await numbers(journal) == [4, 3, 2, 1, 0]
    assert await numbers(journal, limit=2, before=4) == [3, 2]
    assert await numbers(journal, since_s=60.0, until_s=180.0) == [2, 1]
    assert await numbers(journal, with_moves=True) == [4, 2, 1]
    assert await numbers(journal, order_param="a") == [4, 1]
    assert await numbers(journal, admission="admitted") == [2, 1]
    assert await numbers(journal, order_param="a", admission="admitted") == [1]
    assert await numbers(journal, order_param="b", admission="admitted") == [2]
    assert await numbers(journal, order_param="a", since_s=120.0) == [4]
    assert await journal.decisions.get(2) == document(2, ("b", "admitted"))
    assert await journal.decisions.get(9) is None


async def test_a_decision_that_is_made_again_is_found_by_its_last_moves(journal):
    """After an interrupted tick the same number replaces the decision, and the moves that it is found by."""
    await journal.decisions.append(1, 0.0, document(1, ("a", "admitted")))
    await journal.decisions.append(1, 0.0, document(1, ("b", "admitted")))
    assert (await numbers(journal, order_param="a"), await numbers(journal, order_param="b")) == ([], [1])


async def test_a_page_is_read_by_an_index(tmp_path):
    """Of many decisions the statements of the filters scan none but by an index, so that a page costs a page."""
    opened = await open_journal(tmp_path / "journal.sqlite")
    statements = []
    event.listen(opened._worker._engine, "before_cursor_execute", lambda *seen: statements.append((seen[2], seen[3])))
    for query in ({}, {"order_param": "a"}, {"admission": "admitted", "before": 9}, {"with_moves": True}, {"since_s": 1.0}):
        await opened.decisions.find(DecisionQuery(**query))
    await opened.audit.find(AuditQuery(who="a", before=5))
    await opened.effects.find(EffectQuery(order_param="a"))
    await opened.close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        for statement, values in statements:
            if statement.startswith("SELECT"):
                plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values))
                assert "USE TEMP B-TREE" not in plan, (statement, plan)
    connection.close()
    assert sum(statement.startswith("SELECT") for statement, _ in statements) == 7


async def test_an_effect_comes_back_whole(kept):
    """What was put is read with every field, pending in the order of sending, and the same migration again replaces it."""
    effects, _ = kept
    second = replace(EFFECT, migration_id="7-b", place=1, order_param="b")
    await effects.put([second, EFFECT])
    assert await effects.pending() == (EFFECT, second)
    came = Realised(2, 60.0, 15.0, 18.0, 30.0, 36.0, 1.1, 0.7, 0.6, 2.0, 11.5, 2**40, 2**33)
    settled = replace(EFFECT, realised=came, state=EffectState.SETTLED, why="")
    await effects.put([settled])
    assert await effects.pending() == (second,)
    assert await effects.find(EffectQuery()) == (second, settled)
    assert await effects.find(EffectQuery(order_param="a ☕")) == (settled,)
    assert await effects.find(EffectQuery(decision=7, limit=1)) == (second,)
    assert await effects.find(EffectQuery(decision=6)) == ()


async def test_the_audit_log_is_numbered_and_filtered(kept):
    """Entries get rising numbers; who, action, time and place in the log narrow, newest first, or oldest first after one."""
    _, audit = kept
    people = replace(ENTRY, who="ada", role="operator", action="orders.changed", at_s=200.0)
    await audit.append([ENTRY, people])
    await audit.append([replace(ENTRY, action="migration.ended", at_s=300.0)])
    found = await audit.find(AuditQuery())
    first = found[-1].number
    assert [each.number - first for each in found] == [2, 1, 0]
    assert replace(found[1], number=0) == people
    assert [each.at_s for each in await audit.find(AuditQuery(action="migration"))] == [300.0, 100.0]
    assert [each.at_s for each in await audit.find(AuditQuery(action="migration.sent"))] == [100.0]
    assert await audit.find(AuditQuery(action="migrat")) == ()
    assert [each.at_s for each in await audit.find(AuditQuery(who="ada"))] == [200.0]
    assert [each.at_s for each in await audit.find(AuditQuery(since_s=200.0, until_s=300.0))] == [200.0]
    assert [each.at_s for each in await audit.find(AuditQuery(before=first + 2, limit=1))] == [200.0]
    assert [each.at_s for each in await audit.find(AuditQuery(after=first, limit=5))] == [200.0, 300.0]


async def test_the_record_is_pruned(journal):
    """Moves and settled effects go with their decision, pending ones stay; the log goes by age, its newest entry never."""
    for number in range(6):
        await journal.decisions.append(number, 60.0 * number, document(number, ("a", "admitted")))
        state = EffectState.PENDING if number == 1 else EffectState.SETTLED
        await journal.effects.put([replace(EFFECT, migration_id=f"{number}-a", decision=number, state=state)])
        await journal.audit.append([replace(ENTRY, at_s=60.0 * number)])
    await journal.prune(Retention(keep_s=100.0, chunk=2), now_s=1000.0)
    assert await numbers(journal, order_param="a") == [5, 4]
    assert [each.decision for each in await journal.effects.find(EffectQuery())] == [5, 4, 1]
    (left,) = await journal.audit.find(AuditQuery())
    assert left.at_s == 300.0
    await journal.audit.append([ENTRY])
    assert (await journal.audit.find(AuditQuery()))[0].number > left.number


async def test_decisions_of_earlier_releases_are_found_by_their_moves(tmp_path):
    """A journal that an earlier release wrote is indexed when it is opened."""
    path = tmp_path / "journal.sqlite"
    opened = await open_journal(path)
    await opened.close()
    with sqlite3.connect(path) as connection:
        for table in ("decision_moves", "effects", "audit", "standing_orders", "saved_plans"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP INDEX decisions_by_time")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
        kept = [(number, 0.0, json.dumps(document(number, ("a", "admitted")))) for number in (3, 4)]
        connection.executemany("INSERT INTO decisions VALUES (?, ?, ?)", [*kept, (5, 0.0, '{"number": 5}')])
    connection.close()
    opened = await open_journal(path)
    assert await numbers(opened, order_param="a", admission="admitted") == [4, 3]
    await opened.close()
