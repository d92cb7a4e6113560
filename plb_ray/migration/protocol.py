"""The migration protocol as a table and a pure step. No IO, no clock; `executor` acts on what `step` asks for.

    PREPARE ----precopied----> PRECOPIED --paused--> PAUSED --copied--> SEALING --sealed--> SEALED      the commit point
       |                          |                    |                  |  ^                |
       |                          |                    |                  v  | still paused   | mapping switched e -> e+1
       | failed, cancelled        | failed, cancelled  |              (ask source)            v
       v                          v                    v                  |               ACTIVATING <--> (copy again)
     (undo: source resumes, destination forgets) <------------------------+ not sealed        | destination resumed
       |                                                                                      v
       v                                                                                    MAPPED -> redirect -> drain
    ABORTED                                                                                   |
                                                                                              v
                                                                                             DONE

The specification's five steps: *pause* = PRECOPIED -> PAUSED, softly (appends go on until SEAL); *copy backlog* = most of it
in PREPARE while writes go on, the tail with SEAL, or in PAUSED where the source pauses hard; *update mapping* = SEALED ->
ACTIVATING (the store of the mapping) and the redirect in MAPPED (the source's tombstone); *resume* = ACTIVATING -> MAPPED;
*drain and decommission* = MAPPED -> DONE.

Why clients never find two owners: appends are accepted by the source until SEAL and by the destination from resume on, under
another epoch, and resume needs the record that only SEAL gives out. The mapping is switched between the two. Who still goes
to the source is redirected by its tombstone; who comes to the destination early is told to retry.

A record is written to the journal whenever `step` changes its step or its error. Those of `BEHIND` are written together
with the next one, or before the migration waits for a shard: while the order param is paused every write counts, and losing
such a record only makes recovery ask the shards one question more. So a journal at step X means:

    before SEALING   SEAL was never sent; any failure, and any crash, is undone
    SEALING          SEAL may have been carried out, and the destination may even serve. The source is asked, and where it
                     is silent the destination, until one of them knows; the destination keeps its copy until the source has
                     accepted the abort, or is known not to be sealed by this migration
    after            nothing is undone; each command is repeated until it succeeds

A *chained* migration (`MigrationMode.CHAIN`) goes the same way and moves no message: PRECOPY and DRAIN have nothing to do,
COPY_TAIL only begins the import, and SEAL leaves the backlog on the source as a trailing segment.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from plb_ray.domain.migration import MigrationStep
from plb_ray.migration.ports import Ownership

if TYPE_CHECKING:
    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.ports import OrderParamState


class Command(StrEnum):
    """What the executor is asked to do next. Each may be repeated."""

    PRECOPY = "precopy"  # destination copies while writes go on, until little is left
    PAUSE = "pause"  # source is kept for this migration's SEAL until its lease ends, and may refuse appends
    COPY_TAIL = "copy tail"  # destination copies what is left, if SEAL does not bring it
    SEAL = "seal"  # source gives the order param up
    ASK_SOURCE = "ask source"  # what is true on the source?
    ASK_DESTINATION = "ask destination"  # has the destination taken over?
    SWITCH_MAPPING = "switch mapping"  # compare-and-set e -> e + 1
    RESUME = "resume"  # destination becomes the owner
    REDIRECT = "redirect"  # source points to the destination
    DRAIN = "drain"  # source deletes its copy
    UNDO = "undo"  # source resumes, destination forgets


class Event(StrEnum):
    """What happened."""

    STARTED = "started"
    RECOVERED = "recovered"  # a coordinator has taken the record from the journal
    PRECOPIED = "precopied"
    PAUSED = "paused"
    COPIED = "copied"
    SEALED = "sealed"
    MAPPING_SWITCHED = "mapping switched"
    RESUMED = "resumed"
    LACKING = "lacking"  # the destination answered, and has not taken over
    REDIRECTED = "redirected"
    DRAINED = "drained"
    UNDONE = "undone"
    FAILED = "failed"  # the last command failed, or nobody knows whether it did
    CANCELLED = "cancelled"  # a person asked to stop
    UNANSWERED = "unanswered"  # the shard that was asked did not answer
    SOURCE_SEALED = "source sealed"  # by this migration
    SOURCE_PAUSED = "source paused"  # by this migration
    SOURCE_OTHER = "source other"  # serves again, or has moved on
    DESTINATION_SERVES = "destination serves"


_S, _E, _C = MigrationStep, Event, Command

_FORWARD: Final[dict[tuple[MigrationStep, Event], tuple[MigrationStep, Command | None]]] = {
    (_S.PREPARE, _E.STARTED): (_S.PREPARE, _C.PRECOPY),
    (_S.PREPARE, _E.PRECOPIED): (_S.PRECOPIED, _C.PAUSE),
    (_S.PRECOPIED, _E.PAUSED): (_S.PAUSED, _C.COPY_TAIL),
    (_S.PAUSED, _E.COPIED): (_S.SEALING, _C.SEAL),
    (_S.SEALING, _E.SEALED): (_S.SEALED, _C.SWITCH_MAPPING),
    (_S.SEALING, _E.FAILED): (_S.SEALING, _C.ASK_SOURCE),
    (_S.SEALING, _E.SOURCE_PAUSED): (_S.SEALING, _C.SEAL),
    (_S.SEALED, _E.MAPPING_SWITCHED): (_S.ACTIVATING, _C.RESUME),
    (_S.SEALED, _E.FAILED): (_S.SEALED, _C.SWITCH_MAPPING),
    (_S.ACTIVATING, _E.RESUMED): (_S.MAPPED, _C.REDIRECT),
    (_S.ACTIVATING, _E.FAILED): (_S.ACTIVATING, _C.RESUME),
    (_S.ACTIVATING, _E.LACKING): (_S.ACTIVATING, _C.COPY_TAIL),
    (_S.ACTIVATING, _E.COPIED): (_S.ACTIVATING, _C.RESUME),
    (_S.MAPPED, _E.REDIRECTED): (_S.MAPPED, _C.DRAIN),
    (_S.MAPPED, _E.FAILED): (_S.MAPPED, _C.REDIRECT),
    (_S.MAPPED, _E.DRAINED): (_S.DONE, None),
}

_BEFORE_SEAL: Final = frozenset({_S.PREPARE, _S.PRECOPIED, _S.PAUSED})
_COMMITTED: Final = frozenset({_S.SEALED, _S.ACTIVATING})
BEHIND: Final = frozenset({_S.PAUSED, *_COMMITTED})

# What asking adds. Recovery asks at any step; a running migration only after a SEAL whose outcome is unknown. The journal's
# SEALED is proof by itself (and keeps the seal record), so from there on no answer of the source stops the way forward.
_ASKING: Final[dict[tuple[MigrationStep, Event], tuple[MigrationStep, Command | None]]] = {
    **{(step, _E.RECOVERED): (step, _C.ASK_SOURCE) for step in _BEFORE_SEAL | {_S.SEALING} | _COMMITTED},
    (_S.MAPPED, _E.RECOVERED): (_S.MAPPED, _C.REDIRECT),
    **{(step, _E.UNANSWERED): (step, _C.ASK_SOURCE) for step in _BEFORE_SEAL},
    (_S.SEALING, _E.UNANSWERED): (_S.SEALING, _C.ASK_DESTINATION),
    (_S.SEALING, _E.LACKING): (_S.SEALING, _C.ASK_SOURCE),
    (_S.SEALING, _E.DESTINATION_SERVES): (_S.MAPPED, _C.REDIRECT),
    (_S.SEALED, _E.UNANSWERED): (_S.SEALED, _C.SWITCH_MAPPING),
    (_S.ACTIVATING, _E.UNANSWERED): (_S.ACTIVATING, _C.RESUME),
    **{(step, _E.SOURCE_SEALED): (_S.SEALED, _C.SWITCH_MAPPING) for step in _BEFORE_SEAL | {_S.SEALING, _S.SEALED}},
    (_S.ACTIVATING, _E.SOURCE_SEALED): (_S.ACTIVATING, _C.RESUME),
    **{(step, _E.SOURCE_OTHER): (step, _C.ASK_DESTINATION) for step in _COMMITTED},
    **{(step, _E.SOURCE_PAUSED): (step, _C.ASK_DESTINATION) for step in _COMMITTED},
    **{(step, _E.DESTINATION_SERVES): (_S.MAPPED, _C.REDIRECT) for step in _COMMITTED},
    (_S.SEALED, _E.LACKING): (_S.SEALED, _C.SWITCH_MAPPING),
}

# Undone: at these steps these events end the migration.
_ROLLBACK: Final = frozenset(
    {(step, event) for step in _BEFORE_SEAL for event in (_E.FAILED, _E.CANCELLED, _E.SOURCE_PAUSED, _E.SOURCE_OTHER)}
    | {(_S.SEALING, _E.SOURCE_OTHER)}
)

TRANSITIONS: Final = {**_FORWARD, **_ASKING}


def step(record: MigrationRecord, event: Event, why: str = "") -> tuple[MigrationRecord, Command | None]:
    """Return the record after an event, and what to do next; None when the migration has ended.

    Args:
        record: of a migration that has not ended.
        event: what happened at its step.
        why: the cause of a failure; kept in the record if it ends the migration.
    """
    key = (record.step, event)
    if record.error and record.step in _BEFORE_SEAL | {MigrationStep.SEALING}:
        return _undoing(record, event)
    if key in _ROLLBACK:
        return replace(record, error=f"at {record.step}: {why or event}"), Command.UNDO
    assert key in TRANSITIONS, f"migration {record.migration_id}: {event} at {record.step} is not in the table"
    after, command = TRANSITIONS[key]
    return replace(record, step=after), command


def _undoing(record: MigrationRecord, event: Event) -> tuple[MigrationRecord, Command | None]:
    """Go on with a rollback that is decided and journaled. Only a source that was sealed after all can turn it round."""
    if event is Event.UNDONE:
        return replace(record, step=MigrationStep.ABORTED), None
    if event in (Event.RECOVERED, Event.UNANSWERED):
        return record, Command.ASK_SOURCE
    if event is Event.SOURCE_SEALED:
        return replace(record, step=MigrationStep.SEALED, error=""), Command.SWITCH_MAPPING
    assert event in (Event.SOURCE_PAUSED, Event.SOURCE_OTHER), f"migration {record.migration_id}: {event} while undoing"
    return record, Command.UNDO


def cancellable(record: MigrationRecord) -> bool:
    """Whether a person can still stop this migration: SEAL was not sent, and it is not being undone already."""
    return record.step in _BEFORE_SEAL and not record.error


def source_event(record: MigrationRecord, state: OrderParamState) -> Event:
    """Return what the source's durable record says about this migration."""
    if state.migration_id == record.migration_id:
        if state.ownership is Ownership.SEALED:
            return Event.SOURCE_SEALED
        if state.ownership is Ownership.PAUSED:
            return Event.SOURCE_PAUSED
    return Event.SOURCE_OTHER


def destination_serves(record: MigrationRecord, state: OrderParamState) -> bool:
    """Whether the destination has taken over: it owns the new epoch, or has owned it and has given it on."""
    owns = state.ownership in (Ownership.ACTIVE, Ownership.PAUSED) and state.epoch == record.epoch + 1
    return owns or (state.ownership is not Ownership.IMPORTING and state.epoch > record.epoch + 1)
