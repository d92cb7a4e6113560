"""Shards in this process, whole or with one rule broken, and the kit run on them.

A sabotage is a function `(control, data)` that replaces methods of the two real services, before they are served: all else
is the embedded shard as it is.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plb_ray.conformance import flows
from plb_ray.conformance.catalogue import chosen
from plb_ray.conformance.outcome import Status
from plb_ray.conformance.runner import Options, examine
from plb_ray.queues.embedded.control import ControlService
from plb_ray.queues.embedded.data import DataService
from plb_ray.queues.embedded.shard import Shard, ShardOptions
from plb_ray.rpc.server import start_server

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE_S = 0.8
_runs = itertools.count(1)


@dataclass(frozen=True)
class Broken:
    """An implementation with one rule broken.

    Attributes:
        breaks: the sabotage.
        run: the groups or checks to be run on it.
        fails: exactly those of them that must fail.
    """

    breaks: Callable[..., None]
    run: tuple[str, ...]
    fails: frozenset[str]

    def __str__(self):
        return self.breaks.__name__


def broken(*run, fails):
    """Put a sabotage into a table: `@broken("pause", fails="pause/lease-ends pause/renewed")`."""

    def register(breaks):
        return Broken(breaks, run, frozenset(fails.split()))

    return register


@contextlib.asynccontextmanager
async def served_shards(directory, breaks=lambda *_: None, count=2):
    """Serve shards and yield their endpoints; each of them is broken in the same way."""
    async with contextlib.AsyncExitStack() as stack:
        endpoints = []
        for number in range(count):
            shard_id = f"shard-{number}"
            shard = Shard(ShardOptions(shard_id, directory / shard_id, consumer_lease_s=LEASE_S))
            stack.push_async_callback(shard.close)
            control, data = ControlService(shard), DataService(shard)
            breaks(control, data)
            server = await start_server("127.0.0.1:0", {"ShardControl": control, "ShardData": data}, shard_id)
            shard.endpoint = server.endpoint
            stack.push_async_callback(server.stop, 0)
            endpoints.append(server.endpoint)
        yield endpoints


async def run_kit(endpoints, *groups, restart_command=""):
    """Run checks and return the report."""
    return await examine(chosen(groups), Options(tuple(endpoints), f"run-{next(_runs)}", restart_command))


def failed(report):
    """Return what failed: "group/name" -> the reason."""
    return {f"{r.group}/{r.check}": r.reason for r in report.results if r.status is Status.FAILED}


def be_impatient(monkeypatch):
    """Wait less long for what does not come: all of this is in one process."""
    monkeypatch.setattr(flows, "ARRIVE_S", 1.0)
    monkeypatch.setattr(flows, "SETTLE_S", 3.0)
