"""Shards that break a rule of ownership: pauses, leases, seals, tombstones, epochs."""
# ruff: noqa: N802 - methods are those of the gRPC services

from __future__ import annotations

import grpc

from plb_ray.errors import (
    FencedError,
    LeaseExpiredError,
    MigrationConflictError,
    MovedError,
    PausedError,
    PermanentError,
    PlbError,
    UnknownOrderParamError,
)
from plb_ray.rpc.errors import status_of
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.conformance.kit import broken


async def state_of(control, order_param):
    return await control.GetOrderParamState(pb.OrderParamRequest(order_param=order_param), None)


@broken("pause", "bad-input", fails="pause/refuses-appends pause/lease-ends pause/renewed")
def appends_accepted_while_paused(control, data):
    pauses, pause, append = {}, control.Pause, data.Append

    async def Pause(request, context):
        pauses[request.order_param] = request
        return await pause(request, context)

    async def Append(request, context):
        try:
            return await append(request, context)
        except PausedError:
            held = pauses.get(request.order_param)
            if held is None:
                raise
            await control.Abort(pb.AbortRequest(order_param=held.order_param, migration_id=held.migration_id), context)
            answer = await append(request, context)
            await pause(held, context)
            return answer

    control.Pause, data.Append = Pause, Append


@broken("fence", fails="fence/epoch fence/old-epoch")
def epoch_not_checked(control, data):
    append = data.Append

    async def Append(request, context):
        state = await state_of(control, request.order_param)
        request.epoch = state.epoch
        return await append(request, context)

    data.Append = Append


@broken("pause", "seal/late", "seal/again", fails="pause/refuses-appends pause/lease-ends seal/late")
def lease_never_ends(control, data):
    pause = control.Pause

    async def Pause(request, context):
        request.lease_ms *= 10_000 if request.lease_ms else 1
        answer = await pause(request, context)
        answer.lease_left_ms /= 10_000
        return answer

    control.Pause = Pause


@broken("seal/needs-a-pause", "seal/late", "seal/by-another", "abort", fails="seal/needs-a-pause seal/late abort/source")
def late_seal_accepted(control, data):
    seal = control.Seal

    async def Seal(request, context):
        try:
            return await seal(request, context)
        except LeaseExpiredError:
            ids = {"order_param": request.order_param, "migration_id": request.migration_id}
            await control.Pause(pb.PauseRequest(**ids, epoch=request.epoch, lease_ms=1000), context)
            return await seal(request, context)

    control.Seal = Seal


@broken("pause", fails="pause/conflict")
def second_pause_takes_over(control, data):
    pause = control.Pause

    async def Pause(request, context):
        try:
            return await pause(request, context)
        except MigrationConflictError:
            state = await state_of(control, request.order_param)
            await control.Abort(pb.AbortRequest(order_param=request.order_param, migration_id=state.migration_id), context)
            return await pause(request, context)

    control.Pause = Pause


@broken("fence", "seal/redirects", fails="fence/tombstone fence/mapping-forward")
def tombstone_forgets_after_the_drain(control, data):
    drained, drain, append, poll = set(), control.Drain, data.Append, data.Poll

    async def Drain(request, context):
        async for progress in drain(request, context):
            yield progress
        drained.add(request.order_param)

    async def forgetful(method, name, request, context):
        try:
            return await method(request, context)
        except MovedError:
            if name in drained:
                raise UnknownOrderParamError(name) from None
            raise

    control.Drain = Drain
    data.Append = lambda request, context: forgetful(append, request.order_param, request, context)
    data.Poll = lambda request, context: forgetful(poll, next(iter(request.order_params), ""), request, context)


@broken("seal/record", "seal/again", "seal/redirects", fails="seal/again")
def repeated_seal_answers_a_new_record(control, data):
    seen, seal = set(), control.Seal

    async def Seal(request, context):
        answer = await seal(request, context)
        answer.epoch += request.order_param in seen
        seen.add(request.order_param)
        return answer

    control.Seal = Seal


@broken("abort", fails="abort/after-seal abort/after-resume")
def abort_accepted_after_the_seal(control, data):
    abort = control.Abort

    async def Abort(request, context):
        try:
            return await abort(request, context)
        except (FencedError, PermanentError):
            return await state_of(control, request.order_param)

    control.Abort = Abort


@broken("drain", "back", fails="drain/before-seal back/late-drain")
def drain_deletes_what_is_owned(control, data):
    drain = control.Drain

    async def Drain(request, context):
        try:
            async for progress in drain(request, context):
                yield progress
        except MigrationConflictError:
            state = await state_of(control, request.order_param)
            ack = pb.AckRequest(order_param=request.order_param, epoch=state.epoch, up_to_seq=state.last_seq, consumer="c")
            await data.Ack(ack, context)
            yield pb.DrainProgress(deleted=state.last_seq - state.acked_seq)

    control.Drain = Drain


@broken("fence", "open", fails="fence/open-after")
def opened_anew_over_a_tombstone(control, data):
    opening = control.Open

    async def Open(request, context):
        try:
            return await opening(request, context)
        except MovedError:
            return pb.OrderParamState(order_param=request.order_param, state=pb.OWNERSHIP_STATE_ACTIVE, epoch=request.epoch)

    control.Open = Open


@broken("fence", fails="fence/mapping-forward")
def mapping_goes_back(control, data):
    update = control.UpdateMapping

    async def UpdateMapping(request, context):
        state = await state_of(control, request.order_param)
        if state.state == pb.OWNERSHIP_STATE_SEALED:
            request.epoch = max(request.epoch, state.epoch)
        return await update(request, context)

    control.UpdateMapping = UpdateMapping


@broken(
    "bad-input",
    "append",
    fails="""bad-input/unknown bad-input/names bad-input/appends bad-input/ack-beyond bad-input/numbers
    bad-input/seal-to-nowhere bad-input/forged-seal append/gap""",
)
def refuses_without_error_info(control, data):
    """The right code and text, and no google.rpc.ErrorInfo."""
    for service, methods in ((control, "Open Pause Seal Resume Abort UpdateMapping"), (data, "Append Poll Ack Nack")):
        for method in methods.split():
            setattr(service, method, _bare(getattr(service, method)))


def _bare(method):
    async def bare(request, context):
        try:
            return await method(request, context)
        except PlbError as error:
            code = next(code for code in grpc.StatusCode if code.value[0] == status_of(error).code)
            await context.abort(code, str(error))

    return bare


TABLE = (
    appends_accepted_while_paused,
    epoch_not_checked,
    lease_never_ends,
    late_seal_accepted,
    second_pause_takes_over,
    tombstone_forgets_after_the_drain,
    repeated_seal_answers_a_new_record,
    abort_accepted_after_the_seal,
    drain_deletes_what_is_owned,
    opened_anew_over_a_tombstone,
    mapping_goes_back,
    refuses_without_error_info,
)
