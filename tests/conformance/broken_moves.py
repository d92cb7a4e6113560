"""Shards that leave something behind when an order param moves."""
# ruff: noqa: N802 - methods are those of the gRPC services

from __future__ import annotations

from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.conformance.broken_ownership import state_of
from tests.conformance.kit import broken


def resume_with(control, change):
    """Let `change(sealed)` alter what Resume is told."""
    resume = control.Resume

    async def Resume(request, context):
        await change(request.sealed)
        return await resume(request, context)

    control.Resume = Resume


@broken(
    "copy/dedupe-moves",
    "copy/dedupe-of-consumed",
    "copy/cursor-moves",
    "copy/in-flight-moves",
    "back/dedupe",
    "chain/dedupe-moves",
    fails="copy/dedupe-moves copy/dedupe-of-consumed back/dedupe chain/dedupe-moves",
)
def dedupe_table_not_moved(control, data):
    async def without_producers(sealed):
        del sealed.producers[:]

    resume_with(control, without_producers)


@broken("copy/five-steps", "copy/cursor-moves", "copy/dedupe-moves", fails="copy/cursor-moves")
def cursor_not_moved(control, data):
    async def from_the_start(sealed):
        state = await state_of(control, sealed.order_param)
        sealed.acked_seq = sealed.delivered_seq = state.acked_seq

    resume_with(control, from_the_start)


@broken("copy", fails="copy/in-flight-moves copy/holder-moves")
def in_flight_not_moved(control, data):
    async def nothing_in_flight(sealed):
        sealed.delivered_seq = sealed.acked_seq
        sealed.holder = ""

    resume_with(control, nothing_in_flight)


@broken(
    "copy/five-steps",
    "copy/while-writing",
    "copy/cursor-moves",
    "copy/incomplete",
    "seal/heals-tail",
    fails="copy/while-writing copy/incomplete seal/heals-tail",
)
def copy_loses_the_tail(control, data):
    """Only a migration's first copy copies, and Resume takes what is there for everything."""
    copied, copy = set(), control.CopyBacklog

    async def CopyBacklog(request, context):
        key = (request.order_param, request.migration_id)
        if key in copied:
            state = await state_of(control, request.order_param)
            yield pb.CopyProgress(last_seq=state.last_seq)
            return
        copied.add(key)
        async for progress in copy(request, context):
            yield progress

    async def up_to_here(sealed):
        sealed.final_seq = (await state_of(control, sealed.order_param)).last_seq

    control.CopyBacklog = CopyBacklog
    resume_with(control, up_to_here)


@broken("copy/five-steps", "copy/while-writing", "copy/cursor-moves", "copy/incomplete", fails="copy/incomplete")
def resumes_incomplete(control, data):
    async def up_to_here(sealed):
        sealed.final_seq = min(sealed.final_seq, (await state_of(control, sealed.order_param)).last_seq)

    resume_with(control, up_to_here)


@broken("seal", "chain", fails="seal/heals seal/heals-tail chain/heals")
def source_does_not_heal(control, data):
    """It takes every hand-over for confirmed as soon as it is sealed."""
    seal = control.Seal

    async def Seal(request, context):
        sealed = await seal(request, context)
        owner = {"shard_id": request.destination_shard, "endpoint": request.destination_endpoint}
        update = pb.UpdateMappingRequest(order_param=request.order_param, epoch=sealed.epoch, **owner)
        await control.UpdateMapping(update, context)
        return sealed

    control.Seal = Seal


@broken("load", fails="load/moves")
def totals_start_anew(control, data):
    async def without_bytes(sealed):
        sealed.bytes_total = 0

    resume_with(control, without_bytes)


@broken("load", fails="load/counters load/moves load/segments")
def load_without_order_params(control, data):
    get_load = control.GetLoad

    async def GetLoad(request, context):
        load = await get_load(request, context)
        del load.order_params[:]
        return load

    control.GetLoad = GetLoad


TABLE = (
    dedupe_table_not_moved,
    cursor_not_moved,
    in_flight_not_moved,
    copy_loses_the_tail,
    resumes_incomplete,
    source_does_not_heal,
    totals_start_anew,
    load_without_order_params,
)
