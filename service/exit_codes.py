"""The exit codes of `plb`: the one place that defines them. `plb --help` and docs/cli.md show this table."""

from __future__ import annotations

from enum import IntEnum

from plb_ray.errors import (
    BadInputError,
    FencedError,
    MigrationConflictError,
    OutcomeUnknownError,
    PermanentError,
    PlanConflictError,
    PlbError,
    PortInUseError,
    RetryableError,
    RolledBackError,
    ServiceUnreachableError,
    ShardUnavailableError,
)


class ExitCode(IntEnum):
    """What `plb` tells the program that started it."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_READY = 4
    REFUSED = 5
    UNKNOWN_NAME = 6
    PORT_IN_USE = 7
    CHECKS_FAILED = 8
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected failure; PLB_DEBUG=1 shows where",
    ExitCode.USAGE: "wrong usage, or a malformed file, configuration or argument",
    ExitCode.UNREACHABLE: "nothing answers at the service's URL, or a shard does not answer",
    ExitCode.NOT_READY: "not ready, busy or out of time; the same command may work later",
    ExitCode.REFUSED: "refused: not allowed, a conflict, somebody else owns it, or it was rolled back",
    ExitCode.UNKNOWN_NAME: "no such order param, shard, migration, event, retraining, plan, version or forecast",
    ExitCode.PORT_IN_USE: "a port that is needed is in use",
    ExitCode.CHECKS_FAILED: (
        "a check failed (plb doctor, plb demo, plb plan, plb conformance, plb replay, plb retrain, plb config)"
    ),
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
}

# From special to general: the first class that fits decides.
_BY_CLASS: tuple[tuple[type[PlbError], ExitCode], ...] = (
    (ServiceUnreachableError, ExitCode.UNREACHABLE),
    (ShardUnavailableError, ExitCode.UNREACHABLE),
    (RetryableError, ExitCode.NOT_READY),
    (OutcomeUnknownError, ExitCode.NOT_READY),
    (BadInputError, ExitCode.USAGE),
    (PortInUseError, ExitCode.PORT_IN_USE),
    (MigrationConflictError, ExitCode.REFUSED),
    (PlanConflictError, ExitCode.REFUSED),
    (PermanentError, ExitCode.UNKNOWN_NAME),
    (FencedError, ExitCode.REFUSED),
    (RolledBackError, ExitCode.REFUSED),
)


_BY_STATUS = {401: ExitCode.REFUSED, 403: ExitCode.REFUSED, 429: ExitCode.NOT_READY}
_BY_REASON = {"INVALID_REQUEST": ExitCode.USAGE}  # of the API alone, without a class


def exit_code_of(error: PlbError) -> ExitCode:
    """Return the exit code for an error, be it raised here or answered by the service with its code."""
    kind = _class_of(error.reason, PlbError) or type(error)
    if kind is type(error) and getattr(error, "status", 0) in _BY_STATUS:  # of the API alone as well
        return _BY_STATUS[error.status]  # type: ignore[attr-defined]
    by_class = next((code for base, code in _BY_CLASS if issubclass(kind, base)), ExitCode.UNEXPECTED)
    return _BY_REASON.get(error.reason, by_class)


def _class_of(reason: str, base: type[PlbError]) -> type[PlbError] | None:
    if vars(base).get("reason") == reason:
        return base
    return next((found for below in base.__subclasses__() if (found := _class_of(reason, below))), None)
