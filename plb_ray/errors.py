"""Every error of plb-ray, ordered by what the caller may do about it.

    PlbError
    |- RetryableError          the same call may succeed later, nothing was changed
    |  |- PausedError              the order param is paused or being imported; retry after `retry_after_ms`
    |  |- ShardUnavailableError    the shard does not answer
    |  |- TooManyMigrationsError   the cap on running migrations is reached
    |  |- NotReadyError            the control loop has not done its first tick, or sees no shard
    |  |- ControlUnavailableError  the control loop does not answer; it is being restarted
    |  |- ServiceUnreachableError  nothing answers at the service's URL
    |  |- JobServerUnavailableError  Ray's job server does not answer, or there is none
    |- PermanentError          the same call will never work
    |  |- BadInputError            malformed file, configuration or argument (what, where, what to do)
    |  |- UnknownOrderParamError
    |  |- UnknownShardError
    |  |- UnknownMigrationError
    |  |- UnknownEventError
    |  |- UnknownRetrainingError
    |  |- UnknownTokenError        no such API token
    |  |- UnknownDecisionError
    |  |- UnknownPlanError
    |  |- PortInUseError
    |  |- MigrationConflictError   another migration runs on this order param
    |  |- SequenceGapError         a producer skipped one of its own sequence numbers
    |  |- NoForecastError          there is not enough history to forecast from
    |  |- NoPlanError              the balancer is in a mode that makes no plans, or nothing needs to move
    |  |- PlanConflictError        a saved plan has ended, or orders stand against it
    |- FencedError             somebody else owns it now; ask for the current placement and go there
    |  |- MovedError               the order param lives elsewhere: `shard_id`, `endpoint`, `epoch`
    |  |- StaleEpochError          the call carries an older epoch than the shard's
    |  |- LeaseExpiredError        the pause ended by itself before SEAL
    |  |- NotTheOwnerError         a second balancer holds the journal
    |  |- NotTheHolderError        another consumer holds the order param; drop what was delivered
    |- RolledBackError         a migration was undone before its commit point: `step`, `reason`
    |- OutcomeUnknownError     the call may or may not have been carried out; repeat it with the same id

Instances cross process borders (gRPC, Ray), so each can be pickled: all data are constructor arguments.
"""

from __future__ import annotations

from typing import ClassVar


class PlbError(Exception):
    """Base of all errors of plb-ray. `reason` is a stable code for machines, the text is for people."""

    reason: ClassVar[str] = "PLB_ERROR"


class RetryableError(PlbError):
    """The same call may succeed later."""

    reason = "RETRY"


class PausedError(RetryableError):
    """The order param is paused, or its import is not finished."""

    reason = "PAUSED"

    def __init__(self, order_param: str, retry_after_ms: int = 5) -> None:
        super().__init__(order_param, retry_after_ms)
        self.order_param = order_param
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"order param {self.order_param!r} is paused; retry in {self.retry_after_ms} ms"


class ShardUnavailableError(RetryableError):
    """A shard does not answer."""

    reason = "SHARD_UNAVAILABLE"

    def __init__(self, shard_id: str, endpoint: str, detail: str = "") -> None:
        super().__init__(shard_id, endpoint, detail)
        self.shard_id = shard_id
        self.endpoint = endpoint
        self.detail = detail

    def __str__(self) -> str:
        why = f" ({self.detail})" if self.detail else ""
        return f"shard {self.shard_id!r} at {self.endpoint} does not answer{why}; check that it runs and is reachable"


class TooManyMigrationsError(RetryableError):
    """The cap on migrations that run at once is reached."""

    reason = "TOO_MANY_MIGRATIONS"


class NotReadyError(RetryableError):
    """The control loop has not done its first tick yet, or sees no shard."""

    reason = "NOT_READY"


class ControlUnavailableError(RetryableError):
    """The control loop does not answer: it is being restarted, or was not started."""

    reason = "CONTROL_UNAVAILABLE"


class ServiceUnreachableError(RetryableError):
    """Nothing answers at the URL of the service."""

    reason = "SERVICE_UNREACHABLE"

    def __init__(self, url: str, detail: str = "") -> None:
        super().__init__(url, detail)
        self.url = url
        self.detail = detail

    def __str__(self) -> str:
        why = f" ({self.detail})" if self.detail else ""
        return f"no plb-ray service answers at {self.url}{why}; start one with `plb serve`, or give the right --url"


class JobServerUnavailableError(RetryableError):
    """Ray's job server does not answer, or there is none."""

    reason = "JOB_SERVER_UNAVAILABLE"


class PermanentError(PlbError):
    """The same call will never work."""

    reason = "PERMANENT"


class BadInputError(PermanentError):
    """A file, a configuration or an argument is malformed. The text says what, where, and what to do."""

    reason = "BAD_INPUT"


class UnknownOrderParamError(PermanentError):
    """No such order param."""

    reason = "UNKNOWN_ORDER_PARAM"

    def __init__(self, order_param: str) -> None:
        super().__init__(order_param)
        self.order_param = order_param

    def __str__(self) -> str:
        return f"unknown order param {self.order_param!r}; `plb status` and GET /v1/allocations list the known ones"


class UnknownShardError(PermanentError):
    """No such shard."""

    reason = "UNKNOWN_SHARD"

    def __init__(self, shard_id: str) -> None:
        super().__init__(shard_id)
        self.shard_id = shard_id

    def __str__(self) -> str:
        return f"unknown shard {self.shard_id!r}; `plb status` and GET /v1/status list the known ones"


class UnknownMigrationError(PermanentError):
    """No such migration."""

    reason = "UNKNOWN_MIGRATION"

    def __init__(self, migration_id: str) -> None:
        super().__init__(migration_id)
        self.migration_id = migration_id

    def __str__(self) -> str:
        return f"unknown migration {self.migration_id!r}; `plb migrations` and GET /v1/migrations list the recent ones"


