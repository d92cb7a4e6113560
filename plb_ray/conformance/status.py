"""The bare gRPC status of a refusal, and what a check may demand of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from plb_ray.conformance.outcome import Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "plb.v1"

CODE_OF = {
    "UNKNOWN_ORDER_PARAM": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_SHARD": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_MIGRATION": grpc.StatusCode.NOT_FOUND,
    "MOVED": grpc.StatusCode.FAILED_PRECONDITION,
    "STALE_EPOCH": grpc.StatusCode.FAILED_PRECONDITION,
    "LEASE_EXPIRED": grpc.StatusCode.FAILED_PRECONDITION,
    "NOT_THE_OWNER": grpc.StatusCode.FAILED_PRECONDITION,
    "NOT_THE_HOLDER": grpc.StatusCode.FAILED_PRECONDITION,
    "PERMANENT": grpc.StatusCode.FAILED_PRECONDITION,
    "PAUSED": grpc.StatusCode.UNAVAILABLE,
    "SHARD_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "RETRY": grpc.StatusCode.UNAVAILABLE,
    "ROLLED_BACK": grpc.StatusCode.ABORTED,
    "MIGRATION_CONFLICT": grpc.StatusCode.ALREADY_EXISTS,
    "TOO_MANY_MIGRATIONS": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "BAD_INPUT": grpc.StatusCode.INVALID_ARGUMENT,
    "SEQUENCE_GAP": grpc.StatusCode.OUT_OF_RANGE,
}
DATA_OF = {
    "MOVED": ("order_param", "shard_id", "endpoint", "epoch"),
    "STALE_EPOCH": ("order_param", "given", "current"),
    "NOT_THE_HOLDER": ("order_param", "holder"),
    "SEQUENCE_GAP": ("producer", "last_seq"),
}


@dataclass
class Refusal(Exception):  # noqa: N818  a check expects it as often as not
    """A call that ended with a status other than OK, as the wire carries it.

    Attributes:
        method: which call.
        reason: of ErrorInfo in the contract's domain; empty if there is none.
        data: ErrorInfo's metadata.
        retry_s: of RetryInfo; None if there is none.
    """

    method: str
    code: grpc.StatusCode
    text: str
    reason: str = ""
    data: dict[str, str] = field(default_factory=dict)
    retry_s: float | None = None

    def __str__(self) -> str:
        return f"{self.method} was refused: {self.seen}: {self.text}"

    @property
    def seen(self) -> str:
        """Code and reason, in short."""
        return f"{self.code.name} {self.reason or '(no ErrorInfo of plb.v1)'}"

    @classmethod
    def of(cls, method: str, error: grpc.aio.AioRpcError) -> Refusal:
        """Return what an error of grpc.aio carries."""
        refusal = cls(method, error.code(), error.details() or "")
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS_KEY and isinstance(value, bytes):
                refusal._read(status_pb2.Status.FromString(value))
        return refusal

    @classmethod
    def of_bytes(cls, method: str, data: bytes) -> Refusal:
        """Return what a serialised google.rpc.Status carries; one outcome of many."""
        status = status_pb2.Status.FromString(data)
        code = next((code for code in grpc.StatusCode if code.value[0] == status.code), grpc.StatusCode.UNKNOWN)
        refusal = cls(method, code, status.message)
        refusal._read(status)
        return refusal

    def _read(self, status: status_pb2.Status) -> None:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        for detail in status.details:
            if detail.Unpack(info) and info.domain == DOMAIN:
                self.reason, self.data = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                self.retry_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9


async def refused(call: Awaitable[Any], doing: str, *reasons: str) -> Refusal:
    """Return how a call was refused.

    Args:
        call: to be awaited.
        doing: what it tries, for the failure's words.
        reasons: any of these will do, each with the code and the data that the contract gives it.

    Raises:
        Failure: it was accepted, or refused otherwise than promised.
    """
    promised = " or ".join(f"{CODE_OF[reason].name} {reason}" for reason in reasons)
    try:
        answer = await call
    except Refusal as refusal:
        demand(refusal, doing, *reasons)
        return refusal
    raise Failure(f"{doing} was accepted ({_short(answer)}); promised is {promised}")


async def each_refused(calls: Mapping[str, Coroutine[Any, Any, Any]], where: str, *reasons: str) -> list[Refusal]:
    """Return how each of several calls was refused; they are made one after the other, until one is not.

    Args:
        calls: what each tries, and the call.
        where: follows each of these words in a failure.
        reasons: as of `refused`.
    """
    try:
        return [await refused(call, f"{doing} {where}", *reasons) for doing, call in calls.items()]
    finally:
        for call in calls.values():
            call.close()


def demand(refusal: Refusal, doing: str, *reasons: str) -> None:
    """Fail unless a refusal has one of these reasons, with its code and data."""
    promised = " or ".join(f"{CODE_OF[reason].name} {reason}" for reason in reasons)
    if refusal.reason not in reasons or refusal.code is not CODE_OF[refusal.reason]:
        raise Failure(f"{doing} was refused with {refusal.seen} ({refusal.text}); promised is {promised}")
    lacking = [name for name in DATA_OF.get(refusal.reason, ()) if name not in refusal.data]
    if lacking:
        raise Failure(f"{doing} was refused with {refusal.reason}, whose metadata lacks {', '.join(lacking)}")


async def refused_somehow(call: Awaitable[Any], doing: str, allowed: Callable[[Refusal], bool]) -> Refusal:
    """Return how a call was refused, where the contract leaves open which of several statuses it is."""
    try:
        answer = await call
    except Refusal as refusal:
        if not allowed(refusal):
            raise Failure(f"{doing} was refused with {refusal.seen} ({refusal.text}), which says something else") from None
        return refusal
    raise Failure(f"{doing} was accepted ({_short(answer)})")


def retryable(refusal: Refusal) -> bool:
    """Say whether a refusal is one that a repeat may get over: UNAVAILABLE, with a reason."""
    return refusal.code.name == "UNAVAILABLE" and bool(refusal.reason)


def _short(answer: Any) -> str:
    return " ".join(str(answer).split())[:100] or "an empty answer"
