"""SQLite's log is copied by a thread of its own and begun anew by the writer, so that it stays small under steady load."""

import asyncio

import pytest

from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.checkpoint import Checkpoints, CheckpointSettings
from plb_ray.queues.embedded.database import Database

SMALL = CheckpointSettings(copy_bytes=256 << 10, reset_bytes=1 << 20, rest_bytes=64 << 10)
PAYLOADS = (b"x" * 1000,) * 50


@pytest.fixture
def opened(tmp_path):
    path = tmp_path / "x.sqlite3"
    database, checkpoints = Database(path), Checkpoints(path, SMALL)
    yield path, database, checkpoints
    database.close()
    checkpoints.close()


def append(database, number):
    """Commit a block; return its size."""
    block = Block.appended(number * 50 + 1, "p", number * 50 + 1, PAYLOADS, 1.0)
    database.begin()
    database.put_blocks([(1, block)])
    database.commit()
    return len(block.data)


def log_size(path):
    return path.with_name(path.name + "-wal").stat().st_size


async def paused_while_behind(checkpoints):
    async with asyncio.timeout(5):
        while checkpoints.is_behind:  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0.001)


async def test_log_stays_small(opened):
    """20 MB are written; the log never gets longer than a few times the size at which it is begun anew."""
    path, database, checkpoints = opened
    checkpoints.start()
    written = longest = 0
    for number in range(400):
        written += append(database, number)
        checkpoints.committed(written, database.checkpoint)
        longest = max(longest, log_size(path))
        await paused_while_behind(checkpoints)
    checkpoints.stop()
    assert written > 15 * SMALL.reset_bytes
    assert longest < 4 * SMALL.reset_bytes
    assert path.stat().st_size > written - 2 * SMALL.reset_bytes


def test_without_the_thread_it_grows(opened):
    """Negative control: where nobody copies, the log has all that was written."""
    path, database, checkpoints = opened
    written = 0
    for number in range(100):
        written += append(database, number)
        checkpoints.committed(written, database.checkpoint)  # the thread is wanted, and was never started
    assert log_size(path) > written
    assert checkpoints.is_behind


def test_writer_copies_only_a_rest(opened):
    """The writer copies nothing while much is left to copy, and the rest once the thread has done its part."""
    _, database, checkpoints = opened
    copies = []
    checkpoints.committed(SMALL.copy_bytes - 1, lambda: copies.append("too early"))
    checkpoints.committed(SMALL.reset_bytes, lambda: copies.append("too much"))
    assert copies == []
    checkpoints._copy(database._connection)  # as the thread would
    checkpoints.committed(SMALL.reset_bytes + SMALL.rest_bytes, lambda: copies.append("rest"))
    assert copies == ["rest"]
    checkpoints.committed(SMALL.reset_bytes + 2 * SMALL.rest_bytes, lambda: copies.append("just begun"))
    assert copies == ["rest"]


def test_a_disk_that_refuses_ends_nothing(opened, caplog):
    """A copy that fails is a warning: commits go on, and the next one tries again."""
    _, database, checkpoints = opened
    database._connection.execute("PRAGMA query_only=1")
    append_fails = []

    def refuse():
        append_fails.append(1)
        database._connection.execute("CREATE TABLE t (x)")

    checkpoints.committed(SMALL.reset_bytes, refuse)
    checkpoints._copy(database._connection)
    checkpoints.committed(SMALL.reset_bytes, refuse)
    assert append_fails
    assert "cannot copy the log" in caplog.text
