"""Queues that break a rule of QueueControl. A sabotage is a function `(queue)` that replaces the real servicer's methods."""
# ruff: noqa: N802 - methods are those of the gRPC service

from __future__ import annotations

import itertools

from plb_ray.errors import BadInputError, MigrationConflictError, StaleEpochError, UnknownMigrationError
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.conformance.kit import broken


@broken(
    "queue-migration/again",
    "queue-migration/joins",
    "queue-migration/id-taken",
    "queue-migration/bad-requests",
    fails="queue-migration/again queue-migration/joins queue-migration/id-taken",
)
def repeats_start_anew(queue):
    """Each request gets an id of its own, whatever it asks for."""
    numbers, migrate = itertools.count(1), queue.MigrateOrderParam

    async def MigrateOrderParam(request, context):
        asked = request.request_id
        if asked:
            request.request_id = f"{asked}/{next(numbers)}"
        async for record in migrate(request, context):
            yield record

    queue.MigrateOrderParam = MigrateOrderParam


@broken("queue-migration", fails="queue-migration/bad-requests")
def same_shard_accepted(queue):
    migrate = queue.MigrateOrderParam

    async def MigrateOrderParam(request, context):
        if request.source_shard == request.destination_shard:
            yield pb.Migration(migration_id=request.request_id, step=pb.MIGRATION_STEP_DONE)
            return
        async for record in migrate(request, context):
            yield record

    queue.MigrateOrderParam = MigrateOrderParam


@broken("queue-migration", fails="queue-migration/unknown-ids")
def unknown_migrations_are_bad_input(queue):
    get = queue.GetMigration

    async def GetMigration(request, context):
        try:
            return await get(request, context)
        except UnknownMigrationError as error:
            raise BadInputError(str(error)) from None

    queue.GetMigration = GetMigration


@broken("queue-migration", fails="queue-migration/cancel-late")
def cancel_accepted_after_the_end(queue):
    cancel = queue.CancelMigration

    async def CancelMigration(request, context):
        try:
            return await cancel(request, context)
        except StaleEpochError:
            record = await queue.GetMigration(request, context)
            if record.step != pb.MIGRATION_STEP_DONE:
                raise
            return record

    queue.CancelMigration = CancelMigration


@broken("queue-migration", fails="queue-migration/timeline")
def timeline_without_its_beginning(queue):
    timeline = queue.GetMigrationTimeline

    async def GetMigrationTimeline(request, context):
        found = await timeline(request, context)
        return pb.MigrationTimeline(records=found.records[:1])

    queue.GetMigrationTimeline = GetMigrationTimeline


@broken("queue", fails="queue/allocate queue/allocate-several")
def allocation_not_idempotent(queue):
    allocated, allocate = set(), queue.AllocateShards

    async def AllocateShards(request, context):
        key = (request.order_param, *request.shards)
        if key in allocated:
            raise MigrationConflictError(f"{request.order_param!r} is allocated already")
        answer = await allocate(request, context)
        allocated.add(key)
        return answer

    queue.AllocateShards = AllocateShards


@broken("queue", fails="queue/watch")
def watch_without_the_whole(queue):
    watch = queue.WatchAllocations

    async def WatchAllocations(request, context):
        async for update in watch(request, context):
            if not update.complete:
                yield update

    queue.WatchAllocations = WatchAllocations


@broken("queue", fails="queue/load")
def load_of_all_whoever_is_asked_for(queue):
    load = queue.GetLoadMetrics

    async def GetLoadMetrics(request, context):
        del request.shards[:]
        return await load(request, context)

    queue.GetLoadMetrics = GetLoadMetrics


TABLE = (
    repeats_start_anew,
    same_shard_accepted,
    unknown_migrations_are_bad_input,
    cancel_accepted_after_the_end,
    timeline_without_its_beginning,
    allocation_not_idempotent,
    watch_without_the_whole,
    load_of_all_whoever_is_asked_for,
)
