"""Append, ack, import, drain as pure functions."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.holding import Hold, Nack
from plb_ray.queues.embedded.operations import (
    Ack,
    Append,
    BeginImport,
    Drain,
    Entry,
    ImportChunk,
    Now,
    Pause,
    Resume,
    Seal,
    forget,
)
from plb_ray.queues.embedded.ownership import Record
from plb_ray.queues.embedded.sealing import SealOrder

NOW = Now(10.0, 1000.0)
ACTIVE = Record("K", Ownership.ACTIVE, epoch=1)


def apply(entry, operation):
    """Return (answer, entry after)."""
    effect = operation(entry, NOW)
    return effect.result, Entry(effect.record, {**entry.producers, **effect.producers}), effect


def blocks(*bounds):
    """Blocks of 10 byte messages with these first and last sequences."""
    return [Block.appended(first, "p", first, (b"x" * 10,) * (last - first + 1), 1.0) for first, last in bounds]


def stored_by(effect):
    return [message for block in effect.blocks for message in block.messages()]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.sampled_from("pq"), st.integers(1, 12), st.integers(1, 5)), max_size=30))
def test_appends_are_gap_free_and_stored_once(calls):
    """Whatever producers repeat, overlap or skip, sequences have no gaps and each producer's number is stored once."""
    entry, stored = Entry(ACTIVE), []
    for producer, first, count in calls:
        payloads = tuple(b"%d" % number for number in range(first, first + count))
        known = entry.producers.get(producer, (0, 0))[0]
        append = Append(1, producer, first, payloads)
        if first > known + 1:
            with pytest.raises(errors.SequenceGapError) as caught:
                apply(entry, append)
            assert caught.value.last_seq == known
            continue
        (last_seq, duplicate), entry, effect = apply(entry, append)
        assert duplicate == (first + count - 1 <= known)
        assert last_seq == entry.producers[producer][1]
        stored += stored_by(effect)
    assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
    for producer in "pq":
        numbers = [one.producer_seq for one in stored if one.producer == producer]
        assert numbers == list(range(1, len(numbers) + 1))
    assert entry.record.bytes_total == sum(len(one.payload) for one in stored)


def test_repeated_append_answers_the_stored_sequence():
    """The retry of a stored batch changes nothing and answers where the batch is."""
    _, entry, _ = apply(Entry(ACTIVE), Append(1, "p", 1, (b"a", b"b")))
    _, entry, _ = apply(entry, Append(1, "q", 1, (b"c",)))
    answer, after, effect = apply(entry, Append(1, "p", 1, (b"a", b"b")))
    assert answer == (2, True)
    assert after.record == entry.record
    assert not effect.blocks


def test_partly_repeated_batch_stores_the_new_part():
    """Of a batch that overlaps what is stored only the rest is written, with its own numbers."""
    _, entry, _ = apply(Entry(ACTIVE), Append(1, "p", 1, (b"a", b"b")))
    answer, _, effect = apply(entry, Append(1, "p", 2, (b"b", b"c")))
    assert answer == (3, False)
    assert [(one.seq, one.producer_seq, one.payload) for one in stored_by(effect)] == [(3, 3, b"c")]


def test_acks_are_cumulative_and_bounded():
    """An older ack changes nothing; one beyond the last message is refused."""
    entry = Entry(replace(ACTIVE, last_seq=5))
    answer, entry, _ = apply(entry, Ack(1, 4))
    assert answer == 4
    answer, after, _ = apply(entry, Ack(1, 2))
    assert (answer, after.record) == (4, entry.record)
    with pytest.raises(errors.BadInputError):
        Ack(1, 6)(entry, NOW)


def test_lapsed_pause_takes_appends_again():
    """An append that comes after the lease's end is stored, and the record says ACTIVE."""
    paused = replace(ACTIVE, ownership=Ownership.PAUSED, migration_id="m", lease_until_s=10.0)
    _, entry, _ = apply(Entry(paused), Append(1, "p", 1, (b"a",)))
    assert entry.record.ownership is Ownership.ACTIVE
    with pytest.raises(errors.PausedError):
        Append(1, "p", 1, (b"a",))(Entry(replace(paused, lease_until_s=10.1)), NOW)


def test_imports_skip_what_is_there_and_follow_acks():
    """Repeated chunks add nothing; a chunk after a gap moves the floor, which says the rest was acknowledged."""
    entry = Entry(Record("K", Ownership.IMPORTING, epoch=2, migration_id="m"))
    first = ImportChunk("m", 1, blocks((5, 6)))
    answer, entry, _ = apply(entry, first)
    assert (answer, entry.record.acked_seq) == ((6, 2, 20), 4)
    answer, entry, _ = apply(entry, first)
    assert answer == (6, 0, 0)
    answer, entry, _ = apply(entry, ImportChunk("m", 1, blocks((6, 7))))
    assert (answer, entry.record.acked_seq) == ((7, 1, 10), 4)
    _, entry, _ = apply(entry, ImportChunk("m", 1, blocks((9, 9))))
    assert (entry.record.last_seq, entry.record.acked_seq) == (9, 8)


