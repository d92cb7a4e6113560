"""Group "bad-input": what cannot be meant is refused with its documented status, and nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from plb_ray.conformance.flows import append, opened, payloads, state_is
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import ONE, TWO, Needs, Table
from plb_ray.conformance.status import Refusal, each_refused, refused
from plb_ray.rpc.channel import MAX_PAYLOAD_BYTES
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("bad-input", ONE)
TOO_LARGE = 2**63  # fits the wire's uint64 and not a database's signed integer
LONG_NAME = "x" * 10_000


@TABLE.check("unknown")
async def unknown(case: Case) -> None:
    """Calls for an order param never heard of are NOT_FOUND, and make no record of it."""
    name, shard = case.name(), case.a
    calls = {
        "an append": shard.append(name, 1, [b"x"]),
        "a poll": shard.poll([name]),
        "an ack": shard.ack(name, 1),
        "a Nack": shard.nack(name, 1),
        "Export": shard.export(name),
        "Pause": shard.pause(name, case.migration()),
        "Seal": shard.seal(name, case.migration(), shard),
        "Resume": shard.resume(name, case.migration(), _seal(name, case.migration())),
    }
    await each_refused(calls, "of an unknown order param", "UNKNOWN_ORDER_PARAM")
    await state_is(shard, name, pb.OWNERSHIP_STATE_NONE)


@TABLE.check("names")
async def names(case: Case) -> None:
    """Empty and oversized names are refused."""
    shard, name = case.a, case.name()
    await opened(shard, name)
    for bad in ("", LONG_NAME):
        calls = {
            "Open of order param": shard.open(bad),
            "an append to order param": shard.append(bad, 1, [b"x"]),
            "an append by producer": shard.append(name, 1, [b"x"], producer=bad),
            "a poll by consumer": shard.poll([name], bad),
        }
        await each_refused(calls, f"{bad[:3]!r} of {len(bad)} characters", "BAD_INPUT")


@TABLE.check("appends")
async def appends(case: Case) -> None:
    """An append without payloads, without numbers, or with an oversized payload is refused."""
    shard, name = case.a, case.name()
    await opened(shard, name, 1)
    await refused(shard.append(name, 2, []), "an append without payloads", "BAD_INPUT")
    await refused(shard.append(name, 0, [b"x"]), "an append numbered 0", "BAD_INPUT")
    await refused(shard.append(name, TOO_LARGE, [b"x"]), "an append numbered 2^63", "BAD_INPUT", "SEQUENCE_GAP")
    await refused(shard.append(name, 2, [bytes(MAX_PAYLOAD_BYTES + 1)]), "a payload of 1 MiB + 1", "BAD_INPUT")
    same("last_seq", (await shard.state(name)).last_seq, 1)
    same("last_seq after a good one", await append(shard, name, 2, 1), 2)


@TABLE.check("ack-beyond")
async def ack_beyond(case: Case) -> None:
    """An acknowledgement beyond the last message is refused."""
    name = case.name()
    await opened(case.a, name, 3)
    await refused(case.a.ack(name, 4), "an ack of 4 of 3 messages", "BAD_INPUT")
    await refused(case.a.ack(name, TOO_LARGE), "an ack of 2^63", "BAD_INPUT")
    same("acked_seq", (await case.a.state(name)).acked_seq, 0)


@TABLE.check("numbers", Needs.SHARD)
async def numbers(case: Case) -> None:
    """Epoch 0, a lease of 0 and numbers that cannot be stored are refused."""
    shard, name = case.a, case.name()
    await refused(shard.open(name, 0), "Open at epoch 0", "BAD_INPUT")
    await refused(shard.open(name, TOO_LARGE), "Open at epoch 2^63", "BAD_INPUT")
    await state_is(shard, name, pb.OWNERSHIP_STATE_NONE)
    await shard.open(name)
    await refused(shard.pause(name, case.migration(), lease_ms=0), "a pause without a lease", "BAD_INPUT")
    await refused(shard.pause(name, ""), "a pause without a migration id", "BAD_INPUT")
    await state_is(shard, name, pb.OWNERSHIP_STATE_ACTIVE, 1)


@TABLE.check("seal-to-nowhere")
async def seal_to_nowhere(case: Case) -> None:
    """A seal without a destination is refused, and the pause stays."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 1)
    await case.a.pause(name, migration)
    request = pb.SealRequest(order_param=name, migration_id=migration, epoch=1)
    await refused(case.a.calls.one("Seal", request), "a seal without a destination", "BAD_INPUT")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_PAUSED, 1)


@TABLE.check("forged-seal", TWO)
async def forged_seal(case: Case) -> None:
    """Resume with the seal of another order param or of another migration is refused, and the import stays."""
    name, migration = case.name(), case.migration()
    await opened(case.a, name, 2)
    await case.b.copy(name, migration, case.a)
    for forged in (_seal(case.name("other"), migration), _seal(name, case.migration(2))):
        await refused(case.b.resume(name, migration, forged), "Resume with a seal that is not its own", "BAD_INPUT")
    await state_is(case.b, name, pb.OWNERSHIP_STATE_IMPORTING, 2)


@TABLE.check("copy-from-nowhere", TWO)
async def copy_from_nowhere(case: Case) -> None:
    """A copy from an endpoint where nothing listens is UNAVAILABLE."""
    request = pb.CopyBacklogRequest(
        order_param=case.name(), migration_id=case.migration(), epoch=1, source_endpoint="127.0.0.1:1"
    )
    await refused(case.b.calls.many("CopyBacklog", request), "a copy from nowhere", "SHARD_UNAVAILABLE")


@TABLE.check("copy-unknown", TWO)
async def copy_unknown(case: Case) -> None:
    """A copy of what the source does not have is NOT_FOUND."""
    name = case.name()
    await refused(case.b.copy(name, case.migration(), case.a), "a copy of an unknown order param", "UNKNOWN_ORDER_PARAM")


@TABLE.check("garbage")
async def garbage(case: Case) -> None:
    """Bytes that are no request, and methods that do not exist, are refused, and the shard serves on."""
    name = case.name()
    await opened(case.a, name, 1)
    for method, doing in (("ShardData/Append", "garbage"), ("ShardControl/NoSuchCall", "an unknown method")):
        call = case.a.channel.unary_unary(f"/plb.v1.{method}")
        try:
            await call(b"\xff\xff\xff\xff", timeout=5)
        except grpc.aio.AioRpcError as error:
            code = Refusal.of(method, error).code
            unserved = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            require(code not in unserved, f"{doing} was answered with {code.name}")
        else:
            require(holds=False, words=f"{doing} was accepted")
    same("last_seq after it", (await case.a.append(name, 2, payloads(2, 1))).last_seq, 2)


def _seal(name: str, migration: str) -> pb.SealRecord:
    return pb.SealRecord(order_param=name, migration_id=migration, epoch=2, final_seq=2)
