"""The load generator counts right: it is what the figures of the HTTP service stand on."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.http_bench.load import load

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def slow_server():
    """Answers each request 20 ms after it came, however many there are."""

    async def serve(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.02)
            writer.write(ANSWER)

    def quiet(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        task.add_done_callback(lambda ended: (ended.cancelled() or ended.exception(), writer.close()))

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_closed_loop(slow_server):
    """Five connections with answers after 20 ms make at most 250 requests a second, each of 20 ms or more."""
    found = await load("127.0.0.1", slow_server, ["/a", "/b"], connections=5, seconds=0.3)
    row = found.row("x", 5)
    assert row["requests_per_s"] <= 250
    assert min(found.latencies_s) >= 0.02
    assert set(found.statuses) == {200}


async def test_getting_ready_does_not_count(slow_server, monkeypatch):
    """However long connections take to open, the first answers of an open loop are as quick as the service."""
    opened = asyncio.BaseEventLoop.create_connection

    async def slowly(*args, **more):
        await asyncio.sleep(0.05)
        return await opened(*args, **more)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", slowly)
    found = await load("127.0.0.1", slow_server, ["/a"], connections=20, seconds=0.5, rate=40)
    assert found.elapsed_s < 1.5
    assert len(found.latencies_s) >= 20
    assert np.median(found.latencies_s) < 0.2


async def test_open_loop_counts_from_when_a_request_was_due(slow_server):
    """One connection that is asked 200 times a second can do 50: the answers come later and later, and that shows."""
    found = await load("127.0.0.1", slow_server, ["/a"], connections=1, seconds=0.5, rate=200)
    assert found.row("x", 1)["p99_ms"] > 100
    assert found.latencies_s[-1] > found.latencies_s[0]
