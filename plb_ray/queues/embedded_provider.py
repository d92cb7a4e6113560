"""Starts and stops embedded shards while the queue runs: a `ShardProvider` over processes of this machine.

Intent is written before the act (`fleet_file`), so that a balancer that was killed anywhere goes on where it was:

    scale out   write STARTING -> start the process -> the coordinator lets it join -> write SERVING
    drain       write DRAINING -> the coordinator closes it; the plans that follow empty it
    remove      the coordinator lets it leave -> forget it -> stop the process; its data folder stays where it is
    restart     start every shard that is listed, on its data and port; then the coordinator; then close those DRAINING

A process that dies is started again on its data and its port. Shards live as long as their provider: a child stops when its
parent is gone, however it went.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from plb_ray.control.ports import ProvidedShard
from plb_ray.errors import BadInputError, MigrationConflictError, PlbError, PortInUseError, UnknownShardError
from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions
from plb_ray.queues.fleet_file import Fleet, Stage, Started, read_fleet, write_fleet
from plb_ray.rpc.shard_client import ShardClient

if TYPE_CHECKING:
    from pathlib import Path

    from plb_ray.migration.ports import ShardPort
    from plb_ray.queues.roster import Roster

log = logging.getLogger(__name__)
STANDARD = "standard"
SUPERVISE_EVERY_S = 0.5


class EmbeddedProvider:
    """See the module. Use from one event loop: `start`, give the coordinator `ports`, `joined`, and `close` at the end.

    Args:
        folder: the balancer's state folder; each shard's data is in `shards/NAME` below it.
        service_rate_per_s: messages each shard delivers per second at most; 0 does not cap.
    """

    def __init__(self, folder: Path, service_rate_per_s: float) -> None:
        self._folder = folder
        self._service_rate_per_s = service_rate_per_s
        self._fleet = Fleet()
        self._processes: dict[str, ShardProcess] = {}
        self._ports: dict[str, ShardClient] = {}
        self._roster: Roster | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    @property
    def ports(self) -> tuple[ShardPort, ...]:
        """Connections to the shards that run."""
        return tuple(self._ports.values())

    async def start(self) -> None:
        """Start every shard that was started before and has not left.

        Raises:
            BadInputError: the list of them is damaged.
            ShardUnavailableError: one does not start; what it holds could not be reached.
        """
        self._fleet = await asyncio.to_thread(read_fleet, self._folder)
        try:
            await asyncio.gather(*(self._run(shard) for shard in self._fleet.shards.values()))
        except BaseException:
            await self.close()
            raise
        self._supervisor = asyncio.create_task(self._restart_the_dead(), name="supervise elastic shards")

    async def joined(self, roster: Roster) -> None:
        """Take note that the coordinator has started with `ports`: go on with what was under way."""
        self._roster = roster
        for shard in list(self._fleet.shards.values()):
            stage = Stage.DRAINING if shard.stage is Stage.DRAINING and _closed(roster, shard.shard_id) else Stage.SERVING
            await self._write(self._fleet.changed(shard.shard_id, stage, self._processes[shard.shard_id].endpoint))

    async def close(self) -> None:
        """Stop all processes; what they hold stays on disk, and the next `start` brings it back."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        await asyncio.gather(*(port.close() for port in self._ports.values()), return_exceptions=True)
        await asyncio.gather(*(process.terminate() for process in self._processes.values()), return_exceptions=True)

    # ---- the ShardProvider port

    async def shards(self) -> tuple[ProvidedShard, ...]:
        """See `ShardProvider`."""
        return tuple(
            ProvidedShard(
                shard.shard_id,
                shard.shard_type,
                draining=shard.stage is Stage.DRAINING,
                starting=shard.stage is Stage.STARTING,
            )
            for shard in self._fleet.shards.values()
        )

    async def scale_out(self, count: int, shard_type: str = STANDARD) -> tuple[str, ...]:
        """See `ShardProvider`."""
        if shard_type != STANDARD:
            raise BadInputError(f"embedded shards are all of type {STANDARD!r}; there is no type {shard_type!r}")
        async with self._changing:
            before = set(self._fleet.shards)
            await self._write(self._fleet.plus(count, shard_type))
            fresh = tuple(name for name in self._fleet.shards if name not in before)
            for name in fresh:
                await self._join(name)
            return fresh

    async def drain(self, shard_id: str) -> None:
        """See `ShardProvider`."""
        async with self._changing:
            self._require(shard_id)
            self._joined.close(shard_id)  # first: it may refuse, and a restart closes it again
            await self._write(self._fleet.changed(shard_id, Stage.DRAINING))

    async def keep(self, shard_id: str) -> None:
        """See `ShardProvider`."""
        async with self._changing:
            self._require(shard_id)
            await self._write(self._fleet.changed(shard_id, Stage.SERVING))
            self._joined.reopen(shard_id)

    async def remove(self, shard_id: str) -> bool:
        """See `ShardProvider`."""
        async with self._changing:
            if shard_id not in self._fleet.shards:
                return True
            try:
                await self._joined.retire(shard_id)
            except MigrationConflictError as error:
                log.info("%s", error)
                return False
            await self._write(self._fleet.without(shard_id))
            await self._stop(shard_id)
            return True

    # ---- parts

    @property
    def _joined(self) -> Roster:
        assert self._roster is not None, "call `joined` first"
        return self._roster

    def _require(self, shard_id: str) -> Started:
        shard = self._fleet.shards.get(shard_id)
        if shard is None:
            raise UnknownShardError(shard_id)
        return shard

    async def _join(self, shard_id: str) -> None:
        """Start a shard and let it join. One that cannot is forgotten: nothing lives on it."""
        try:
            await self._run(self._fleet.shards[shard_id])
            await self._joined.add(self._ports[shard_id])
        except PlbError:
            if shard_id not in self._joined:
                await self._write(self._fleet.without(shard_id))
                await self._stop(shard_id)
            raise
        await self._write(self._fleet.changed(shard_id, Stage.SERVING, self._processes[shard_id].endpoint))

    async def _run(self, shard: Started) -> None:
        """Start the process of a shard; on its old port, or on another one if somebody has taken that."""
        options = ShardOptions(
            shard.shard_id,
            self._folder / "shards" / shard.shard_id,
            service_rate_per_s=self._service_rate_per_s,
        )
        process = ShardProcess(options, shard.listen)
        try:
            await process.start()
        except PortInUseError as error:
            log.warning("%s; shard %s takes another port", error, shard.shard_id)
            process = ShardProcess(options)
            await process.start()
        self._processes[shard.shard_id] = process
        self._ports[shard.shard_id] = ShardClient(shard.shard_id, process.endpoint)

    async def _stop(self, shard_id: str) -> None:
        port, process = self._ports.pop(shard_id, None), self._processes.pop(shard_id, None)
        if port is not None:
            await port.close()
        if process is not None:
            await process.terminate()

    async def _write(self, fleet: Fleet) -> None:
        await asyncio.to_thread(write_fleet, self._folder, fleet)
        self._fleet = fleet

    async def _restart_the_dead(self) -> None:
        while True:
            await asyncio.sleep(SUPERVISE_EVERY_S)
            for shard_id, process in list(self._processes.items()):
                if process.running or self._processes.get(shard_id) is not process:
                    continue
                log.warning("shard %s died; starting it again", shard_id)
                try:
                    await process.start()
                except PlbError as error:  # the next round tries again
                    log.warning("shard %s does not start: %s", shard_id, error)


def _closed(roster: Roster, shard_id: str) -> bool:
    """Close a shard that was draining; return False if it must stay after all."""
    try:
        roster.close(shard_id)
    except MigrationConflictError as error:
        log.warning("%s", error)
        return False
    return True
