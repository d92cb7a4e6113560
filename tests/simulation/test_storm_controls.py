"""Each sabotage of the real protocol code must be found by the storm: by the checker, or by what does not come to rest.

One is not: of a SEAL that is accepted too late the storm's verdict says nothing, so that control has a check of its own.
"""

from dataclasses import replace

from plb_ray.domain.migration import MigrationStep
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import operations, ownership, sealing
from plb_ray.simulation.storm import world
from plb_ray.simulation.storm.memory_shard import MemoryShard
from plb_ray.simulation.storm.run import run_one
from plb_ray.simulation.storm.server import ShardServer
from plb_ray.simulation.storm.stores import MemoryJournal

SEEDS = (7, 14, 6, 12, 13, 5)  # from calm to stormy
AHEAD_SEEDS = (4, 5, 10)
EARLY_SEEDS = (16, 19, 23, 30)
LATE_SEEDS = (4, 43)
MIGRATIONS = 30


def found(seeds=SEEDS):
    """Return the violations of the first run that has any."""
    return next((text for seed in seeds if (text := " | ".join(run_one(seed, MIGRATIONS).violations))), "")


def test_nothing_is_found_without_sabotage():
    """The same runs are clean when nothing is sabotaged, so what the others find is the sabotage."""
    assert found({*SEEDS, *AHEAD_SEEDS, *EARLY_SEEDS, *LATE_SEEDS}) == ""


def test_a_flip_without_a_seal(monkeypatch):
    """A source that gives out the seal and goes on to serve: two owners."""
    real = operations.Seal.__call__
    monkeypatch.setattr(operations.Seal, "__call__", lambda self, entry, now: replace_record(real(self, entry, now), entry))
    assert "two_owners" in found()


def replace_record(effect, entry):
    return replace(effect, record=entry.record, split=None)


def test_a_flip_while_appends_are_taken(monkeypatch):
    """A source that is sealed, and still takes appends, loses them: the mapping names another shard."""
    real = ownership.require

    def require(record, epoch, *, append):
        if not (append and record.ownership is Ownership.SEALED and record.epoch == epoch + 1):
            real(record, epoch, append=append)

    monkeypatch.setattr(ownership, "require", require)
    assert "acknowledged up to" in found()


def test_a_seal_after_the_lease_has_ended(monkeypatch):
    """A source that gives up what it had taken back: a migration that was rolled back takes place all the same.

    Who looks only at messages sees nothing of it: the tombstone redirects, and the herald hands over.
    """
    assert broken_rollbacks(monkeypatch) == set()
    real = sealing.sealed

    def sealed(record, order):
        over = record.ownership is Ownership.ACTIVE and record.epoch == order.epoch
        held = replace(record, ownership=Ownership.PAUSED, migration_id=order.migration_id) if over else record
        return real(held, order)

    monkeypatch.setattr(sealing, "sealed", sealed)
    assert broken_rollbacks(monkeypatch)


def broken_rollbacks(monkeypatch):
    """Return (seed, id) of the migrations that are sealed on a shard's disk and rolled back in a journal."""
    sealed, rolled_back = set(), set()
    committed, write = ShardServer._committed, MemoryJournal.write

    def note_seal(server, record):
        if record.ownership is Ownership.SEALED and record.migration_id:
            sealed.add((seed, record.migration_id))
        committed(server, record)

    async def note_end(journal, record, seal=None):
        if record.step is MigrationStep.ABORTED:
            rolled_back.add((seed, record.migration_id))
        await write(journal, record, seal)

    with monkeypatch.context() as patch:
        patch.setattr(ShardServer, "_committed", note_seal)
        patch.setattr(MemoryJournal, "write", note_end)
        for seed in LATE_SEEDS:
            run_one(seed, MIGRATIONS)
    return sealed & rolled_back


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
    assert "skipped" in found(AHEAD_SEEDS)


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
    assert "skipped" in found(EARLY_SEEDS)


def test_a_source_that_drains_before_the_destination_has_resumed(monkeypatch):
    """What the destination still lacked at SEAL is gone with the source's copy."""
    real = MemoryShard.exported

    def exported(self, name, after, limit):
        line = self.view.lines.get((name, 0))
        return [] if line is not None and line.record.ownership is Ownership.SEALED else real(self, name, after, limit)

    monkeypatch.setattr(MemoryShard, "exported", exported)
    monkeypatch.setattr(world, "ALL_S", 100.0)
    assert "do not come to an end" in found((6,))
