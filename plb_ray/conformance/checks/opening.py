"""Group "open": what a shard says of itself, and the first placement of an order param."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import state_is
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import Needs, Table
from plb_ray.conformance.status import refused
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("open", Needs.SHARD)
PROTOCOL_VERSION = 1


@TABLE.check("described")
async def described(case: Case) -> None:
    """A shard tells its id, the protocol's version and its capacity."""
    for shard in case.targets.shards:
        found = await shard.capabilities()
        require(found.shard_id, f"{shard.endpoint} has an empty shard_id")
        same("protocol_version", found.protocol_version, PROTOCOL_VERSION)
        for resource in ("cpu_cores", "memory_bytes", "io_bytes_per_s"):
            require(getattr(found.capacity, resource) > 0, f"capacity.{resource} is not above 0")


@TABLE.check("unknown-is-none")
async def unknown_is_none(case: Case) -> None:
    """An order param never heard of is NONE, and asking makes no record of it."""
    await state_is(case.a, case.name(), pb.OWNERSHIP_STATE_NONE)
    await state_is(case.a, case.name(), pb.OWNERSHIP_STATE_NONE)


@TABLE.check("open")
async def opens(case: Case) -> None:
    """Open makes NONE to ACTIVE(epoch), empty."""
    name = case.name()
    answer = await case.a.open(name, 1)
    same("the answer's state", answer.state, pb.OWNERSHIP_STATE_ACTIVE)
    state = await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 1)
    same("last_seq and acked_seq", (state.last_seq, state.acked_seq), (0, 0))


@TABLE.check("open-again")
async def opens_again(case: Case) -> None:
    """Open is idempotent."""
    first, again = await case.a.open(case.name()), await case.a.open(case.name())
    same("the repeated answer", again, first)


@TABLE.check("open-other-epoch")
async def other_epoch(case: Case) -> None:
    """Open at another epoch than the owner's is refused and changes nothing."""
    name = case.name()
    await case.a.open(name, 2)
    for epoch in (1, 3):
        refusal = await refused(case.a.open(name, epoch), f"Open at epoch {epoch} of one at epoch 2", "STALE_EPOCH")
        same("ErrorInfo's given and current", (refusal.data["given"], refusal.data["current"]), (str(epoch), "2"))
    await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 2)


@TABLE.check("listed")
async def listed(case: Case) -> None:
    """ListOrderParamStates has every order param, with the same state as GetOrderParamState."""
    names = [case.name(tail) for tail in ("x", "y")]
    for name in names:
        await case.a.open(name)
    found = {state.order_param: state for state in await case.a.states()}
    for name in names:
        require(name in found, f"{name!r} is open and not listed")
        same("the listed state", found[name], await case.a.state(name))
