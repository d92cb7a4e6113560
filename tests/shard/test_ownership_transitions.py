"""The pure steps of ownership: every command in every state, leases, epochs, redirects, repeats."""

from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership, ProducerState, SealRecord
from plb_ray.queues.embedded import ownership
from plb_ray.queues.embedded.ownership import Command, Record
from plb_ray.queues.embedded.sealing import SealOrder, confirmed, drained, seal_record, sealed

NOW_S = 100.0
DESTINATION = ("shard-b", "host-b:1")

ORDER = SealOrder("m1", 3, DESTINATION, 6, own_endpoint="host-a:1", holder="c", hold_no=5)
ACTIVE = Record("K", Ownership.ACTIVE, epoch=3, last_seq=9, acked_seq=4, bytes_total=90)
PAUSED = ownership.paused(ACTIVE, "m1", 3, 1000, NOW_S)
SEALED, _ = sealed(PAUSED, ORDER)
RECORDS = {
    Ownership.NONE: Record("K"),
    Ownership.ACTIVE: ACTIVE,
    Ownership.PAUSED: PAUSED,
    Ownership.SEALED: SEALED,
    Ownership.IMPORTING: ownership.importing(Record("K"), "m1", 3),
}
SEAL = SealRecord("K", "m1", 4, final_seq=9, acked_seq=4, delivered_seq=6, bytes_total=90, producers=())
FULL_IMPORT = replace(RECORDS[Ownership.IMPORTING], last_seq=9, acked_seq=4, bytes_total=50)


def attempt(command, record):
    """Give a command that fits the state's epoch and migration."""
    match command:
        case Command.OPEN:
            return ownership.opened(record, 3)
        case Command.PAUSE:
            return ownership.paused(record, "m1", 3, 1000, NOW_S)
        case Command.SEAL:
            return sealed(record, ORDER)[0]
        case Command.BEGIN:
            return ownership.importing(replace(record, handed_over=True), "m2", 5)
        case Command.RESUME:
            return ownership.resumed(replace(record, last_seq=9), "m1", SEAL)
        case Command.ABORT:
            return ownership.aborted(record, "m1")


REFUSED = {
    (Command.OPEN, Ownership.SEALED): errors.MovedError,
    (Command.OPEN, Ownership.IMPORTING): errors.MigrationConflictError,
    (Command.PAUSE, Ownership.NONE): errors.UnknownOrderParamError,
    (Command.PAUSE, Ownership.SEALED): errors.MovedError,
    (Command.PAUSE, Ownership.IMPORTING): errors.MigrationConflictError,
    (Command.SEAL, Ownership.NONE): errors.UnknownOrderParamError,
    (Command.SEAL, Ownership.ACTIVE): errors.LeaseExpiredError,
    (Command.SEAL, Ownership.IMPORTING): errors.MigrationConflictError,
    (Command.BEGIN, Ownership.ACTIVE): errors.StaleEpochError,
    (Command.BEGIN, Ownership.PAUSED): errors.StaleEpochError,
    (Command.RESUME, Ownership.NONE): errors.UnknownOrderParamError,
    (Command.RESUME, Ownership.ACTIVE): errors.MigrationConflictError,
    (Command.RESUME, Ownership.PAUSED): errors.MigrationConflictError,
    (Command.RESUME, Ownership.SEALED): errors.MovedError,
    (Command.ABORT, Ownership.SEALED): errors.MovedError,
}
UNCHANGED = {
    (Command.OPEN, Ownership.ACTIVE),
    (Command.OPEN, Ownership.PAUSED),
    (Command.SEAL, Ownership.SEALED),
    (Command.ABORT, Ownership.NONE),
    (Command.ABORT, Ownership.ACTIVE),
}
EVERY_PAIR = [(command, state) for command in Command for state in RECORDS]


@pytest.mark.parametrize(("command", "state"), EVERY_PAIR)
def test_every_command_in_every_state(command, state):
    """A command follows the table, is a repeat that changes nothing, or is refused with the documented error."""
    record = RECORDS[state]
    if (command, state) in REFUSED:
        with pytest.raises(REFUSED[command, state]):
            attempt(command, record)
    elif (command, state) in UNCHANGED:
        assert attempt(command, record) is record
    else:
        assert attempt(command, record).ownership is ownership.TRANSITIONS[command, state]


def test_every_pair_is_decided_once():
    """No pair of command and state is both legal and refused, and none is left out."""
    legal = set(ownership.TRANSITIONS)
    assert not legal & set(REFUSED)
    assert legal | set(REFUSED) | UNCHANGED == set(EVERY_PAIR)


def test_lease_ends_at_its_moment():
    """A pause holds up to its lease's end and is over from then on, without its migration."""
    paused = RECORDS[Ownership.PAUSED]
    assert ownership.settled(paused, NOW_S + 0.999) is paused
    assert ownership.settled(paused, NOW_S + 1.0) == ACTIVE


def test_late_seal_is_refused():
    """A seal that comes when the lease is over gets LEASE_EXPIRED, not the order param."""
    late = ownership.settled(RECORDS[Ownership.PAUSED], NOW_S + 1.0)
    with pytest.raises(errors.LeaseExpiredError):
        sealed(late, ORDER)


