"""An adapter: `plb.v1.QueueControl` in front of the small queue, which knows nothing of plb-ray."""
# ruff: noqa: N802 - methods are those of the gRPC services

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from zlib import crc32

from plb_ray import errors
from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlServicer
from tests.own_queue.data_plane import CAPACITY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator

    from tests.own_queue.small_queue import Shard, SmallQueue

LOOK_S = 0.02  # between two looks for what is new
PREPARE, SEALED = pb.MIGRATION_STEP_PREPARE, pb.MIGRATION_STEP_SEALED
DONE, ABORTED = pb.MIGRATION_STEP_DONE, pb.MIGRATION_STEP_ABORTED


class Adapter(QueueControlServicer):
    """What the balancer may ask and command. Errors are raised; `start_server` makes the contract's statuses of them."""

    def __init__(self, queue: SmallQueue) -> None:
        self._queue = queue
        self._tasks: set[asyncio.Task[None]] = set()
        queue.database.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, id TEXT, record BLOB)")
        for record in self._latest(active_only=True):  # we were killed in the middle: the queue knows what became of it
            self._note(record, ABORTED if queue.placed(record.order_param)["epoch"] == record.epoch else DONE)

    async def ListShards(self, _request: Any, _context: Any) -> pb.ListShardsResponse:
        every = self._queue.shards.values()
        shards = [pb.ShardInfo(shard_id=one.shard_id, endpoint=one.endpoint, capacity=CAPACITY) for one in every]
        return pb.ListShardsResponse(shards=shards)

    async def GetLoadMetrics(self, asked: pb.GetLoadMetricsRequest, _context: Any) -> pb.LoadMetrics:
        wanted = [self._shard(shard_id) for shard_id in asked.shards or self._queue.shards]
        loads = {shard.shard_id: _shard_load(shard) for shard in wanted}
        waiting = {(row["name"], row["epoch"]): row for row in self._queue.backlogs()}
        for placed in self._queue.database.execute("SELECT * FROM placed"):
            if placed["shard"] in loads:
                own = waiting.pop((placed["name"], placed["epoch"]), None)
                loads[placed["shard"]].order_params.append(_order_param_load(placed, own))
        for row in waiting.values():  # backlog that stayed on a shard when the order param moved on
            if row["shard"] in loads and row["epoch"] < self._queue.placed(row["name"])["epoch"]:
                loads[row["shard"]].segments.append(_order_param_load(self._queue.placed(row["name"]), row))
        return pb.LoadMetrics(at_s=wall_time_s(), shards=loads.values())

    async def WatchLoadMetrics(self, asked: pb.WatchLoadMetricsRequest, context: Any) -> AsyncIterator[pb.LoadMetrics]:
        while True:
            yield await self.GetLoadMetrics(pb.GetLoadMetricsRequest(shards=asked.shards), context)
            await asyncio.sleep(max(0.05, asked.interval_s))

    # Where order params live

    async def AllocateShards(self, asked: pb.AllocateShardsRequest, _context: Any) -> pb.Placement:
        shards = list(asked.shards)
        if not asked.order_param or not shards or len(set(shards)) < len(shards):
            raise errors.BadInputError("AllocateShards needs an order param and shards, each once")
        for shard_id in shards:
            self._shard(shard_id)
        known = self._queue.known(asked.order_param) and self._placement(asked.order_param)
        if not known or (list(known.rotation) or [known.shards[-1]]) != shards:
            self._queue.place(asked.order_param, shards)
        return self._placement(asked.order_param)

    async def ResolveOrderParam(self, asked: pb.ResolveOrderParamRequest, _context: Any) -> pb.Placement:
        name, shards = asked.order_param, sorted(self._queue.shards)
        if name and asked.create and not self._queue.known(name):
            self._queue.place(name, [shards[crc32(name.encode()) % len(shards)]])
        return self._placement(name)

    async def WatchAllocations(self, _request: Any, _context: Any) -> AsyncIterator[pb.MappingUpdate]:
        seen, complete = 0, True
        while True:
            rows = self._queue.database.execute("SELECT * FROM placed WHERE change > ? ORDER BY change", (seen,)).fetchall()
            if rows or complete:
                seen = rows[-1]["change"] if rows else seen
                placements = [self._placement(row["name"]) for row in rows]
                yield pb.MappingUpdate(generation=seen, placements=placements, complete=complete)
                complete = False
            await asyncio.sleep(LOOK_S)

    # Migrations: the intent is written down first; the move is one transaction of the queue, and its commit point

    async def MigrateOrderParam(self, asked: pb.MigrateOrderParamRequest, _context: Any) -> AsyncIterator[pb.Migration]:
        if not asked.request_id or asked.source_shard == asked.destination_shard:
            raise errors.BadInputError("a migration needs a request_id, and leads to another shard")
        first = (self._records(asked.request_id) or [self._started(asked)])[0]
        if (first.order_param, first.destination) != (asked.order_param, asked.destination_shard):
            raise errors.MigrationConflictError(f"request id {asked.request_id!r} stands for another migration")
        told: list[pb.Migration] = []
        while not told or told[-1].step not in (DONE, ABORTED):
            for record in self._records(asked.request_id)[len(told) :]:
                yield record
                told.append(record)
            await asyncio.sleep(LOOK_S)

    def _started(self, asked: pb.MigrateOrderParamRequest) -> pb.Migration:
        name, source, destination = asked.order_param, asked.source_shard, self._shard(asked.destination_shard).shard_id
        placed = self._queue.placed(name)
        if placed["shard"] != source:
            raise errors.MigrationConflictError(f"{name!r} lives on {placed['shard']!r}, not on {source!r}")
        if any(active.order_param == name for active in self._latest(active_only=True)):
            raise errors.MigrationConflictError(f"another migration of {name!r} is running")
        record = pb.Migration(migration_id=asked.request_id, order_param=name, source=source, destination=destination)
        record.epoch, record.reason, record.mode = placed["epoch"], asked.reason, asked.mode or pb.MIGRATION_MODE_COPY
        self._note(record, PREPARE)
        task = asyncio.create_task(self._carry_out(record))  # whoever follows it may hang up
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return record

    async def _carry_out(self, record: pb.Migration) -> None:
        await asyncio.sleep(LOOK_S)  # a queue that copies between machines would do so here, while the source goes on
        if self._records(record.migration_id)[-1].step == ABORTED:
            return
        began_s, backlog = monotonic_s(), record.mode == pb.MIGRATION_MODE_COPY
        try:
            record.messages_copied = self._queue.move(record.order_param, record.destination, record.epoch, backlog=backlog)
        except errors.PlbError as error:  # it has gone elsewhere in the meantime
            record.error = str(error)
            self._note(record, ABORTED)
            return
        record.pause_ms = (monotonic_s() - began_s) * 1000
        self._note(record, SEALED)
        self._note(record, DONE)

    async def CancelMigration(self, asked: pb.CancelMigrationRequest, context: Any) -> pb.Migration:
        record = await self.GetMigration(pb.GetMigrationRequest(migration_id=asked.migration_id), context)
        if record.step not in (PREPARE, ABORTED):
            raise errors.StaleEpochError(record.order_param, record.epoch, record.epoch + 1)
        return record if record.step == ABORTED else self._note(record, ABORTED)

    async def GetMigration(self, asked: pb.GetMigrationRequest, context: Any) -> pb.Migration:
        return (await self.GetMigrationTimeline(asked, context)).records[-1]

    async def GetMigrationTimeline(self, asked: pb.GetMigrationRequest, _context: Any) -> pb.MigrationTimeline:
        if records := self._records(asked.migration_id):
            return pb.MigrationTimeline(records=records)
        raise errors.UnknownMigrationError(asked.migration_id)

    async def ListMigrations(self, asked: pb.ListMigrationsRequest, _context: Any) -> pb.ListMigrationsResponse:
        return pb.ListMigrationsResponse(migrations=self._latest(asked.limit or 100, active_only=asked.active_only))

    def _records(self, migration_id: str) -> list[pb.Migration]:
        found = self._queue.database.execute("SELECT record FROM migration WHERE id = ? ORDER BY number", (migration_id,))
        return [pb.Migration.FromString(row["record"]) for row in found]

    def _latest(self, limit: int = 1000, *, active_only: bool) -> list[pb.Migration]:
        found = self._queue.database.execute("SELECT MAX(number), record FROM migration GROUP BY id ORDER BY number DESC")
        records = (pb.Migration.FromString(row["record"]) for row in found)
        return [record for record in records if not active_only or record.step not in (DONE, ABORTED)][:limit]

    def _note(self, record: pb.Migration, step: pb.MigrationStep) -> pb.Migration:
        record.step, record.at_s = step, wall_time_s()
        record.started_s = record.started_s or record.at_s
        if step in (DONE, ABORTED):
            record.finished_s = record.at_s
        row = (record.migration_id, record.SerializeToString())
        with self._queue.database as database:
            database.execute("INSERT INTO migration (id, record) VALUES (?, ?)", row)
        return record

    def _shard(self, shard_id: str) -> Shard:
        if shard_id not in self._queue.shards:
            raise errors.UnknownShardError(shard_id)
        return self._queue.shards[shard_id]

    def _placement(self, name: str) -> pb.Placement:
        placed = self._queue.placed(name)
        shards = [*self._queue.behind(name), placed["shard"]]
        endpoints = [self._queue.shards[shard_id].endpoint for shard_id in shards]
        rotation = json.loads(placed["rotation"])
        return pb.Placement(order_param=name, shards=shards, epoch=placed["epoch"], endpoints=endpoints, rotation=rotation)


def _shard_load(shard: Shard) -> pb.ShardLoad:
    """The shard's capacity, 1 core, stands for the messages that it serves per second: its use is told as a share of it."""
    load = pb.ShardLoad(shard_id=shard.shard_id, at_s=wall_time_s(), served_total=shard.served_total)
    load.cpu_core_s_total = shard.served_total / shard.rate_per_s
    load.use.cpu_cores, load.use.memory_bytes = shard.per_s() / shard.rate_per_s, CAPACITY.memory_bytes / 100
    return load


def _order_param_load(placed: sqlite3.Row, waiting: sqlite3.Row | None) -> pb.OrderParamLoad:
    load = pb.OrderParamLoad(order_param=placed["name"], epoch=placed["epoch"], messages_total=placed["last_seq"])
    load.bytes_total, load.consumed_total = placed["bytes"], placed["acked_seq"]
    if waiting:
        load.epoch, load.backlog, load.backlog_bytes = waiting["epoch"], waiting["messages"], waiting["bytes"]
        load.oldest_age_s = max(0.0, wall_time_s() - waiting["oldest_s"])
    return load
