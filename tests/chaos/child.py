"""A child process as the driver has it: start, talk, stop, and all that can be done to it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict

from plb_ray.clock import monotonic_s

START_S = 20.0
END_S = 6.0
UNLIMITED = resource.RLIM_INFINITY


class ChildEnded(Exception):  # noqa: N818 - it says what happened
    """The child has ended while something was expected of it."""


class Child:
    """One OS process, started anew as often as it dies.

    Args:
        name: for its log file and for messages.
        module: run as `python -m MODULE`.
        arguments: a function that gives its arguments, since ports are known only after a first start.
        log: file for its standard error.
        prefix: words before the interpreter, such as `ip netns exec NAME`.
    """

    def __init__(self, name, module, arguments, log, prefix=()):
        self.name = name
        self.prefix = tuple(prefix)
        self._module, self._arguments, self._log = module, arguments, log
        self._process = None
        self._heard = defaultdict(asyncio.Queue)
        self._listening = None
        self.stopped = False
        self.ready_s = 0.0  # when it was last ready, monotonic

    @property
    def running(self):
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self):
        return self._process.pid

    async def start(self):
        """Start it and return its `ready` line's words."""
        assert not self.running, f"{self.name} runs already"
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.prefix,
                sys.executable,
                *("-m", self._module, *map(str, self._arguments())),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "GRPC_VERBOSITY": "NONE"},
            )
        self._heard.clear()
        self._listening = asyncio.create_task(self._listen(self._process))
        ready = await self.hear("ready", START_S)
        self.ready_s = monotonic_s()
        return ready

    def say(self, do, **words):
        with contextlib.suppress(OSError):
            self._process.stdin.write((json.dumps({"do": do, **words}) + "\n").encode())

    async def hear(self, event, timeout_s):
        """Return the next event of a kind. Raises TimeoutError, or ChildEnded if there can be none any more."""
        async with asyncio.timeout(timeout_s):
            found = await self._heard[event].get()
        if found is None:
            self._heard[event].put_nowait(None)
            raise ChildEnded(f"{self.name} has ended; its last words: {self.last_words()}")
        return found

    def last_words(self):
        return self._log.read_text(errors="replace")[-600:].strip() if self._log.exists() else ""

    def signal(self, number):
        if self.running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended, and nobody has noticed yet
                os.kill(self.pid, number)

    def stop(self):
        """SIGSTOP: it is silent until `go_on`."""
        self.stopped = True
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.stopped = False
        self.signal(signal.SIGCONT)

    def limit_files(self, size_bytes):
        """Let no file grow beyond a size, as if the disk were full; `UNLIMITED` ends that."""
        if self.running:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size_bytes, UNLIMITED))

    async def kill(self):
        """SIGKILL, and reap."""
        self.signal(signal.SIGKILL)
        await self._reap()

    async def terminate(self):
        """SIGTERM, and reap; SIGKILL if that takes too long. Returns whether SIGTERM was enough."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(END_S):
                await self._reap()
        except TimeoutError:
            await self.kill()
            return False
        return True

    async def _reap(self):
        if self._process is None:
            return
        await self._process.wait()
        self.stopped = False
        if self._listening is not None:
            await asyncio.wait({self._listening})
        self._process.stdin.close()
        with contextlib.suppress(OSError):
            await self._process.stdin.wait_closed()

    async def _listen(self, process):
        async for line in process.stdout:
            words = _parsed(line)
            self._heard[words.pop("event")].put_nowait(words)
        for event in ("ready", "armed", "at", "passed", "stopped", "refused"):
            self._heard[event].put_nowait(None)


def _parsed(line):
    """A shard says `ready HOST:PORT`, the others speak JSON."""
    text = line.decode()
    if text.startswith("ready "):
        return {"event": "ready", "endpoint": text.split()[1]}
    return json.loads(text)
