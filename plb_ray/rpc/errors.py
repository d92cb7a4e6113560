"""Errors of plb-ray as gRPC statuses and back. One table says which status each error becomes and which data it carries.

A status carries `google.rpc.ErrorInfo` (domain "plb.v1", the error's reason code, its constructor arguments as metadata),
and `google.rpc.RetryInfo` for a pause. A status without our ErrorInfo was made by gRPC itself (no connection, deadline,
message too large); what it means for the caller is decided in `plb_error`.

Servicers raise `PlbError` and nothing else; `ErrorInterceptor` does the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from plb_ray import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

DOMAIN = "plb.v1"
MAX_TEXT = 1000  # characters; HTTP/2 trailers are limited to 8 KiB
DETAILS_KEY = "grpc-status-details-bin"

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """How one error travels: its status code, and its constructor arguments by name and type (none: the text)."""

    error: type[errors.PlbError]
    code: grpc.StatusCode
    fields: tuple[tuple[str, type], ...] = ()


_RULES = (
    Rule(errors.PausedError, grpc.StatusCode.UNAVAILABLE, (("order_param", str), ("retry_after_ms", int))),
    Rule(
        errors.ShardUnavailableError,
        grpc.StatusCode.UNAVAILABLE,
        (("shard_id", str), ("endpoint", str), ("detail", str)),
    ),
    Rule(errors.TooManyMigrationsError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    Rule(errors.NotReadyError, grpc.StatusCode.UNAVAILABLE),
    Rule(errors.ControlUnavailableError, grpc.StatusCode.UNAVAILABLE),
    Rule(errors.ServiceUnreachableError, grpc.StatusCode.UNAVAILABLE, (("url", str), ("detail", str))),
    Rule(errors.RetryableError, grpc.StatusCode.UNAVAILABLE),
    Rule(errors.BadInputError, grpc.StatusCode.INVALID_ARGUMENT),
    Rule(errors.UnknownOrderParamError, grpc.StatusCode.NOT_FOUND, (("order_param", str),)),
    Rule(errors.UnknownShardError, grpc.StatusCode.NOT_FOUND, (("shard_id", str),)),
    Rule(errors.UnknownMigrationError, grpc.StatusCode.NOT_FOUND, (("migration_id", str),)),
    Rule(errors.UnknownEventError, grpc.StatusCode.NOT_FOUND, (("event_id", str),)),
    Rule(errors.UnknownRetrainingError, grpc.StatusCode.NOT_FOUND, (("retraining_id", str),)),
    Rule(errors.UnknownTokenError, grpc.StatusCode.NOT_FOUND, (("which", str),)),
    Rule(errors.UnknownDecisionError, grpc.StatusCode.NOT_FOUND, (("number", int),)),
    Rule(errors.UnknownPlanError, grpc.StatusCode.NOT_FOUND, (("plan_id", str),)),
    Rule(errors.PlanConflictError, grpc.StatusCode.FAILED_PRECONDITION),
    Rule(errors.JobServerUnavailableError, grpc.StatusCode.UNAVAILABLE),
    Rule(errors.PortInUseError, grpc.StatusCode.FAILED_PRECONDITION, (("endpoint", str), ("what", str))),
    Rule(errors.MigrationConflictError, grpc.StatusCode.ALREADY_EXISTS),
    Rule(errors.SequenceGapError, grpc.StatusCode.OUT_OF_RANGE, (("producer", str), ("last_seq", int))),
    Rule(errors.NoForecastError, grpc.StatusCode.FAILED_PRECONDITION),
    Rule(errors.NoPlanError, grpc.StatusCode.FAILED_PRECONDITION),
    Rule(errors.PermanentError, grpc.StatusCode.FAILED_PRECONDITION),
    Rule(
        errors.MovedError,
        grpc.StatusCode.FAILED_PRECONDITION,
        (("order_param", str), ("shard_id", str), ("endpoint", str), ("epoch", int)),
    ),
    Rule(
        errors.StaleEpochError,
        grpc.StatusCode.FAILED_PRECONDITION,
        (("order_param", str), ("given", int), ("current", int)),
    ),
    Rule(errors.LeaseExpiredError, grpc.StatusCode.FAILED_PRECONDITION),
    Rule(errors.NotTheOwnerError, grpc.StatusCode.FAILED_PRECONDITION),
    Rule(errors.NotTheHolderError, grpc.StatusCode.FAILED_PRECONDITION, (("order_param", str), ("holder", str))),
    Rule(errors.FencedError, grpc.StatusCode.FAILED_PRECONDITION),
    Rule(errors.RolledBackError, grpc.StatusCode.ABORTED, (("migration_id", str), ("step", str), ("why", str))),
    Rule(errors.OutcomeUnknownError, grpc.StatusCode.UNKNOWN),
)
_BY_TYPE = {rule.error: rule for rule in _RULES}
_BY_REASON = {rule.error.reason: rule for rule in _RULES}
_FALLBACK = Rule(errors.PlbError, grpc.StatusCode.INTERNAL)


@dataclass(frozen=True)
class Peer:
    """Whom a call went to, for error texts. `shard_id` may be any server's name."""

    shard_id: str
    endpoint: str


