"""The kit finds each broken rule of QueueControl, on a coordinator over two whole shards; all of it in this process."""

import contextlib

import pytest

from plb_ray.clock import WallClock
from plb_ray.journal.journal import open_journal
from plb_ray.queues.coordinator import Coordinator
from plb_ray.rpc.queue_control import QueueControlServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.shard_client import ShardClient
from tests.conformance import broken_queues
from tests.conformance.kit import be_impatient, failed, run_kit, served_shards


@contextlib.asynccontextmanager
async def served_queue(directory, breaks=lambda _: None):
    """Serve a coordinator with its journal on disk and yield its endpoint."""
    async with contextlib.AsyncExitStack() as stack:
        endpoints = await stack.enter_async_context(served_shards(directory))
        ports = [ShardClient(f"shard-{number}", endpoint) for number, endpoint in enumerate(endpoints)]
        for port in ports:
            stack.push_async_callback(port.close)
        journal = await open_journal(directory / "journal.sqlite")
        stack.push_async_callback(journal.close)
        coordinator = Coordinator(ports, journal, journal.mapping, WallClock())
        await coordinator.start()
        stack.push_async_callback(coordinator.close)
        servicer = QueueControlServicer(coordinator)
        breaks(servicer)
        server = await start_server("127.0.0.1:0", {"QueueControl": servicer}, "QueueControl")
        stack.push_async_callback(server.stop, 0)
        yield server.endpoint


async def test_a_whole_queue_passes(tmp_path):
    """The coordinator that the broken queues are made of passes, named alone: its shards are found by what it lists."""
    async with served_queue(tmp_path) as endpoint:
        report = await run_kit([endpoint], "queue", "queue-migration")
    assert not failed(report)
    assert all(not result.reason for result in report.results)


@pytest.mark.parametrize("broken", broken_queues.TABLE, ids=str)
async def test_a_broken_rule_fails_its_checks_and_no_others(tmp_path, broken, monkeypatch):
    """A queue with one rule broken fails exactly the checks of that rule."""
    be_impatient(monkeypatch)
    async with served_queue(tmp_path, broken.breaks) as endpoint:
        report = await run_kit([endpoint], *broken.run)
    assert sorted(failed(report)) == sorted(broken.fails)
    assert not report.conforms
