"""Group "pause": step 1 and its lease."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s
from plb_ray.conformance.flows import append, eventually, opened, payloads, state_is, take_exactly
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import ONE, Needs, Table
from plb_ray.conformance.status import refused
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("pause", ONE)
LEASE_MS = 400
LATE_S = 1.0  # how much later than its lease a pause may end


@TABLE.check("refuses-appends")
async def refuses_appends(case: Case) -> None:
    """Appends are refused while paused, with RetryInfo, and nothing is stored."""
    name = case.name()
    await opened(case.a, name, 2)
    await case.a.pause(name, case.migration())
    refusal = await refused(case.a.append(name, 3, payloads(3, 1)), "an append while paused", "PAUSED")
    require(refusal.retry_s is not None, "the refusal carries no google.rpc.RetryInfo")
    state = await state_is(case.a, name, pb.OWNERSHIP_STATE_PAUSED, 1)
    same("last_seq", state.last_seq, 2)
    same("migration_id", state.migration_id, case.migration())
    require(0 < state.lease_left_ms <= 10_000, f"lease_left_ms is {state.lease_left_ms:g} of 10000")


@TABLE.check("consuming-goes-on")
async def consuming_goes_on(case: Case) -> None:
    """Polls and acknowledgements go on while paused."""
    name = case.name()
    await opened(case.a, name, 3)
    await case.a.pause(name, case.migration())
    await take_exactly(case.a, name, 1, 3)
    same("acked_seq", await case.a.ack(name, 2), 2)


@TABLE.check("lease-ends")
async def lease_ends(case: Case) -> None:
    """A pause ends by itself with its lease, and the shard serves under the same epoch."""
    name = case.name()
    await opened(case.a, name, 1)
    start_s = monotonic_s()
    await case.a.pause(name, case.migration(), lease_ms=LEASE_MS)
    await refused(case.a.append(name, 2, payloads(2, 1)), "an append right after Pause", "PAUSED")

    async def accepted() -> bool:
        return await append(case.a, name, 2, 1) == 2

    await eventually(accepted, f"appends are refused after a lease of {LEASE_MS} ms", LEASE_MS / 1000 + LATE_S)
    early_s = LEASE_MS / 1000 - (monotonic_s() - start_s)
    require(early_s < 0.05, f"an append was accepted {early_s * 1000:.0f} ms before the lease ended")
    await state_is(case.a, name, pb.OWNERSHIP_STATE_ACTIVE, 1)


@TABLE.check("renewed")
async def renewed(case: Case) -> None:
    """A repeat by the same migration renews the lease."""
    name = case.name()
    await opened(case.a, name, 1)
    await case.a.pause(name, case.migration(), lease_ms=LEASE_MS)
    again = await case.a.pause(name, case.migration(), lease_ms=20 * LEASE_MS)
    require(again.lease_left_ms > 2 * LEASE_MS, f"after a renewal to {20 * LEASE_MS} ms {again.lease_left_ms:g} ms are left")
    await asyncio.sleep(LEASE_MS / 1000 + 0.1)
    await refused(case.a.append(name, 2, payloads(2, 1)), "an append within the renewed lease", "PAUSED")


@TABLE.check("conflict")
async def conflict(case: Case) -> None:
    """A pause by another migration is refused, and the first one keeps it."""
    name = case.name()
    await opened(case.a, name)
    await case.a.pause(name, case.migration(1))
    await refused(case.a.pause(name, case.migration(2)), "a pause by a second migration", "MIGRATION_CONFLICT")
    same("migration_id", (await state_is(case.a, name, pb.OWNERSHIP_STATE_PAUSED)).migration_id, case.migration(1))


@TABLE.check("stale-epoch")
async def stale_epoch(case: Case) -> None:
    """A pause at another epoch than the owner's is refused, and appends go on."""
    name = case.name()
    await case.a.open(name, 2)
    for epoch in (1, 3):
        await refused(case.a.pause(name, case.migration(), epoch), f"a pause at epoch {epoch} of 2", "STALE_EPOCH")
    await append(case.a, name, 1, 1, epoch=2)


@TABLE.check("destination-tries", ONE | Needs.TWO_SHARDS)
async def destination_tries(case: Case) -> None:
    """A shard that is being copied to serves nothing, and says that it is paused."""
    name = case.name()
    await opened(case.a, name, 2)
    await case.b.copy(name, case.migration(), case.a)
    await state_is(case.b, name, pb.OWNERSHIP_STATE_IMPORTING, 2)
    for epoch in (1, 2):
        await refused(case.b.append(name, 3, payloads(3, 1), epoch), "an append to a shard that imports", "PAUSED")
    await refused(case.b.poll([name]), "a poll of a shard that imports", "PAUSED")
    same("last_seq at the source", await append(case.a, name, 3, 1), 3)
