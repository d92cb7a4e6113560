"""Real shard processes from Python: start, stop, kill, restart. Used by the demo, `plb serve` and tests.

The child reads its standard input only to notice its end: when the parent dies, however it dies, the pipe closes and the
child stops, so that nothing is left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError, PortInUseError, ShardUnavailableError
from plb_ray.tracing import for_children

if TYPE_CHECKING:
    from plb_ray.queues.embedded.shard import ShardOptions

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
MOST_WORDS = 2000  # of a failed child's last words


class ShardProcess:
    """One shard process.

    Args:
        options: see `ShardOptions`.
        listen: `host:port`; with port 0 a restart keeps the port that the first start got.

    Attributes:
        endpoint: `host:port` once it has started; empty before.
    """

    def __init__(self, options: ShardOptions, listen: str = "127.0.0.1:0") -> None:
        self.options = options
        self.endpoint = ""
        self._listen = listen
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None

    @property
    def shard_id(self) -> str:
        """The shard's name."""
        return self.options.shard_id

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        assert self._process is not None, "start it first"
        return self._process.pid

    @property
    def running(self) -> bool:
        """The child has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the child and wait until it serves.

        Raises:
            PortInUseError, BadInputError: it cannot start, and says why.
            ShardUnavailableError: it does not get ready in time.
        """
        assert not self.running, "it runs already"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments(),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for the parent, which ends its shards in its own time
        )
        self._process = process
        try:
            async with asyncio.timeout(timeout_s):
                line = await _out(process).readline()
        except TimeoutError:
            await self.kill()
            raise ShardUnavailableError(self.shard_id, self._listen, f"not ready after {timeout_s:g} s") from None
        except BaseException:
            await self.kill()
            raise
        if not line.startswith(b"ready "):
            raise await self._failure()
        self.endpoint = self._listen = line.decode().split()[1]
        self._drain = asyncio.create_task(_pass_on(process))

    async def terminate(self) -> None:
        """Ask the child to stop cleanly, and wait; kill it if it does not."""
        if self.running and self._process is not None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self._reap()

    async def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.running and self._process is not None:
            self._process.kill()
        await self._reap()

    async def restart(self, timeout_s: float = START_TIMEOUT_S, **changed: float) -> None:
        """Start again on the same data and port; `changed` are options that differ from now on."""
        await self.terminate()
        self.options = replace(self.options, **changed)  # type: ignore[arg-type]  # names are ShardOptions'
        await self.start(timeout_s)

    async def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        await process.wait()
        drain, self._drain = self._drain, None
        if drain is not None:
            await drain
        if process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(OSError):
                await process.stdin.wait_closed()

    async def _failure(self) -> Exception:
        """Turn a child's last words into an error."""
        process = self._process
        assert process is not None
        words = (await _err(process).read()).decode(errors="replace").strip()[-MOST_WORDS:]
        await self._reap()
        text = words.partition("plb-shard: ")[2] or words
        if "the port is in use" in text:
            return PortInUseError(self._listen, f"shard {self.shard_id}")
        return BadInputError(text or f"shard {self.shard_id} ended without a word")

    def _arguments(self) -> list[str]:
        options = self.options
        named = {
            "--shard-id": options.shard_id,
            "--listen": self._listen,
            "--data": options.data,
            "--service-rate": options.service_rate_per_s,
            "--memory-bytes": options.memory_bytes,
            "--io-bytes-per-s": options.io_bytes_per_s,
            "--consumer-lease-s": options.consumer_lease_s,
            "--copy-bytes-per-s": options.copy_bytes_per_s,
        }
        return ["-m", "plb_ray.queues.embedded", "--parent", *(str(word) for pair in named.items() for word in pair)]


def _environment() -> dict[str, str]:
    return {**os.environ, **for_children(), "GRPC_VERBOSITY": os.environ.get("GRPC_VERBOSITY", "NONE")}


async def _pass_on(process: asyncio.subprocess.Process) -> None:
    """Hand the child's log on to our standard error, so that its pipe never fills."""
    async for line in _err(process):
        sys.stderr.write(line.decode(errors="replace"))


def _out(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    assert process.stdout is not None
    return process.stdout


def _err(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    assert process.stderr is not None
    return process.stderr
