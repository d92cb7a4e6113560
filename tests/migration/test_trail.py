"""The timeline of a running migration: the journal's records before the trail began, then the trail's own."""

from __future__ import annotations

from dataclasses import replace

from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.migration.trail import Trail, distinct

FIRST = MigrationRecord("m1", "x", "a", "b", 1, MigrationStep.PREPARE, "", 10.0, at_s=10.0)
PRECOPIED = replace(FIRST, step=MigrationStep.PRECOPIED, at_s=11.0)
PAUSED = replace(FIRST, step=MigrationStep.PAUSED, at_s=12.0)
SEALING = replace(FIRST, step=MigrationStep.SEALING, at_s=13.0)


def trail_of(first, *more):
    trail = Trail(first)
    for record in more:
        trail.add(record)
    return trail


async def test_the_journal_may_be_behind_or_ahead():
    """Whatever part of the trail the journal has by now, the timeline has each record once, in order."""
    trail = trail_of(FIRST, PRECOPIED, PAUSED, SEALING)
    for written in ((), (FIRST,), (FIRST, PRECOPIED), (FIRST, PRECOPIED, PAUSED, SEALING)):
        assert trail.after(written) == (FIRST, PRECOPIED, PAUSED, SEALING)


async def test_what_a_predecessor_wrote_comes_first():
    """A recovered migration has its earlier life before it; the record that the recovery wrote again counts once."""
    again = replace(PAUSED, at_s=20.0)
    trail = trail_of(PAUSED, again, replace(SEALING, at_s=21.0))
    assert [(each.step, each.at_s) for each in trail.after((FIRST, PRECOPIED, PAUSED, again))] == [
        (MigrationStep.PREPARE, 10.0),
        (MigrationStep.PRECOPIED, 11.0),
        (MigrationStep.PAUSED, 12.0),
        (MigrationStep.SEALING, 21.0),
    ]
    assert distinct((FIRST, PRECOPIED, PAUSED, again)) == (FIRST, PRECOPIED, PAUSED)


def test_the_last_record_has_its_progress():
    """What was copied since the last step is in the last record, and is no record of its own."""
    copied = replace(FIRST, messages_copied=5)
    assert trail_of(FIRST, copied).after((FIRST,)) == (copied,)


def test_the_first_record_gets_its_time():
    """A migration that was admitted before the journal had it shows when it began as soon as that is noted."""
    trail = trail_of(replace(FIRST, at_s=0.0), FIRST, PRECOPIED)
    assert trail.after(()) == (FIRST, PRECOPIED)


async def test_a_failure_is_a_record_of_its_own():
    """The same step with an error, and again without it, are different records."""
    failed = replace(SEALING, error="no answer")
    turned = replace(SEALING, step=MigrationStep.SEALED)
    assert trail_of(SEALING, failed, turned).after((FIRST,)) == (FIRST, SEALING, failed, turned)
