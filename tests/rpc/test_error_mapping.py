"""Errors of plb-ray as gRPC statuses and back."""

import inspect

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from plb_ray import errors
from plb_ray.rpc.errors import DETAILS_KEY, DOMAIN, Peer, error_of, known_errors, plb_error, status_of

PEER = Peer("shard-0", "127.0.0.1:1")
EXAMPLES = [
    errors.PausedError("K", 1250),
    errors.ShardUnavailableError("shard-0", "127.0.0.1:1", "gone"),
    errors.TooManyMigrationsError("4 run already"),
    errors.NotReadyError("first tick"),
    errors.ControlUnavailableError("restarting"),
    errors.ServiceUnreachableError("http://127.0.0.1:1", "refused"),
    errors.RetryableError("later"),
    errors.BadInputError("malformed"),
    errors.UnknownOrderParamError("Køln→"),
    errors.UnknownShardError("shard-9"),
    errors.UnknownMigrationError("m"),
    errors.UnknownEventError("e"),
    errors.UnknownRetrainingError("r"),
    errors.UnknownTokenError("t"),
    errors.UnknownDecisionError(7),
    errors.UnknownPlanError("p"),
    errors.PlanConflictError("it has ended"),
    errors.JobServerUnavailableError("does not answer"),
    errors.PortInUseError("127.0.0.1:1", "shard"),
    errors.MigrationConflictError("another one"),
    errors.SequenceGapError("p", 17),
    errors.NoForecastError("too short"),
    errors.NoPlanError("static"),
    errors.PermanentError("never"),
    errors.MovedError("K", "shard-1", "127.0.0.1:2", 7),
    errors.StaleEpochError("K", 3, 4),
    errors.LeaseExpiredError("over"),
    errors.NotTheOwnerError("another balancer"),
    errors.NotTheHolderError("orders/7", "billing"),
    errors.FencedError("fenced"),
    errors.RolledBackError("m", "sealing", "no answer"),
    errors.OutcomeUnknownError("no answer"),
]
DOCUMENTED = {
    "UNKNOWN_ORDER_PARAM": "NOT_FOUND",
    "UNKNOWN_SHARD": "NOT_FOUND",
    "UNKNOWN_MIGRATION": "NOT_FOUND",
    "MOVED": "FAILED_PRECONDITION",
    "STALE_EPOCH": "FAILED_PRECONDITION",
    "LEASE_EXPIRED": "FAILED_PRECONDITION",
    "NOT_THE_OWNER": "FAILED_PRECONDITION",
    "PAUSED": "UNAVAILABLE",
    "SHARD_UNAVAILABLE": "UNAVAILABLE",
    "ROLLED_BACK": "ABORTED",
    "MIGRATION_CONFLICT": "ALREADY_EXISTS",
    "TOO_MANY_MIGRATIONS": "RESOURCE_EXHAUSTED",
    "BAD_INPUT": "INVALID_ARGUMENT",
    "SEQUENCE_GAP": "OUT_OF_RANGE",
}


def failed_call(code, details="", status=None):
    trailers = grpc.aio.Metadata() if status is None else grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_survives_the_wire(error):
    """An error that goes through a status comes back with its type, its data and its text."""
    back = error_of(status_of(error))
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)


def test_no_error_is_forgotten():
    """Every class of plb_ray.errors has a rule and an example here."""
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.PlbError)}
    assert set(known_errors()) == classes - {errors.PlbError}
    assert {type(error) for error in EXAMPLES} == set(known_errors())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_codes_are_as_the_contract_documents_them(error):
    """Reasons named at the head of queue.proto travel under the code written there."""
    status = status_of(error)
    if error.reason in DOCUMENTED:
        assert status.code == grpc.StatusCode[DOCUMENTED[error.reason]].value[0]


def test_a_pause_says_when_to_retry():
    """PAUSED carries RetryInfo with its delay."""
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status_of(errors.PausedError("K", 1250)).details)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.25


def test_long_texts_fit_the_trailers():
    """Whatever an error contains, its status stays below the 8 KiB that HTTP/2 trailers may have."""
    error = errors.RolledBackError("m" * 9000, "s" * 9000, "w" * 9000)
    assert status_of(error).ByteSize() < 6000


def test_subclasses_travel_as_their_ancestor():
    """An error class that the contract does not know arrives as the nearest one it does."""

    class LocalError(errors.BadInputError):
        pass

    back = error_of(status_of(LocalError("x")))
    assert type(back) is errors.BadInputError


def test_malformed_details_do_not_raise():
    """A status whose data lacks a number is still an error of ours, with the text."""
    info = error_details_pb2.ErrorInfo(reason="MOVED", domain=DOMAIN, metadata={"epoch": "x"})
    packed = any_pb2.Any()
    packed.Pack(info)
    error = error_of(status_pb2.Status(code=9, message="somewhere", details=[packed]))
    assert "somewhere" in str(error)


@pytest.mark.parametrize(
    ("code", "mutating", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, True, errors.ShardUnavailableError),
        (grpc.StatusCode.UNAVAILABLE, False, errors.ShardUnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, True, errors.OutcomeUnknownError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, False, errors.ShardUnavailableError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, True, errors.BadInputError),
        (grpc.StatusCode.UNIMPLEMENTED, True, errors.PermanentError),
        (grpc.StatusCode.INTERNAL, True, errors.OutcomeUnknownError),
        (grpc.StatusCode.UNKNOWN, True, errors.OutcomeUnknownError),
        (grpc.StatusCode.CANCELLED, True, errors.OutcomeUnknownError),
        (grpc.StatusCode.DATA_LOSS, True, errors.OutcomeUnknownError),
        (grpc.StatusCode.CANCELLED, False, errors.ShardUnavailableError),
        (grpc.StatusCode.INTERNAL, False, errors.PlbError),
    ],
)
def test_statuses_of_grpc_itself(code, mutating, expected):
    """A status that none of our servers made says what the caller may do, and whom it is about."""
    error = plb_error(failed_call(code, "details"), PEER, mutating=mutating)
    assert type(error) is expected
    assert "127.0.0.1:1" in str(error)


def test_our_details_win_over_the_code():
    """A carried error is taken as it is, whatever the code alone would mean."""
    error = errors.PausedError("K", 5)
    call = failed_call(grpc.StatusCode.UNAVAILABLE, str(error), status_of(error))
    assert isinstance(plb_error(call, PEER, mutating=True), errors.PausedError)
