"""Append, ack, import, drain as pure functions."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.operations import Ack, Append, Drain, Entry, ImportChunk, Now, Seal, StoredMessage
from plb_ray.queues.embedded.ownership import Record

NOW = Now(10.0, 1000.0)
ACTIVE = Record("K", Ownership.ACTIVE, epoch=1)


def apply(entry, operation):
    """Return (answer, entry after)."""
    effect = operation(entry, NOW)
    return effect.result, Entry(effect.record, {**entry.producers, **effect.producers}), effect


def message(seq):
    return StoredMessage(seq, "p", seq, b"x" * 10, 1.0)


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
        stored += effect.messages
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
    assert not effect.messages


def test_partly_repeated_batch_stores_the_new_part():
    """Of a batch that overlaps what is stored only the rest is written, with its own numbers."""
    _, entry, _ = apply(Entry(ACTIVE), Append(1, "p", 1, (b"a", b"b")))
    answer, _, effect = apply(entry, Append(1, "p", 2, (b"b", b"c")))
    assert answer == (3, False)
    assert [(one.seq, one.producer_seq, one.payload) for one in effect.messages] == [(3, 3, b"c")]


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
    first = ImportChunk("m", 1, [message(5), message(6)])
    answer, entry, _ = apply(entry, first)
    assert (answer, entry.record.acked_seq) == ((6, 2, 20), 4)
    answer, entry, _ = apply(entry, first)
    assert answer == (6, 0, 0)
    answer, entry, _ = apply(entry, ImportChunk("m", 1, [message(6), message(7)]))
    assert (answer, entry.record.acked_seq) == ((7, 1, 10), 4)
    _, entry, _ = apply(entry, ImportChunk("m", 1, [message(9)]))
    assert (entry.record.last_seq, entry.record.acked_seq) == (9, 8)


def test_chunk_with_a_hole_is_refused():
    """Within a chunk nothing may be missing."""
    entry = Entry(Record("K", Ownership.IMPORTING, epoch=2, migration_id="m"))
    with pytest.raises(errors.BadInputError):
        ImportChunk("m", 1, [message(5), message(7)])(entry, NOW)


def test_import_of_a_replaced_migration_is_refused():
    """Chunks of a migration that lost its hold are not mixed in."""
    entry = Entry(Record("K", Ownership.IMPORTING, epoch=2, migration_id="m2"))
    with pytest.raises(errors.MigrationConflictError):
        ImportChunk("m", 1, [message(5)])(entry, NOW)


def test_drain_deletes_only_what_its_migration_sealed():
    """An owner's messages and another migration's sealed ones are never drained."""
    sealed = replace(ACTIVE, ownership=Ownership.SEALED, epoch=2, migration_id="m", last_seq=9)
    assert Drain("m", 5)(Entry(sealed), NOW).trim == (9, 5)
    other = Drain("x", 5)(Entry(sealed), NOW)
    assert (other.result, other.trim) == (0, None)
    with pytest.raises(errors.MigrationConflictError):
        Drain("m", 5)(Entry(ACTIVE), NOW)


def test_seal_is_the_same_at_each_repeat():
    """A repeated seal answers the same record, also after the tombstone was told of a newer owner."""
    paused = replace(ACTIVE, ownership=Ownership.PAUSED, migration_id="m", lease_until_s=99.0, last_seq=7, acked_seq=2)
    seal = Seal("m", 1, ("b", "host:1"), 5)
    first, entry, _ = apply(Entry(paused, {"p": (7, 7)}), seal)
    moved_on = Entry(replace(entry.record, moved_epoch=9, moved_to_shard="c"), entry.producers)
    again, _, _ = apply(moved_on, Seal("m", 1, ("b", "host:1"), 7))
    assert again == first