def test_no_pause_survives_a_restart_but_a_seal_does():
    """A new process serves what was paused, and keeps redirecting what was sealed."""
    assert ownership.after_restart(RECORDS[Ownership.PAUSED]) == ACTIVE
    assert ownership.after_restart(RECORDS[Ownership.SEALED]) == RECORDS[Ownership.SEALED]


def test_repeated_pause_renews_the_lease():
    """The same migration pauses again and has its lease counted from then."""
    renewed = ownership.paused(RECORDS[Ownership.PAUSED], "m1", 3, 1000, NOW_S + 0.9)
    assert ownership.settled(renewed, NOW_S + 1.5).ownership is Ownership.PAUSED


def test_another_migration_gets_no_hold():
    """What one migration holds, another can neither pause nor seal, and its abort changes nothing."""
    record = RECORDS[Ownership.PAUSED]
    with pytest.raises(errors.MigrationConflictError):
        ownership.paused(record, "m2", 3, 1000, NOW_S)
    with pytest.raises(errors.MigrationConflictError):
        sealed(record, replace(ORDER, migration_id="m2"))
    assert ownership.aborted(record, "m2") is record


@pytest.mark.parametrize("epoch", [2, 4])
def test_wrong_epoch_is_fenced(epoch):
    """Appends, pauses and seals with a lower or higher epoch than the record's are refused as stale."""
    for call in (
        lambda: ownership.require(ACTIVE, epoch, append=True),
        lambda: ownership.require(ACTIVE, epoch, append=False),
        lambda: ownership.paused(ACTIVE, "m1", epoch, 1000, NOW_S),
        lambda: sealed(PAUSED, replace(ORDER, epoch=epoch)),
        lambda: ownership.opened(ACTIVE, epoch),
    ):
        with pytest.raises(errors.StaleEpochError) as caught:
            call()
        assert (caught.value.given, caught.value.current) == (epoch, 3)


@pytest.mark.parametrize(
    ("state", "append", "error"),
    [
        (Ownership.NONE, True, errors.UnknownOrderParamError),
        (Ownership.SEALED, True, errors.MovedError),
        (Ownership.SEALED, False, errors.MovedError),
        (Ownership.IMPORTING, True, errors.PausedError),
        (Ownership.IMPORTING, False, errors.PausedError),
        (Ownership.PAUSED, True, errors.PausedError),
        (Ownership.PAUSED, False, None),
        (Ownership.ACTIVE, True, None),
        (Ownership.ACTIVE, False, None),
    ],
)
def test_fence_of_the_data_plane(state, append, error):
    """While paused only appends are refused; elsewhere than at the owner everything is, with the way to go."""
    if error is None:
        ownership.require(RECORDS[state], 3, append=append)
        return
    with pytest.raises(error) as caught:
        ownership.require(RECORDS[state], 3, append=append)
    if error is errors.MovedError:
        assert (caught.value.shard_id, caught.value.endpoint, caught.value.epoch) == (*DESTINATION, 4)


@pytest.mark.parametrize(
    ("last_seq", "floor", "sealed"),
    [
        (8, 4, SEAL),  # the end is missing
        (9, 5, SEAL),  # message 5 was never copied, and it is not acknowledged
        (0, 0, replace(SEAL, acked_seq=8)),
    ],
)
def test_incomplete_import_does_not_resume(last_seq, floor, sealed):
    """A destination that lacks one message the seal says is not consumed refuses to serve, and says to copy again."""
    record = replace(RECORDS[Ownership.IMPORTING], last_seq=last_seq, acked_seq=floor)
    with pytest.raises(errors.RetryableError):
        ownership.resumed(record, "m1", sealed)


def test_resume_takes_over_what_the_seal_says():
    """Bounds, cursor, in flight and bytes come from the seal, and the epoch is the new one."""
    resumed = ownership.resumed(FULL_IMPORT, "m1", SEAL)
    assert (resumed.ownership, resumed.epoch, resumed.last_seq) == (Ownership.ACTIVE, 4, 9)
    assert (resumed.acked_seq, resumed.delivered_seq, resumed.bytes_total) == (4, 6, 90)
    assert ownership.resumed(resumed, "m1", SEAL) is resumed


def test_nothing_left_to_copy_resumes_at_once():
    """An order param whose messages are all consumed moves without a copied message and goes on counting."""
    empty = replace(SEAL, acked_seq=9)
    resumed = ownership.resumed(RECORDS[Ownership.IMPORTING], "m1", empty)
    assert (resumed.last_seq, resumed.acked_seq) == (9, 9)


def test_abort_of_a_committed_resume_is_refused():
    """Once the destination serves, an abort by the same migration is an error there."""
    resumed = ownership.resumed(FULL_IMPORT, "m1", SEAL)
    with pytest.raises(errors.PermanentError):
        ownership.aborted(resumed, "m1")


