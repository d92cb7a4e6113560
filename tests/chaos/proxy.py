"""A faulty TCP proxy: forwards, forwards late, or stops forwarding without closing anything, as a cut cable does."""

from __future__ import annotations

import asyncio
import contextlib

CHUNK_BYTES = 65536
LOOK_S = 0.02


class Proxy:
    """In front of one server.

    Attributes:
        endpoint: where it listens, after `start`.
        cut: nothing is forwarded, and new connections get no answer.
        delay_s: each chunk of bytes is forwarded so much later.
    """

    def __init__(self, target):
        self.endpoint = ""
        self.cut = False
        self.delay_s = 0.0
        self._target = target.rsplit(":", 1)
        self._server = None
        self._pumps = set()

    async def start(self):
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self):
        self._server.close()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def heal(self):
        self.cut, self.delay_s = False, 0.0

    async def _accepted(self, reader, writer):
        self._pumps.add(asyncio.current_task())
        try:
            await self._open()
            there = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1]))
                group.create_task(self._pump(there[0], writer))
            there[1].close()
        except (OSError, ExceptionGroup, asyncio.CancelledError):  # it ends, whatever for
            pass
        finally:
            self._pumps.discard(asyncio.current_task())
            with contextlib.suppress(OSError):
                writer.close()

    async def _pump(self, source, sink):
        """Forward bytes in order until one side closes."""
        loop, late = asyncio.get_running_loop(), asyncio.Queue(64)

        async def deliver():
            while True:
                due_s, data = await late.get()
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                await self._open()
                sink.write(data)
                await sink.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while data := await source.read(CHUNK_BYTES):
                await late.put((loop.time() + self.delay_s, data))
        finally:
            delivering.cancel()
            sink.close()

    async def _open(self):
        while self.cut:  # noqa: ASYNC110 - looked at this often is enough
            await asyncio.sleep(LOOK_S)
