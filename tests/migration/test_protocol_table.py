"""The protocol's table by itself: no shard, no clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.migration.ports import OrderParamState, Ownership
from plb_ray.migration.protocol import (
    TRANSITIONS,
    Command,
    Event,
    cancellable,
    destination_serves,
    source_event,
    step,
)

S, E, C = MigrationStep, Event, Command
FIRST = MigrationRecord("m", "x", "a", "b", 4, S.PREPARE, "", 0.0)
BEFORE_SEAL = (S.PREPARE, S.PRECOPIED, S.PAUSED)
COMMITTED = (S.SEALED, S.ACTIVATING, S.MAPPED)


def at(where, error=""):
    return replace(FIRST, step=where, error=error)


def test_the_way_forward():
    """Undisturbed, a migration goes through every step once, in order, with the specification's five steps as commands."""
    events = [E.STARTED, E.PRECOPIED, E.PAUSED, E.COPIED, E.SEALED, E.MAPPING_SWITCHED, E.RESUMED, E.REDIRECTED, E.DRAINED]
    record, steps, commands = FIRST, [], []
    for event in events:
        record, command = step(record, event)
        steps.append(record.step)
        commands.append(command)
    assert list(dict.fromkeys(steps)) == [s for s in S if s is not S.ABORTED]
    assert commands == [
        *(C.PRECOPY, C.PAUSE, C.COPY_TAIL, C.SEAL, C.SWITCH_MAPPING, C.RESUME, C.REDIRECT, C.DRAIN),
        None,
    ]


@pytest.mark.parametrize("where", BEFORE_SEAL)
@pytest.mark.parametrize("event", [E.FAILED, E.CANCELLED])
def test_before_seal_everything_is_undone(where, event):
    """Before SEAL a failure or a cancellation is noted with step and reason, undone, and ends as ABORTED."""
    record, command = step(at(where), event, "no answer")
    assert (record.step, record.error, command) == (where, f"at {where}: no answer", C.UNDO)
    assert step(record, E.UNDONE) == (replace(record, step=S.ABORTED), None)


@pytest.mark.parametrize("where", COMMITTED)
def test_after_seal_nothing_is_undone(where):
    """After SEAL no event of the table leads to UNDO or ABORTED."""
    events = [event for (there, event) in TRANSITIONS if there is where]
    assert events
    for event in events:
        record, command = step(at(where), event, "whatever")
        assert command is not C.UNDO
        assert record.step is not S.ABORTED
        assert list(S).index(record.step) >= list(S).index(where)


def test_unknown_seal_is_resolved_by_asking():
    """A SEAL without an answer is neither undone nor believed: source and destination are asked until one of them knows."""
    assert step(at(S.SEALING), E.FAILED, "lost") == (at(S.SEALING), C.ASK_SOURCE)
    assert step(at(S.SEALING), E.UNANSWERED, "away") == (at(S.SEALING), C.ASK_DESTINATION)
    assert step(at(S.SEALING), E.LACKING, "importing") == (at(S.SEALING), C.ASK_SOURCE)
    assert step(at(S.SEALING), E.DESTINATION_SERVES) == (at(S.MAPPED), C.REDIRECT)
    assert step(at(S.SEALING), E.SOURCE_SEALED) == (at(S.SEALED), C.SWITCH_MAPPING)
    assert step(at(S.SEALING), E.SOURCE_PAUSED) == (at(S.SEALING), C.SEAL)
    assert step(at(S.SEALING), E.SOURCE_OTHER, "active") == (at(S.SEALING, "at sealing: active"), C.UNDO)


@pytest.mark.parametrize("where", BEFORE_SEAL)
def test_recovery_believes_the_source_before_the_journal(where):
    """A source that is sealed by this migration turns recovery forward, even if the journal stopped before, or undid."""
    for error in ("", "at paused: no answer"):
        record = at(where, error)
        assert step(record, E.RECOVERED) == (record, C.ASK_SOURCE)
        assert step(record, E.UNANSWERED) == (record, C.ASK_SOURCE)
        assert step(record, E.SOURCE_SEALED) == (at(S.SEALED), C.SWITCH_MAPPING)
        for event in (E.SOURCE_PAUSED, E.SOURCE_OTHER):
            assert step(record, event)[1] is C.UNDO


@pytest.mark.parametrize("where", [S.SEALED, S.ACTIVATING])
def test_recovery_after_the_commit_point_needs_no_source(where):
    """From SEALED on recovery goes forward whatever the source answers, or does not."""
    onward = {S.SEALED: C.SWITCH_MAPPING, S.ACTIVATING: C.RESUME}[where]
    assert step(at(where), E.RECOVERED) == (at(where), C.ASK_SOURCE)
    assert step(at(where), E.UNANSWERED) == (at(where), onward)
    assert step(at(where), E.SOURCE_SEALED) == (at(where), onward)
    assert step(at(where), E.SOURCE_OTHER) == (at(where), C.ASK_DESTINATION)
    assert step(at(where), E.DESTINATION_SERVES) == (at(S.MAPPED), C.REDIRECT)


def test_every_step_can_be_recovered():
    """There is a way on from RECOVERED at every step that is not terminal."""
    for where in S:
        if not where.terminal:
            assert step(at(where), E.RECOVERED)[1] is not None


def test_terminal_steps_take_nothing():
    """Nothing follows DONE and ABORTED, and an event that does not belong to a step is our mistake."""
    for where in (S.DONE, S.ABORTED):
        for event in E:
            with pytest.raises(AssertionError):
                step(at(where), event)
    with pytest.raises(AssertionError):
        step(at(S.PREPARE), E.RESUMED)


def test_cancellable_until_seal_is_sent():
    """A person can stop a migration exactly as long as SEAL was not sent and it is not being undone."""
    assert [s for s in S if cancellable(at(s))] == list(BEFORE_SEAL)
    assert not cancellable(at(S.PREPARE, "at prepare: no answer"))


def test_reading_the_source():
    """Only a record of this very migration counts as sealed or paused by it."""
    for ownership, mine in ((Ownership.SEALED, E.SOURCE_SEALED), (Ownership.PAUSED, E.SOURCE_PAUSED)):
        assert source_event(FIRST, OrderParamState("x", ownership, 5, "m")) is mine
        assert source_event(FIRST, OrderParamState("x", ownership, 5, "other")) is E.SOURCE_OTHER
    assert source_event(FIRST, OrderParamState("x", Ownership.ACTIVE, 4, "m")) is E.SOURCE_OTHER


@pytest.mark.parametrize(
    ("ownership", "epoch", "serves"),
    [
        (Ownership.ACTIVE, 5, True),
        (Ownership.PAUSED, 5, True),  # by the next migration
        (Ownership.SEALED, 6, True),  # given on
        (Ownership.SEALED, 5, False),  # a tombstone, not an owner
        (Ownership.IMPORTING, 5, False),
        (Ownership.IMPORTING, 9, False),
        (Ownership.ACTIVE, 4, False),
        (Ownership.NONE, 0, False),
    ],
)
def test_reading_the_destination(ownership, epoch, serves):
    """The destination has taken over if it owns the new epoch, or has given on what it owned."""
    assert destination_serves(FIRST, OrderParamState("x", ownership, epoch)) is serves
