"""`python -m plb_ray.queues.embedded`: one shard as an OS process.

Prints `ready HOST:PORT` when it serves, `plb-shard: ...` and exit code 2 when it cannot start. SIGTERM or SIGINT ends it
cleanly; with `--parent`, so does the end of standard input (its parent has gone). Exit code 3 means that the writer has
died: nothing acknowledged is lost, and a restart on the same data serves again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError, PlbError
from plb_ray.queues.embedded.control import ControlService
from plb_ray.queues.embedded.data import DataService
from plb_ray.queues.embedded.shard import Shard, ShardOptions
from plb_ray.rpc.server import start_server
from plb_ray.tracing import VARIABLES, start_tracing

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_BAD_INPUT = 2
EXIT_WRITER_DIED = 3


def main(arguments: list[str] | None = None, program: str = "python -m plb_ray.queues.embedded") -> int:
    """Run a shard until it is told to stop; return the exit code. `program`: how the caller is called, for its help."""
    parsed = _parser(program).parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format=f"{parsed.shard_id} %(levelname)s %(message)s")
    try:
        _trace(parsed.shard_id)
        return asyncio.run(_serve(parsed))
    except PlbError as error:
        print(f"plb-shard: {error}", file=sys.stderr)  # noqa: T201 - the process's own words
        return EXIT_BAD_INPUT


def _trace(shard_id: str) -> None:
    """Record spans if the environment says so; a shard reads no plb.toml."""
    told = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    if told:
        from plb_ray.settings import load_settings  # noqa: PLC0415  other shards do without it

        start_tracing(load_settings(None, told).tracing, shard_id)


async def _serve(parsed: argparse.Namespace) -> int:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    shard = _shard(parsed)
    try:
        services = {"ShardControl": ControlService(shard), "ShardData": DataService(shard)}
        server = await start_server(parsed.listen, services, f"shard {parsed.shard_id}")
        shard.endpoint = parsed.advertise or _reachable(server.endpoint)
        try:
            gc.freeze()  # what lives for ever need not be looked at again
            print(f"ready {server.endpoint}", flush=True)  # noqa: T201 - the promise of this process
            await _until((stop, shard.died), watch_parent=parsed.parent)
        finally:
            await server.stop()
    finally:
        await shard.close()
    return EXIT_WRITER_DIED if shard.died.is_set() else 0


def _shard(parsed: argparse.Namespace) -> Shard:
    options = ShardOptions(
        shard_id=parsed.shard_id,
        data=parsed.data,
        service_rate_per_s=parsed.service_rate,
        memory_bytes=parsed.memory_bytes,
        io_bytes_per_s=parsed.io_bytes_per_s,
        consumer_lease_s=parsed.consumer_lease_s,
        copy_bytes_per_s=parsed.copy_bytes_per_s,
    )
    try:
        return Shard(options)
    except (OSError, sqlite3.Error) as error:
        raise BadInputError(f"shard {parsed.shard_id} cannot use the data in {parsed.data}: {error}") from error


def _reachable(endpoint: str) -> str:
    """Return where other shards reach one that listens there: not at a wildcard, which is themselves to them."""
    host, _, port = endpoint.rpartition(":")
    return f"{socket.gethostname()}:{port}" if host in ("0.0.0.0", "[::]", "::") else endpoint  # noqa: S104 - not bound


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _until(events: Sequence[asyncio.Event], *, watch_parent: bool) -> None:
    """Return when one of the events is set; watching the parent, standard input's end counts too."""
    async with contextlib.AsyncExitStack() as stack:
        waits: list[asyncio.Task[object]] = [asyncio.create_task(event.wait()) for event in events]
        if watch_parent:
            reader = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            stack.callback(pipe.close)
            waits.append(asyncio.create_task(reader.read()))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="One embedded queue server.")
    parser.add_argument("--shard-id", required=True, help="its name in the mapping")
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port; port 0 takes a free one")
    parser.add_argument("--advertise", default="", help="host:port where other shards reach it; as it listens if not given")
    parser.add_argument("--data", required=True, type=Path, help="directory of its database")
    parser.add_argument("--service-rate", type=_not_negative, default=0.0, help="messages per second; 0: not capped")
    parser.add_argument("--memory-bytes", type=_not_negative, default=0.0, help="capacity; 0: the machine's")
    parser.add_argument("--io-bytes-per-s", type=_not_negative, default=0.0, help="capacity; 0: a common disk's")
    parser.add_argument(
        "--consumer-lease-s", type=_positive, default=10.0, help="a consumer silent for so long loses what it holds"
    )
    parser.add_argument(
        "--copy-bytes-per-s", type=_not_negative, default=0.0, help="most that backlogs are copied at; 0: by latency alone"
    )
    parser.add_argument("--parent", action="store_true", help="stop when standard input ends")
    return parser


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _positive(text: str) -> float:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
