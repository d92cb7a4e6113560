"""Group "queue-migration": MigrateOrderParam and all that can be asked about a migration."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plb_ray.conformance.flows import append, eventually
from plb_ray.conformance.outcome import Failure, Skip, require, same
from plb_ray.conformance.queue import migrate_request
from plb_ray.conformance.registry import Needs, Table
from plb_ray.conformance.status import Refusal, demand, refused
from plb_ray.conformance.targets import shards_of
from plb_ray.conformance.traffic import Traffic
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case
    from plb_ray.conformance.shard import ShardUnderTest

TABLE = Table("queue-migration", Needs.QUEUE | Needs.TWO_QUEUE_SHARDS)
NO_SHARD = "plb-conformance-no-such-shard"
DONE, ABORTED = pb.MIGRATION_STEP_DONE, pb.MIGRATION_STEP_ABORTED


@TABLE.check("migrate")
async def migrate(case: Case) -> None:
    """MigrateOrderParam follows a migration through its steps to DONE, and the order param lives there then."""
    name, source, destination = await _placed(case)
    before = await case.queue.resolve(name)
    records = await case.queue.migrate(name, source, destination, case.migration(), reason="conformance")
    _ended_well(records)
    last = records[-1]
    ids = (last.migration_id, last.order_param, last.source, last.destination, last.reason)
    same("the last record", ids, (case.migration(), name, source, destination, "conformance"))
    require(last.HasField("pause_ms") and last.pause_ms >= 0, "the last record does not tell the pause")
    require(last.HasField("finished_s") and last.finished_s >= last.started_s, "the last record does not tell its end")
    after = await case.queue.resolve(name)
    same("shards and epoch", (list(after.shards), after.epoch), ([destination], before.epoch + 1))


@TABLE.check("chain")
async def chain(case: Case) -> None:
    """A chained migration ends with DONE, too, and appends go to the destination."""
    name, source, destination = await _placed(case)
    records = await case.queue.migrate(name, source, destination, case.migration(), mode=pb.MIGRATION_MODE_CHAIN)
    _ended_well(records)
    same("the mode of the last record", records[-1].mode, pb.MIGRATION_MODE_CHAIN)
    same("the last of its shards, which takes appends", (await case.queue.resolve(name)).shards[-1], destination)


@TABLE.check("again")
async def again(case: Case) -> None:
    """A repeat of a request that has ended answers its last record and moves nothing."""
    name, source, destination = await _placed(case)
    last = (await case.queue.migrate(name, source, destination, case.migration()))[-1]
    placed = await case.queue.resolve(name)
    repeated = await case.queue.migrate(name, source, destination, case.migration())
    same("the last record of the repeat", (repeated[-1].migration_id, repeated[-1].step), (last.migration_id, last.step))
    same("the placement after it", await case.queue.resolve(name), placed)


@TABLE.check("joins")
async def joins(case: Case) -> None:
    """The same request sent several times at once is one migration, and each sender is told its end."""
    name, source, destination = await _placed(case)
    calls = [case.queue.migrate(name, source, destination, case.migration()) for _ in range(4)]
    for records in await asyncio.gather(*calls):
        same("the end that a sender was told", (records[-1].migration_id, records[-1].step), (case.migration(), DONE))
    listed = [found for found in await case.queue.migrations(1000) if found.order_param == name]
    same("migrations listed of it", len(listed), 1)
    same("the epoch after it", (await case.queue.resolve(name)).epoch, 2)


@TABLE.check("id-taken")
async def id_taken(case: Case) -> None:
    """A request id that stands for another migration is refused."""
    name, source, destination = await _placed(case)
    await case.queue.migrate(name, source, destination, case.migration())
    swapped = case.queue.migrate(name, destination, source, case.migration())
    await refused(swapped, "another migration under a request id that is taken", "MIGRATION_CONFLICT")


@TABLE.check("one-at-a-time")
async def one_at_a_time(case: Case) -> None:
    """Of two migrations of one order param at once, one is done and the other is refused."""
    name, source, destination = await _placed(case)
    calls = [case.queue.migrate(name, source, destination, case.migration(number)) for number in (1, 2)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    same("how many of two were refused", len(lost), 1)
    if not isinstance(lost[0], Refusal):
        raise lost[0]
    demand(lost[0], "the second one", "MIGRATION_CONFLICT")
    same("the epoch after it", (await case.queue.resolve(name)).epoch, 2)


@TABLE.check("bad-requests")
async def bad_requests(case: Case) -> None:
    """Same shard, wrong source, unknown names and a missing request id are refused, and nothing moves."""
    name, source, destination = await _placed(case)
    move = case.queue.migrate
    await refused(move(name, source, source, case.migration()), "a migration to the same shard", "BAD_INPUT")
    await refused(move(name, source, destination, ""), "one without a request id", "BAD_INPUT")
    await refused(move(name, destination, source, case.migration()), "one from where it is not", "MIGRATION_CONFLICT")
    await refused(move(name, source, NO_SHARD, case.migration()), "one to an unknown shard", "UNKNOWN_SHARD")
    unknown = move(case.name("unknown"), source, destination, case.migration())
    await refused(unknown, "one of an unknown order param", "UNKNOWN_ORDER_PARAM")
    placed = await case.queue.resolve(name)
    same("shards and epoch", (list(placed.shards), placed.epoch), ([source], 1))


@TABLE.check("unknown-ids")
async def unknown_ids(case: Case) -> None:
    """Asking for, or cancelling, a migration that there never was is NOT_FOUND."""
    for doing, call in (
        ("GetMigration", case.queue.migration),
        ("GetMigrationTimeline", case.queue.timeline),
        ("CancelMigration", case.queue.cancel),
    ):
        await refused(call(case.migration()), f"{doing} of an unknown migration", "UNKNOWN_MIGRATION")


@TABLE.check("timeline")
async def timeline(case: Case) -> None:
    """GetMigrationTimeline has every step in order, with its time; GetMigration and ListMigrations have the last."""
    name, source, destination = await _placed(case)
    await case.queue.migrate(name, source, destination, case.migration())
    records = await case.queue.timeline(case.migration())
    _ended_well(records)
    times = [record.at_s for record in records]
    require(times[0] > 0 and times == sorted(times), f"their times do not rise: {times}")
    same("GetMigration", (await case.queue.migration(case.migration())).step, DONE)
    listed = [found.migration_id for found in await case.queue.migrations(1000)]
    require(case.migration() in listed, "ListMigrations lacks it")
    active = [found.migration_id for found in await case.queue.migrations(1000, active_only=True)]
    require(case.migration() not in active, "ListMigrations has it among the active ones after its end")


@TABLE.check("cancel-late")
async def cancel_late(case: Case) -> None:
    """Cancelling a migration that is done is refused, and it stays done."""
    name, source, destination = await _placed(case)
    await case.queue.migrate(name, source, destination, case.migration())
    await refused(case.queue.cancel(case.migration()), "cancelling what is done", "STALE_EPOCH", "PERMANENT")
    same("the step", (await case.queue.migration(case.migration())).step, DONE)
    same("its shards", list((await case.queue.resolve(name)).shards), [destination])


@TABLE.check("cancel")
async def cancel(case: Case) -> None:
    """Cancelling a running migration rolls it back, or is refused and it goes on; the placement follows the answer."""
    name, source, destination = await _placed(case)
    following = _follow(case, name, source, destination)
    try:
        await _first(following)
        cancelled = await _cancelled(case)
        rest = [record async for record in following]
    finally:
        following.cancel()
    last = rest[-1] if rest else await case.queue.migration(case.migration())
    same("the end that the follower was told", last.step, ABORTED if cancelled else DONE)
    placed = await case.queue.resolve(name)
    wanted = (source, 1) if cancelled else (destination, 2)
    same("owner and epoch", (placed.shards[-1], placed.epoch), wanted)


@TABLE.check("dropped-stream")
async def dropped_stream(case: Case) -> None:
    """Dropping the stream does not cancel the migration."""
    name, source, destination = await _placed(case)
    following = _follow(case, name, source, destination)
    await _first(following)
    following.cancel()

    async def done() -> bool:
        return (await case.queue.migration(case.migration())).step == DONE

    await eventually(done, "its stream was dropped, and it is not done")
    same("its shards", list((await case.queue.resolve(name)).shards), [destination])


@TABLE.check("traffic")
async def traffic(case: Case) -> None:
    """Migrations of both modes under traffic lose, double and reorder nothing."""
    name, source, destination = await _placed(case)
    async with shards_of(case.queue) as shards:
        _require_data(shards, source, destination)
        order = [shards.pop(source), *shards.values()]
        async with Traffic(name, order).running() as running:
            for number, mode in enumerate((1, 1, 2, 2, 1), start=1):
                records = await case.queue.migrate(name, source, destination, case.migration(number), mode=mode)
                same(f"the end of migration {number} ({records[-1].error})", records[-1].step, DONE)
                source, destination = destination, source
                await running.more(20)


@TABLE.check("rotation")
async def rotation(case: Case) -> None:
    """An order param that rotates over several shards is consumed in order."""
    name, ids = case.name(), list(case.queue.shards)[:2]
    async with shards_of(case.queue) as shards:
        _require_data(shards, *ids)
        placed = await case.queue.allocate(name, ids)
        home = shards.pop(placed.shards[-1])
        await append(home, name, 1, 1, placed.epoch, "first")
        async with Traffic(name, [home, *shards.values()], placed.epoch).running() as running:
            await running.more(200)


async def _placed(case: Case) -> tuple[str, str, str]:
    """Return an order param of this check, the shard that it lives on, and another one."""
    source, destination = list(case.queue.shards)[:2]
    placed = await case.queue.allocate(case.name(), [source])
    same("epoch and shards of a new order param", (placed.epoch, list(placed.shards)), (1, [source]))
    return case.name(), source, destination


def _require_data(shards: dict[str, ShardUnderTest], *needed: str) -> None:
    if not set(needed) <= set(shards) or not all(shard.has_data for shard in shards.values()):
        raise Skip("needs ShardData at the endpoints that ListShards tells")


def _follow(case: Case, name: str, source: str, destination: str) -> Any:
    request = migrate_request(name, source, destination, case.migration())
    return case.queue.calls.stream("MigrateOrderParam", request)


async def _first(following: Any) -> None:
    try:
        async with asyncio.timeout(10):
            await anext(aiter(following))
    except (TimeoutError, StopAsyncIteration):
        raise Failure("the migration told nothing of itself") from None


async def _cancelled(case: Case) -> bool:
    """Return whether the cancellation came in time."""
    try:
        record = await case.queue.cancel(case.migration())
    except Refusal as refusal:
        demand(refusal, "a cancellation that comes too late", "STALE_EPOCH", "PERMANENT")
        return False
    same("the step that CancelMigration answers", record.step, ABORTED)
    return True


def _ended_well(records: list[pb.Migration]) -> None:
    steps = [record.step for record in records]
    require(steps, "no record came")
    require(steps == sorted(steps), f"the steps do not rise: {[pb.MigrationStep.Name(step) for step in steps]}")
    same(f"the last step ({records[-1].error})", steps[-1], DONE)
