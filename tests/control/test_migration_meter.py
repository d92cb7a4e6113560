"""The meter of migrations: every migration is counted once, whatever it is told and how often."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from plb_ray.control import migration_meter
from plb_ray.control.migration_meter import PAUSE_BUCKETS_MS, MigrationMeter, PauseHistogram
from plb_ray.control.step_log import key_values, log_step
from plb_ray.domain.migration import MigrationMode, MigrationRecord, MigrationStep

NOW_S = 1000.0
FIRST = MigrationRecord("m1", "x", "a", "b", 4, MigrationStep.PREPARE, "why", NOW_S + 1.0)
COPIED = replace(FIRST, step=MigrationStep.PRECOPIED, messages_copied=100, bytes_copied=20_000)
DONE = replace(
    COPIED, step=MigrationStep.DONE, messages_copied=120, bytes_copied=24_000, pause_ms=7.5, finished_s=NOW_S + 2.0
)


@pytest.fixture
def steps():
    return []


@pytest.fixture
def meter(steps):
    return MigrationMeter(lambda: NOW_S, steps.append)


def test_a_migration_is_counted_once(meter, steps):
    """Records that come twice, late or out of order change no total, and each step is told once."""
    for record in (FIRST, COPIED, FIRST, COPIED, DONE, COPIED, DONE, replace(DONE, pause_ms=9.0)):
        meter.note(record)
    totals = meter.totals()
    assert (totals.done, totals.rolled_back, totals.rolled_back_at) == ({MigrationMode.COPY: 1}, {}, {})
    assert (totals.messages_copied, totals.bytes_copied) == (120, 24_000)
    assert totals.pauses[MigrationMode.COPY].sum_ms == 7.5
    assert steps == [FIRST, COPIED, DONE]


def test_progress_within_a_step_is_counted_and_not_told(meter, steps):
    """Copy progress adds to the totals as it goes on; it is no step."""
    meter.note(FIRST)
    for messages in (10, 30):
        meter.note(replace(FIRST, messages_copied=messages, bytes_copied=100 * messages))
        assert (meter.totals().messages_copied, meter.totals().bytes_copied) == (messages, 100 * messages)
    assert steps == [FIRST]


def test_a_rollback_is_counted_at_the_last_step(meter, steps):
    """A rolled back migration counts by mode and by how far it had come; its failure is told before its end."""
    chained = replace(FIRST, mode=MigrationMode.CHAIN, step=MigrationStep.PAUSED)
    failed = replace(chained, error="at paused: no answer")
    meter.note_all([chained, failed, replace(failed, step=MigrationStep.ABORTED, pause_ms=31.0, finished_s=NOW_S + 3)])
    totals = meter.totals()
    assert (totals.done, totals.rolled_back) == ({}, {MigrationMode.CHAIN: 1})
    assert totals.rolled_back_at == {MigrationStep.PAUSED: 1}
    assert sum(totals.pauses[MigrationMode.CHAIN].counts) == 1
    assert [(record.step.value, bool(record.error)) for record in steps] == [
        ("paused", False),
        ("paused", True),
        ("aborted", True),
    ]


def test_what_a_predecessor_did_is_not_counted(meter, steps):
    """Migrations that ended before the process started, and what was copied before, are its predecessor's."""
    meter.note(replace(DONE, started_s=1.0, finished_s=2.0))
    running = replace(COPIED, migration_id="m2", started_s=NOW_S - 5)
    meter.note(running)
    assert (meter.totals().done, meter.totals().messages_copied) == ({}, 0)
    meter.note(replace(running, step=MigrationStep.DONE, messages_copied=150, finished_s=NOW_S + 1))
    assert (meter.totals().done, meter.totals().messages_copied) == ({MigrationMode.COPY: 1}, 50)
    assert [record.migration_id for record in steps] == ["m2", "m2"]


def test_its_memory_is_bounded(meter, monkeypatch):
    """Of all ended migrations only the last ones are remembered; the totals count all."""
    monkeypatch.setattr(migration_meter, "REMEMBERED", 3)
    for number in range(10):
        meter.note(replace(DONE, migration_id=f"m{number}"))
    assert meter.totals().done == {MigrationMode.COPY: 10}
    assert len(meter._seen) == 3


@pytest.mark.parametrize(("pause_ms", "row"), [(0.0, 0), (1.0, 0), (1.1, 1), (10.0, 3), (10_000.0, 13), (10_001.0, 14)])
def test_buckets_hold_what_is_up_to_their_bound(pause_ms, row):
    """A pause falls into the first bucket whose bound it does not exceed; the last bucket has no bound."""
    counts = PauseHistogram().plus(pause_ms).counts
    assert [number for number, count in enumerate(counts) if count] == [row]
    assert len(counts) == len(PAUSE_BUCKETS_MS) + 1


def test_how_long_a_migration_takes(meter):
    """Until its destination serves, at the 95th percentile; the end counts where that was not told, each migration once."""
    assert meter.lead_s == 0.0
    for number in range(100):
        took = replace(DONE, migration_id=f"p{number}", started_s=0.0, finished_s=float(number + 1))
        meter.note_all([took, took])  # of a predecessor: they ended before this meter was made
    assert (meter.lead_s, meter.totals().done) == (95.0, {})
    mapped = replace(COPIED, migration_id="q", step=MigrationStep.MAPPED, at_s=FIRST.started_s + 0.5)
    for number in range(migration_meter.LEADS):
        meter.note_all(
            [replace(mapped, migration_id=f"q{number}"), replace(DONE, migration_id=f"q{number}", finished_s=9e9)]
        )
    assert meter.lead_s == 0.5
    meter.note(replace(DONE, migration_id="r", step=MigrationStep.ABORTED, finished_s=9e9))
    assert meter.lead_s == 0.5


def test_a_step_is_one_line_of_key_value(caplog):
    """Ids and figures stand bare, sentences quoted, what is not known is left out, and no name breaks the line."""
    record = replace(
        DONE, order_param='a "b"\nc', at_s=FIRST.started_s + 0.25, reason="p90 at 14:10", mode=MigrationMode.CHAIN
    )
    with caplog.at_level(logging.INFO, "plb.migration"):
        log_step(record)
    (line,) = caplog.messages
    assert line == (
        'migration id=m1 step=done order_param="a \\"b\\"\\nc" from=a to=b mode=chain epoch=4 messages=120 bytes=24000 '
        'lag=0 pause_ms=7.5 elapsed_s=0.25 reason="p90 at 14:10"'
    )


def test_failures_are_warnings(caplog):
    """A record with an error is a warning, so that it is seen where information is not."""
    with caplog.at_level(logging.WARNING, "plb.migration"):
        log_step(FIRST)
        log_step(replace(FIRST, error="at prepare: no answer"))
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]
    assert caplog.messages[0].endswith('error="at prepare: no answer"')


def test_values_are_quoted_only_where_needed():
    """Names in any script stay readable; spaces, quotes, equals signs and backslashes are quoted."""
    values = {"a": "café☕", "b": "x=1", "c": "", "d": None, "e": 0, "f": 1.5, "g": 2.0, "h": "\\", "i": 1e-9}
    assert key_values(values) == 'a=café☕ b="x=1" e=0 f=1.5 g=2 h="\\\\" i=0'