def status_of(error: errors.PlbError) -> status_pb2.Status:
    """Return the status that carries this error; a subclass without a rule travels as its nearest ancestor."""
    rule = next((_BY_TYPE[kind] for kind in type(error).__mro__ if kind in _BY_TYPE), _FALLBACK)
    metadata = {name: str(getattr(error, name))[:MAX_TEXT] for name, _ in rule.fields}
    details = [_packed(error_details_pb2.ErrorInfo(reason=rule.error.reason, domain=DOMAIN, metadata=metadata))]
    if isinstance(error, errors.PausedError):
        delay = duration_pb2.Duration(nanos=error.retry_after_ms % 1000 * 1_000_000, seconds=error.retry_after_ms // 1000)
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=rule.code.value[0], message=str(error)[:MAX_TEXT], details=details)


def error_of(status: status_pb2.Status) -> errors.PlbError | None:
    """Return the error that a status carries; None if it carries none of ours."""
    info = error_details_pb2.ErrorInfo()
    if not any(detail.Unpack(info) for detail in status.details) or info.domain != DOMAIN:
        return None
    rule = _BY_REASON.get(info.reason, _FALLBACK)
    if not rule.fields:
        return rule.error(status.message)
    try:
        return rule.error(*(kind(info.metadata[name]) for name, kind in rule.fields))
    except ValueError:
        return errors.PlbError(f"{info.reason} with malformed data: {status.message}")


def plb_error(error: grpc.aio.AioRpcError, peer: Peer, *, mutating: bool) -> errors.PlbError:
    """Return what a failed call means for its caller.

    Args:
        error: as raised by grpc.aio.
        peer: whom the call went to.
        mutating: the call changes something, so that a deadline or a broken call leaves the outcome unknown.
    """
    return _carried(error) or _of_grpc_itself(error, peer, mutating=mutating)


def _carried(error: grpc.aio.AioRpcError) -> errors.PlbError | None:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return error_of(status_pb2.Status.FromString(value))
    return None


def _of_grpc_itself(error: grpc.aio.AioRpcError, peer: Peer, *, mutating: bool) -> errors.PlbError:
    code, text = error.code(), (error.details() or error.code().name)[:MAX_TEXT]
    where = f"shard {peer.shard_id!r} at {peer.endpoint}"
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.ShardUnavailableError(peer.shard_id, peer.endpoint, text)
    if code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT):
        return errors.BadInputError(f"{where} refused the call: {text}")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.PermanentError(f"{where} does not speak this part of {DOMAIN}: {text}")
    if mutating:  # whatever else broke may have broken after the change was made
        return errors.OutcomeUnknownError(f"{where} gave no answer ({code.name}: {text}); repeat the call with the same id")
    if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return errors.ShardUnavailableError(peer.shard_id, peer.endpoint, text)
    return errors.PlbError(f"{where} failed with {code.name}: {text}")


async def answer(call: Awaitable[T], peer: Peer, *, mutating: bool) -> T:
    """Await a unary call; its failure is raised as a `PlbError`."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise plb_error(error, peer, mutating=mutating) from error


async def answers(call: AsyncIterable[T], peer: Peer, *, mutating: bool) -> AsyncIterator[T]:
    """Iterate over a server stream; its failure is raised as a `PlbError`, and leaving early cancels it."""
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise plb_error(error, peer, mutating=mutating) from error
    finally:
        call.cancel()  # type: ignore[attr-defined]  # every grpc.aio call has it; a no-op once it is over


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what servicers raise into statuses. Anything but a `PlbError` is our mistake: logged, INTERNAL to the caller."""

    async def intercept_service(self, continuation: Callable[..., Awaitable[Any]], handler_call_details: Any) -> Any:
        """Wrap the method's handler; see grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method
        if handler.response_streaming:
            kind = "stream_stream" if handler.request_streaming else "unary_stream"
            wrapped: Callable[..., Any] = _streaming(getattr(handler, kind), name)
        else:
            kind = "stream_unary" if handler.request_streaming else "unary_unary"
            wrapped = _unary(getattr(handler, kind), name)
        return handler._replace(**{kind: wrapped})


def _unary(behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
    async def wrapped(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the border: whatever it is becomes a status
            await _abort(context, error, method)

    return wrapped


def _streaming(behaviour: Callable[..., AsyncIterable[Any]], method: str) -> Callable[..., AsyncIterator[Any]]:
    async def wrapped(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        try:
            async for message in behaviour(request, context):
                yield message
        except Exception as error:  # noqa: BLE001 - the border: whatever it is becomes a status
            await _abort(context, error, method)

    return wrapped


async def _abort(context: grpc.aio.ServicerContext, error: Exception, method: str) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, errors.PlbError):
        status = rpc_status.to_status(status_of(error))
        await context.abort(status.code, status.details, status.trailing_metadata)
    log.error("%s failed", method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__} in {method}; the server's log has the details")


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def known_errors() -> Iterable[type[errors.PlbError]]:
    """Return every error that has a rule; a test holds this against `plb_ray.errors`."""
    return _BY_TYPE