class UnknownEventError(PermanentError):
    """No such event in the calendar."""

    reason = "UNKNOWN_EVENT"

    def __init__(self, event_id: str) -> None:
        super().__init__(event_id)
        self.event_id = event_id

    def __str__(self) -> str:
        return f"unknown event {self.event_id!r}; `plb events list` and GET /v1/events list the known ones"


class UnknownRetrainingError(PermanentError):
    """No such retraining."""

    reason = "UNKNOWN_RETRAINING"

    def __init__(self, retraining_id: str) -> None:
        super().__init__(retraining_id)
        self.retraining_id = retraining_id

    def __str__(self) -> str:
        return f"unknown retraining {self.retraining_id!r}; `plb retrain list` and GET /v1/retrainings list the known ones"


class UnknownDecisionError(PermanentError):
    """There is no such decision."""

    reason = "UNKNOWN_DECISION"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"there is no decision {self.number}, or it was pruned; `plb decisions` and GET /v1/decisions list those kept"


class UnknownPlanError(PermanentError):
    """There is no such saved plan."""

    reason = "UNKNOWN_PLAN"

    def __init__(self, plan_id: str) -> None:
        super().__init__(plan_id)
        self.plan_id = plan_id

    def __str__(self) -> str:
        return f"unknown plan {self.plan_id!r}; `plb plan list` and GET /v1/plans list those that are kept"


class UnknownTokenError(PermanentError):
    """No such API token; `which` is an id or a name."""

    reason = "UNKNOWN_TOKEN_NAME"

    def __init__(self, which: str) -> None:
        super().__init__(which)
        self.which = which

    def __str__(self) -> str:
        return f"there is no API token {self.which!r}; `plb token list` and GET /v1/tokens list the ids and names"


class PortInUseError(PermanentError):
    """A server cannot listen because its port is taken."""

    reason = "PORT_IN_USE"

    def __init__(self, endpoint: str, what: str) -> None:
        super().__init__(endpoint, what)
        self.endpoint = endpoint
        self.what = what

    def __str__(self) -> str:
        remedy = "stop the other program or choose another port"
        return f"{self.what} cannot listen on {self.endpoint}: the port is in use; {remedy}"


class MigrationConflictError(PermanentError):
    """Another migration runs on this order param, or the request contradicts the placement."""

    reason = "MIGRATION_CONFLICT"


class SequenceGapError(PermanentError):
    """A producer skipped one of its own sequence numbers; `last_seq` is the last one that is stored."""

    reason = "SEQUENCE_GAP"

    def __init__(self, producer: str, last_seq: int) -> None:
        super().__init__(producer, last_seq)
        self.producer = producer
        self.last_seq = last_seq

    def __str__(self) -> str:
        return f"producer {self.producer!r} skipped a number: the last stored one is {self.last_seq}"


class NoForecastError(PermanentError):
    """There is not enough history to forecast from."""

    reason = "NO_FORECAST"


class NoPlanError(PermanentError):
    """The balancer is in a mode that makes no plans, or nothing needs to move."""

    reason = "NO_PLAN"


class PlanConflictError(PermanentError):
    """A saved plan has ended, or orders stand against it."""

    reason = "PLAN_CONFLICT"


class FencedError(PlbError):
    """Somebody else owns it now."""

    reason = "FENCED"


class MovedError(FencedError):
    """The order param lives on another shard."""

    reason = "MOVED"

    def __init__(self, order_param: str, shard_id: str, endpoint: str, epoch: int) -> None:
        super().__init__(order_param, shard_id, endpoint, epoch)
        self.order_param = order_param
        self.shard_id = shard_id
        self.endpoint = endpoint
        self.epoch = epoch

    def __str__(self) -> str:
        return f"order param {self.order_param!r} lives on shard {self.shard_id!r} at {self.endpoint} (epoch {self.epoch})"


class StaleEpochError(FencedError):
    """The call carries another epoch than the shard's record."""

    reason = "STALE_EPOCH"

    def __init__(self, order_param: str, given: int, current: int) -> None:
        super().__init__(order_param, given, current)
        self.order_param = order_param
        self.given = given
        self.current = current

    def __str__(self) -> str:
        return f"order param {self.order_param!r} is at epoch {self.current}, the call carries {self.given}"


class LeaseExpiredError(FencedError):
    """The pause ended by itself; the source serves again and the seal is refused."""

    reason = "LEASE_EXPIRED"


class NotTheOwnerError(FencedError):
    """Another balancer holds the journal."""

    reason = "NOT_THE_OWNER"


class NotTheHolderError(FencedError):
    """Another consumer holds the order param now: this one was silent for longer than its lease."""

    reason = "NOT_THE_HOLDER"

    def __init__(self, order_param: str, holder: str) -> None:
        super().__init__(order_param, holder)
        self.order_param = order_param
        self.holder = holder

    def __str__(self) -> str:
        return f"order param {self.order_param!r} is held by consumer {self.holder!r} now; drop what was delivered before"


class RolledBackError(PlbError):
    """A migration was undone before its commit point; the order param serves on its source."""

    reason = "ROLLED_BACK"

    def __init__(self, migration_id: str, step: str, why: str) -> None:
        super().__init__(migration_id, step, why)
        self.migration_id = migration_id
        self.step = step
        self.why = why

    def __str__(self) -> str:
        return f"migration {self.migration_id} was rolled back at {self.step}: {self.why}"


class OutcomeUnknownError(PlbError):
    """The call may or may not have been carried out."""

    reason = "OUTCOME_UNKNOWN"
