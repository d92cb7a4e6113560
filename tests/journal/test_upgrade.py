"""Journals of every released version are opened, upgraded and read. `data/NNNN.sql` is what that version's code wrote."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from plb_ray.domain.mapping import Placement
from plb_ray.domain.migration import MigrationMode, MigrationStep
from plb_ray.journal.journal import open_journal
from plb_ray.migration.ports import ProducerState

DATA = Path(__file__).parent / "data"
ODD = "café ☕ 'quoted'; --"
EVERY_STEP = [step for step in MigrationStep if step is not MigrationStep.ABORTED]


@pytest.fixture(params=sorted(DATA.glob("*.sql")), ids=lambda path: path.stem)
async def old(request, tmp_path):
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(request.param.read_text(encoding="utf-8"))
    connection.close()
    opened = await open_journal(path)
    yield opened
    await opened.close()


async def test_a_finished_migration_has_its_timeline(old):
    """The history of a migration has every step in order; what older releases did not note has its default."""
    history = await old.history("84-JFK-LAX")
    assert [record.step for record in history] == EVERY_STEP
    assert [record.messages_copied for record in history] == [0, 41, 82, 123, 123, 123, 123, 123]
    done = history[-1]
    assert done == await old.get("84-JFK-LAX")
    assert (done.pause_ms, done.bytes_copied, done.finished_s) == (11.75, 3 * 2**33, 1760000000.75)
    assert (done.mode, done.at_s, done.lag_messages, done.eta_s) == (MigrationMode.COPY, 0.0, 0, None)


async def test_a_seal_is_taken_up_as_it_was_given(old):
    """A seal record of an older release is one of a migration that copies and leaves nothing behind."""
    seal = await old.sealed("84-JFK-LAX")
    assert (seal.epoch, seal.final_seq, seal.acked_seq, seal.delivered_seq) == (2, 2**40, 2**40 - 7, 2**40 - 2)
    assert seal.producers == (ProducerState("p", 3, 2**40), ProducerState("q\n", 1, 8))
    assert (seal.chained, seal.behind, seal.holder, seal.hold_no) == (False, False, "", 0)


async def test_unfinished_and_aborted_ones_are_known(old):
    """The migration under way is found for recovery, at its step and with its seal; the rolled back one says why."""
    (unfinished,) = await old.unfinished()
    assert (unfinished.migration_id, unfinished.order_param, unfinished.step) == ("85-café ☕", ODD, MigrationStep.SEALED)
    assert (await old.sealed("85-café ☕")).final_seq == 9
    assert [(record.step.value, record.error) for record in await old.history("api-1")] == [
        ("prepare", ""),
        ("prepare", "copy backlog failed: no answer"),
        ("aborted", "copy backlog failed: no answer"),
    ]
    assert [record.migration_id for record in await old.recent(2)] == ["85-café ☕", "api-1"]


async def test_mapping_and_decisions_are_kept(old):
    """Placements keep shard and epoch and rotate over nothing; decisions keep their numbers; no shard counts as surveyed."""
    mapping = await old.mapping.load()
    assert (mapping.generation, set(mapping.placements)) == (4, {"JFK-LAX", "tenant/7/orders", ODD})
    assert mapping.placements["JFK-LAX"] == Placement("JFK-LAX", ("shard-1",), 2, ())
    assert await old.mapping.surveyed() == frozenset()
    assert (await old.decisions.count(), (await old.decisions.latest())["number"]) == (3, 2)
    assert old.takeovers == 1


async def test_an_upgraded_journal_is_written_as_a_new_one(old):
    """After the upgrade the fields of this release are stored beside the older rows."""
    await old.mapping.note_surveyed(frozenset({"shard-1"}))
    first = await old.get("84-JFK-LAX")
    await old.write(first)
    assert (await old.history("84-JFK-LAX"))[-1] == first
    chained = Placement("JFK-LAX", ("shard-1", "shard-2"), 3, ("shard-1", "shard-2"))
    assert await old.mapping.compare_and_set("JFK-LAX", 2, chained) == chained
    assert (await old.mapping.load()).placements["JFK-LAX"] == chained