def test_order_param_comes_back_and_the_abort_restores_its_tombstone():
    """A shard may import what it once gave away; if that is undone, it redirects as before."""
    back = ownership.importing(confirmed(SEALED, "m1"), "m9", 6)
    assert (back.ownership, back.epoch, back.last_seq) == (Ownership.IMPORTING, 7, 0)
    restored = ownership.aborted(back, "m9")
    assert (restored.ownership, restored.moved_to_shard, restored.moved_epoch) == (Ownership.SEALED, "shard-b", 4)


def test_abort_of_a_first_import_leaves_nothing():
    """An import undone on a shard that never had the order param leaves it as if never heard of."""
    assert ownership.aborted(RECORDS[Ownership.IMPORTING], "m1") == Record("K")


def test_old_import_cannot_wipe_newer_data():
    """A begin with an epoch before the tombstone's is fenced: what it would wipe may not be activated elsewhere yet."""
    with pytest.raises(errors.StaleEpochError):
        ownership.importing(RECORDS[Ownership.SEALED], "m0", 3)


def test_import_goes_on_for_the_same_migration_only():
    """The same migration finds its import as it left it; a newer one starts from nothing; an older one is fenced."""
    running = replace(RECORDS[Ownership.IMPORTING], last_seq=7)
    assert ownership.importing(running, "m1", 3) is running
    assert ownership.importing(running, "m2", 3).last_seq == 0
    with pytest.raises(errors.StaleEpochError):
        ownership.importing(running, "m0", 2)


def test_mapping_updates_follow_the_newest_epoch():
    """A tombstone redirects to the newest owner it was told of, a repeat of its seal stays the same, owners ignore it."""
    sealed = RECORDS[Ownership.SEALED]
    newer = ownership.redirected(sealed, 8, "shard-c", "host-c:1")
    assert (newer.moved_to_shard, newer.moved_epoch, newer.epoch) == ("shard-c", 8, 4)
    assert ownership.redirected(newer, 5, "shard-b", "host-b:1") is newer
    assert ownership.redirected(Record("K"), 8, "shard-c", "host-c:1").ownership is Ownership.SEALED
    assert ownership.redirected(ACTIVE, 3, "shard-a", "host-a:1") is ACTIVE
    with pytest.raises(errors.MigrationConflictError):
        ownership.redirected(ACTIVE, 4, "shard-c", "host-c:1")


def test_only_its_own_migration_confirms_a_hand_over():
    """A seal is handed over when its migration or a mapping update says so; not another one's."""
    assert not SEALED.served_there
    assert confirmed(SEALED, "m1").served_there
    assert confirmed(SEALED, "m2") is SEALED
    assert ownership.redirected(SEALED, 4, *DESTINATION).served_there
    assert ownership.redirected(SEALED, 3, *DESTINATION) is SEALED
    assert confirmed(ACTIVE, "") is ACTIVE


def test_an_epoch_has_one_owner():
    """A mapping update that names another owner for the known epoch is refused; the same one again changes nothing."""
    known = ownership.redirected(SEALED, 4, *DESTINATION)
    for tombstone in (SEALED, known, ownership.redirected(Record("K"), 4, *DESTINATION)):
        with pytest.raises(errors.MigrationConflictError):
            ownership.redirected(tombstone, 4, "shard-c", "host-c:1")
    assert ownership.redirected(known, 4, *DESTINATION) == known
    assert ownership.redirected(known, 4, DESTINATION[0], "host-b:2").moved_to_endpoint == "host-b:2"


def test_nothing_is_drained_before_the_destination_is_known_to_serve():
    """A copy is gone only for the migration that sealed it, after its hand-over; a seal afterwards begins anew."""
    assert drained(SEALED, "m1") is SEALED
    served = confirmed(SEALED, "m1")
    assert drained(served, "m2") is served
    gone = drained(served, "m1")
    assert gone.handed_over
    assert (confirmed(gone, "m1"), drained(gone, "m1")) == (gone, gone)
    again, _ = sealed(replace(PAUSED, served_there=True), ORDER)
    assert not again.served_there
    assert drained(ACTIVE, "") is ACTIVE


def test_what_is_not_handed_over_is_not_wiped_by_an_import():
    """While nobody knows that the destination serves, an import that would wipe the only copy waits."""
    for epoch in (4, 9):
        with pytest.raises(errors.RetryableError):
            ownership.importing(SEALED, "m9", epoch)
        assert ownership.importing(confirmed(SEALED, "m1"), "m9", epoch).epoch == epoch + 1


def test_order_param_that_comes_back_redirects_whom_its_old_owner_served():
    """During an import, calls under an epoch from before the old owner left are redirected, newer ones wait."""
    back = ownership.importing(confirmed(SEALED, "m1"), "m9", 6)
    with pytest.raises(errors.MovedError):
        ownership.require(back, 3, append=False)
    with pytest.raises(errors.PausedError):
        ownership.require(back, 7, append=True)


def test_producers_of_a_seal_are_complete():
    """A seal names its producers, bounds, cursor and epoch."""
    producers = (ProducerState("o", 4, 8), ProducerState("p", 5, 9))
    record = seal_record(SEALED, producers)
    assert record.producers == producers
    assert (record.final_seq, record.acked_seq, record.delivered_seq, record.epoch) == (9, 4, 6, 4)
    assert not record.behind
