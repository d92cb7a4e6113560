"""The commands that ask the shards what is true, and the one that undoes a migration before its commit point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import PlbError
from plb_ray.migration.abort import AbortAnswer, asked_to_abort
from plb_ray.migration.hands import Outcome
from plb_ray.migration.ports import Ownership
from plb_ray.migration.protocol import Event, destination_serves, source_event

if TYPE_CHECKING:
    from plb_ray.migration.hands import Hands


async def ask_source(hands: Hands) -> Outcome:
    """Ask what its durable record says about this migration."""
    state = await hands.source.state(hands.record.order_param)
    sealing = hands.record.step is MigrationStep.SEALING
    when = "SEAL came too late, the lease had ended" if sealing else "when the coordinator came back"
    why = f"the source is {state.ownership} at epoch {state.epoch} ({when})"
    return Outcome(source_event(hands.record, state), why)


async def ask_destination(hands: Hands) -> Outcome:
    """Ask whether it serves. While the source has not told whether it is sealed, silence here is no news either."""
    try:
        state = await hands.destination.state(hands.record.order_param)
    except (PlbError, TimeoutError) as error:
        if hands.record.step is MigrationStep.SEALING:
            return Outcome(Event.LACKING, f"neither shard answers: {error}")
        raise
    if destination_serves(hands.record, state):
        return Outcome(Event.DESTINATION_SERVES)
    return Outcome(Event.LACKING, f"the destination is {state.ownership} at epoch {state.epoch}")


async def undo(hands: Hands) -> Outcome:
    """Abort on the source, then on the destination: its copy is needed if the source turns out to be sealed.

    What does not answer is left to its lease (source, SEAL not sent) or to the next first copy (destination).
    """
    undone = await _abort_source(hands)
    if undone.event is Event.UNDONE:
        await _abort(hands, hands.record.destination)
    return undone


async def _abort_source(hands: Hands) -> Outcome:
    """Return UNDONE only when the destination's copy is not needed; else that the source is sealed, or must be asked."""
    answer = await _abort(hands, hands.record.source)
    if answer is AbortAnswer.REFUSED:
        return await _after_refused_abort(hands)
    if answer is AbortAnswer.UNANSWERED:
        return _unless_seal_was_sent(hands, "the source does not answer")
    hands.pause_is_over()
    return Outcome(Event.UNDONE)


async def _after_refused_abort(hands: Hands) -> Outcome:
    """Ask why. A source that owns the order param would not have refused: that answer is stale."""
    try:
        state = await hands.source.state(hands.record.order_param)
    except (PlbError, TimeoutError) as error:
        return _unless_seal_was_sent(hands, f"the source refused to abort, then failed: {error}")
    if source_event(hands.record, state) is Event.SOURCE_SEALED:
        return Outcome(Event.SOURCE_SEALED)
    if state.ownership in (Ownership.ACTIVE, Ownership.PAUSED):
        return _unless_seal_was_sent(hands, f"the source is {state.ownership}, yet refused to abort")
    hands.pause_is_over()
    return Outcome(Event.UNDONE)


def _unless_seal_was_sent(hands: Hands, why: str) -> Outcome:
    sent = hands.record.step is MigrationStep.SEALING
    return Outcome(Event.UNANSWERED, why) if sent else Outcome(Event.UNDONE)


async def _abort(hands: Hands, shard_id: str) -> AbortAnswer:
    around = hands.around
    return await asked_to_abort(around.shards.get(shard_id), hands.record, around.settings, around.sleep)