def test_chunk_with_a_hole_is_refused():
    """Within a chunk nothing may be missing."""
    entry = Entry(Record("K", Ownership.IMPORTING, epoch=2, migration_id="m"))
    with pytest.raises(errors.BadInputError):
        ImportChunk("m", 1, blocks((5, 5), (7, 7)))(entry, NOW)


def test_import_of_a_replaced_migration_is_refused():
    """Chunks of a migration that lost its hold are not mixed in."""
    entry = Entry(Record("K", Ownership.IMPORTING, epoch=2, migration_id="m2"))
    with pytest.raises(errors.MigrationConflictError):
        ImportChunk("m", 1, blocks((5, 5)))(entry, NOW)


def test_drain_deletes_only_what_its_migration_sealed():
    """An owner's messages and another migration's sealed ones are never drained."""
    sealed = replace(ACTIVE, ownership=Ownership.SEALED, epoch=2, migration_id="m", last_seq=9)
    assert Drain("m", 5)(Entry(sealed), NOW).trim == (9, 5)
    other = Drain("x", 5)(Entry(sealed), NOW)
    assert (other.result, other.trim) == (0, None)
    with pytest.raises(errors.MigrationConflictError):
        Drain("m", 5)(Entry(ACTIVE), NOW)


def test_what_an_early_answer_promised_and_is_not_there_is_copied_again():
    """A chunk after messages whose write has failed is refused: the hole does not say that they were acknowledged."""
    entry = Entry(Record("K", Ownership.IMPORTING, epoch=2, migration_id="m", last_seq=4))
    with pytest.raises(errors.RetryableError):
        ImportChunk("m", 1, blocks((7, 8)), after_seq=6)(entry, NOW)
    assert ImportChunk("m", 1, blocks((7, 8)), after_seq=4)(entry, NOW).record.acked_seq == 6


def test_what_need_not_wait_for_the_disk_says_so():
    """Chunks of a copy are answered early, a pause is not even written; resume, seal, appends and acks wait for the disk."""
    importing = Entry(Record("K", Ownership.IMPORTING, epoch=2, migration_id="m"))
    assert ImportChunk("m", 1, blocks((1, 2)))(importing, NOW).early
    pause = Pause("m", 1, 1000)(Entry(ACTIVE), NOW)
    assert pause.volatile
    seal = Seal(SealOrder("m", 1, ("b", "host:1"), 0))(Entry(pause.record), NOW)
    waiting = (Append(1, "p", 1, (b"a",)), Ack(1, 1), Nack(1, 1), Hold(1, "c", 7))
    effects = [step(Entry(replace(ACTIVE, last_seq=1)), NOW) for step in waiting]
    effects += [seal, Resume("m", seal.result)(importing, NOW), BeginImport("m", 1)(Entry(Record("K")), NOW)]
    assert not any(effect.early or effect.volatile for effect in effects)


PAUSED = replace(ACTIVE, ownership=Ownership.PAUSED, migration_id="m", lease_until_s=99.0, last_seq=7, acked_seq=2)


@pytest.mark.parametrize("chained", [False, True])
def test_seal_is_the_same_at_each_repeat(chained):
    """A repeated seal answers the same record, also after the tombstone was told of a newer owner, and splits nothing."""
    seal = Seal(SealOrder("m", 1, ("b", "host:1"), 5, "host:0", "c", 3, chained=chained))
    first, entry, effect = apply(Entry(PAUSED, {"p": (7, 7)}), seal)
    assert (effect.split is not None) == chained
    moved_on = Entry(replace(entry.record, moved_epoch=9, moved_to_shard="c"), entry.producers)
    again, _, repeated = apply(moved_on, Seal(SealOrder("m", 1, ("b", "host:1"), 7, "host:9", "d", 9, chained=not chained)))
    assert again == first
    assert repeated.split is None


def test_forget_ends_a_consumed_segment_only():
    """A trailing segment that has ended is wiped; anything else that the call happens to meet stays as it is."""
    trailing = replace(ACTIVE, ownership=Ownership.TRAILING, last_seq=7, acked_seq=7)
    ended = forget(Entry(trailing), NOW)
    assert (ended.result, ended.record, ended.wipe) == (True, Record("K"), True)
    for record in (replace(trailing, acked_seq=6), replace(ACTIVE, last_seq=7, acked_seq=7), Record("K")):
        kept = forget(Entry(record), NOW)
        assert (kept.result, kept.record, kept.wipe) == (False, record, False)


def test_nack_acknowledges_what_is_before():
    """A negative acknowledgement moves the cursor to just before its message, never back, and names a stored message."""
    entry = Entry(replace(ACTIVE, last_seq=7, acked_seq=2))
    assert apply(entry, Nack(1, 5))[0] == 4
    assert apply(entry, Nack(1, 2))[0] == 2
    for seq in (0, 8):
        with pytest.raises(errors.BadInputError):
            Nack(1, seq)(entry, NOW)


def test_an_older_hold_does_not_replace_a_newer_one():
    """The holder on disk is the one with the highest number, in whatever order they are written."""
    _, entry, _ = apply(Entry(ACTIVE), Hold(1, "new", 9))
    _, entry, _ = apply(entry, Hold(1, "old", 8))
    assert (entry.record.holder, entry.record.hold_no) == ("new", 9)
    with pytest.raises(errors.StaleEpochError):
        Hold(2, "new", 10)(entry, NOW)
