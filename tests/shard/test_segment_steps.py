"""The pure steps of segments: what a chained seal leaves, what comes behind it, and how that ends."""

from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import ownership
from plb_ray.queues.embedded.ownership import Record
from plb_ray.queues.embedded.sealing import SealOrder, advanced, forgotten, has_ended, seal_record, sealed, segment_of, told

DESTINATION = ("shard-b", "host-b:1")
ORDER = SealOrder("m1", 3, DESTINATION, 6, own_endpoint="host-a:1", holder="c", hold_no=5)
CHAINED = replace(ORDER, chained=True)
ACTIVE = Record("K", Ownership.ACTIVE, epoch=3, last_seq=9, acked_seq=4, bytes_total=90)
PAUSED = ownership.paused(ACTIVE, "m1", 3, 1000, 100.0)
SEALED = sealed(PAUSED, ORDER)[0]
TRAILING = sealed(PAUSED, CHAINED)[1]


def test_chained_seal_leaves_the_backlog():
    """It leaves a trailing segment of the old epoch, and a tombstone that gives the destination nothing to copy."""
    tombstone, left = sealed(PAUSED, CHAINED)
    assert (left.ownership, left.epoch, left.last_seq, left.acked_seq) == (Ownership.TRAILING, 3, 9, 4)
    assert (left.moved_to_shard, left.moved_to_endpoint, left.moved_epoch) == (*DESTINATION, 4)
    record = seal_record(tombstone, ())
    assert (record.final_seq, record.acked_seq, record.delivered_seq, record.epoch) == (9, 9, 9, 4)
    assert (record.behind, record.after_epoch, record.after_endpoint) == (True, 3, "host-a:1")
    assert (record.holder, record.hold_no) == ("c", 5)


def test_chained_seal_of_nothing_leaves_no_segment():
    """If all is acknowledged there is no trailing segment, and the destination is not behind."""
    tombstone, left = sealed(replace(PAUSED, acked_seq=9), CHAINED)
    assert left is None
    assert not seal_record(tombstone, ()).behind


def test_what_was_behind_passes_that_on():
    """The destination comes behind the segment left here, or if none is, behind what this one was behind; so when copied."""
    behind = replace(PAUSED, after_epoch=2, after_endpoint="host-z:1")
    tombstone, left = sealed(behind, CHAINED)
    assert (left.after_epoch, left.after_endpoint) == (2, "host-z:1")
    assert (tombstone.after_epoch, tombstone.after_endpoint) == (3, "host-a:1")
    for record, order in ((replace(behind, acked_seq=9), CHAINED), (behind, ORDER)):
        tombstone, left = sealed(record, order)
        assert left is None
        assert (tombstone.after_epoch, tombstone.after_endpoint) == (2, "host-z:1")


def test_a_seal_does_not_take_back_a_higher_hold_number():
    """An advance that was carried out after the seal's order was made has said who holds it, and it stays so."""
    record = seal_record(sealed(replace(PAUSED, holder="", hold_no=9), ORDER)[0], ())
    assert (record.holder, record.hold_no) == ("", 9)


def test_trailing_segment_takes_acks_of_its_epoch_only():
    """Appends, and calls under other epochs, are redirected to the next segment."""
    ownership.require(TRAILING, 3, append=False)
    for epoch, append in ((3, True), (4, False), (2, False)):
        with pytest.raises(errors.MovedError):
            ownership.require(TRAILING, epoch, append=append)


def test_advance_reaches_what_waited_for_no_later_segment():
    """News of an epoch lets go on what comes behind it or an earlier one; older news does no harm."""
    behind = replace(ACTIVE, after_epoch=2, after_endpoint="host-z:1")
    assert advanced(behind, 1) is behind
    assert not advanced(behind, 2).behind
    assert not advanced(replace(TRAILING, after_epoch=2), 7).behind
    assert advanced(ACTIVE, 7) is ACTIVE
    told_of_its_past = replace(SEALED, after_epoch=2)
    assert advanced(told_of_its_past, 2) is told_of_its_past


def test_segment_ends_when_all_up_to_its_end_is_consumed():
    """A trailing segment is forgotten when it is acknowledged and nothing is before it; nothing else ever is."""
    consumed = replace(TRAILING, acked_seq=9)
    assert has_ended(consumed)
    assert forgotten(consumed) == Record("K")
    for record in (TRAILING, replace(consumed, after_epoch=2), replace(ACTIVE, acked_seq=9), SEALED):
        assert not has_ended(record)
        assert forgotten(record) is record


def test_segments_as_they_are_shown():
    """A trailing segment begins after what is acknowledged, and is the front unless something is before it."""
    shown = segment_of(TRAILING)
    assert (shown.epoch, shown.first_seq, shown.last_seq, shown.acked_seq, shown.front) == (3, 5, 9, 4, True)
    assert not segment_of(replace(TRAILING, after_epoch=1)).front


def test_resume_takes_over_what_comes_before():
    """The destination knows from the seal that it is behind, and who holds the order param; a repeat changes nothing."""
    tombstone, _ = sealed(PAUSED, CHAINED)
    begun = ownership.importing(Record("K"), "m1", 3)
    resumed = ownership.resumed(begun, "m1", seal_record(tombstone, ()))
    assert (resumed.after_epoch, resumed.after_endpoint, resumed.holder, resumed.hold_no) == (3, "host-a:1", "c", 5)
    front = advanced(resumed, 3)
    assert ownership.resumed(front, "m1", seal_record(tombstone, ())) is front


def test_the_end_of_a_segment_is_told_to_who_waits_for_it():
    """Who does not know yet whether it waits, or has given the order param on while it did, does not take the news."""
    importing = ownership.importing(Record("K"), "m", 2)
    moved_on = replace(SEALED, after_epoch=2)
    for record, error in (
        (Record("K"), errors.UnknownOrderParamError),
        (importing, errors.PausedError),
        (moved_on, errors.MovedError),
    ):
        with pytest.raises(error):
            told(record, 2)
    for record, epoch in ((ACTIVE, 2), (SEALED, 2), (moved_on, 1)):
        assert told(record, epoch) is record


def test_an_import_that_nobody_goes_on_with_does_not_keep_the_end_of_a_segment_from_being_told():
    """A shard that imports what it had before sends the news on to the owner after it, not to one before the segment."""
    tombstone = ownership.redirected(Record("K"), 5, "b", "host-b:1")
    importing = ownership.importing(tombstone, "m", 6)
    with pytest.raises(errors.MovedError) as redirect:
        told(importing, 4)
    assert (redirect.value.endpoint, redirect.value.epoch) == ("host-b:1", 5)
    with pytest.raises(errors.PausedError):
        told(importing, 5)
