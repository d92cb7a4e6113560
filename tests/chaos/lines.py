"""What a child process of a stage shares: JSON lines with the driver, and an end that comes with the driver's.

The driver's words come on standard input, one JSON object per line; answers go to standard output. The end of standard
input ends the child; so does the kernel when the driver dies, since a stopped process reads nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """Ask the kernel to kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def say(event, **words):
    """Tell the driver. One write per line, so that a SIGKILL leaves no half of one."""
    os.write(1, (json.dumps({"event": event, **words}) + "\n").encode())


class Evidence:
    """An append-only file of JSON lines; what is written is with the operating system, whatever becomes of this process."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, *values):
        os.write(self._file, (json.dumps(values) + "\n").encode())


async def words():
    """Yield what the driver says until it hangs up or this process is asked to stop by SIGTERM."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    try:
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        pipe.close()
