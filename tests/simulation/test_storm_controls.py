"""Each sabotage of the real protocol code must be found by the storm: by the checker, or by what does not come to rest."""

from dataclasses import replace

from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import operations, ownership, sealing
from plb_ray.simulation.storm.memory_shard import MemoryShard
from plb_ray.simulation.storm.run import run_one

SEEDS = (7, 14, 6, 12, 13, 5)  # from calm to stormy
MIGRATIONS = 30


def found(seeds=SEEDS):
    """Return the violations of the first run that has any."""
    return next((text for seed in seeds if (text := " | ".join(run_one(seed, MIGRATIONS).violations))), "")


def test_nothing_is_found_without_sabotage():
    """The same runs are clean when nothing is sabotaged, so what the others find is the sabotage."""
    assert found(SEEDS[:4]) == ""


def test_a_flip_without_a_seal(monkeypatch):
    """A source that gives out the seal and goes on to serve: two owners."""
    real = operations.Seal.__call__
    monkeypatch.setattr(operations.Seal, "__call__", lambda self, entry, now: replace_record(real(self, entry, now), entry))
    assert "two_owners" in found()


def replace_record(effect, entry):
    return replace(effect, record=entry.record, split=None)


def test_a_dedupe_table_that_is_not_moved(monkeypatch):
    """A destination that takes a producer's repetition, or its next append, for somebody new."""
    real = operations.Resume.__call__
    monkeypatch.setattr(
        operations.Resume, "__call__", lambda self, entry, now: replace(real(self, entry, now), producers={})
    )
    assert found()


def test_an_epoch_that_is_used_again(monkeypatch):
    """A destination that serves under the source's epoch."""
    real = ownership.resumed

    def resumed(record, migration_id, seal):
        after = real(record, migration_id, seal)
        return after if after is record else replace(after, epoch=seal.epoch - 1)

    monkeypatch.setattr(ownership, "resumed", resumed)
    assert found()


def test_a_cursor_that_is_ahead(monkeypatch):
    """A destination that believes that all was consumed loses what was not."""
    real = ownership.resumed

    def resumed(record, migration_id, seal):
        after = real(record, migration_id, seal)
        return after if after is record else replace(after, acked_seq=seal.final_seq)

    monkeypatch.setattr(ownership, "resumed", resumed)
    assert "skipped" in found((4, 5, 10))


def test_a_backlog_that_is_not_copied(monkeypatch):
    """A destination that takes over with half the backlog."""
    real = MemoryShard.exported

    def resumed(record, migration_id, seal):
        if record.ownership is not Ownership.IMPORTING:
            return record
        kept = {"last_seq": seal.final_seq, "acked_seq": seal.acked_seq, "bytes_total": seal.bytes_total}
        return replace(record, ownership=Ownership.ACTIVE, after_epoch=seal.after_epoch, **kept)

    monkeypatch.setattr(MemoryShard, "exported", lambda self, name, after, limit: real(self, name, after + 1, limit))
    monkeypatch.setattr(ownership, "resumed", resumed)
    assert found()


def test_a_trailing_segment_that_is_forgotten(monkeypatch):
    """A chained seal that leaves nothing behind loses the backlog."""
    real = sealing.sealed
    monkeypatch.setattr(sealing, "sealed", lambda record, order: (real(record, order)[0], None))
    assert found()


def test_a_segment_that_is_delivered_before_its_turn(monkeypatch):
    """A destination that does not know that earlier messages are elsewhere."""
    real = ownership.resumed
    monkeypatch.setattr(
        ownership, "resumed", lambda record, migration_id, seal: replace(real(record, migration_id, seal), after_epoch=0)
    )
    assert "skipped" in found((16, 17, 19, 23))


def test_a_source_that_drains_before_the_destination_has_resumed(monkeypatch):
    """What the destination still lacked at SEAL is gone with the source's copy."""
    real = MemoryShard.exported

    def exported(self, name, after, limit):
        line = self.view.lines.get((name, 0))
        return [] if line is not None and line.record.ownership is Ownership.SEALED else real(self, name, after, limit)

    monkeypatch.setattr(MemoryShard, "exported", exported)
    assert "do not come to an end" in found((6,))
