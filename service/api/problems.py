"""Every error as RFC 9457 `application/problem+json`: which status an error gets, and how the document is made.

What the caller may conclude from each status; `_STATUS` below says which error class gets which.

    401  say who you are; 403 your role does not allow it, or your browser asks for another site (see `guard`)
    400  the request can never work as it is (422: it does not even fit the schema)
    404  there is no such order param, shard, migration, event, retraining, decision, forecast or plan
    409  it contradicts the present state: look, and decide anew
    429  too many migrations run, or you ask too much; later, see Retry-After
    503  later, see Retry-After; the same request, with the same id, is safe to repeat
    500  our mistake; the log has the traceback, the answer never has
"""

from __future__ import annotations

import math
from http import HTTPStatus
from itertools import product
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from plb_ray.errors import (
    BadInputError,
    FencedError,
    MigrationConflictError,
    NoForecastError,
    NoPlanError,
    OutcomeUnknownError,
    PausedError,
    PermanentError,
    PlanConflictError,
    PlbError,
    RetryableError,
    RolledBackError,
    SequenceGapError,
    TooManyMigrationsError,
    UnknownDecisionError,
    UnknownEventError,
    UnknownMigrationError,
    UnknownOrderParamError,
    UnknownPlanError,
    UnknownRetrainingError,
    UnknownShardError,
    UnknownTokenError,
)
from service.api.schemas import FieldFault, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import APIRouter, FastAPI, Request

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1
UNREADABLE = "There was an error parsing the body"
"""FastAPI's word for a body that is no text in UTF-8; one that is no JSON is a validation error."""

# From special to general: the first class that fits decides.
_STATUS: tuple[tuple[type[PlbError], HTTPStatus], ...] = (
    (TooManyMigrationsError, HTTPStatus.TOO_MANY_REQUESTS),
    (RetryableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (OutcomeUnknownError, HTTPStatus.SERVICE_UNAVAILABLE),
    (UnknownOrderParamError, HTTPStatus.NOT_FOUND),
    (UnknownShardError, HTTPStatus.NOT_FOUND),
    (UnknownMigrationError, HTTPStatus.NOT_FOUND),
    (UnknownEventError, HTTPStatus.NOT_FOUND),
    (UnknownRetrainingError, HTTPStatus.NOT_FOUND),
    (UnknownTokenError, HTTPStatus.NOT_FOUND),
    (UnknownDecisionError, HTTPStatus.NOT_FOUND),
    (UnknownPlanError, HTTPStatus.NOT_FOUND),
    (NoForecastError, HTTPStatus.NOT_FOUND),
    (NoPlanError, HTTPStatus.NOT_FOUND),
    (MigrationConflictError, HTTPStatus.CONFLICT),
    (PlanConflictError, HTTPStatus.CONFLICT),
    (SequenceGapError, HTTPStatus.CONFLICT),
    (FencedError, HTTPStatus.CONFLICT),
    (RolledBackError, HTTPStatus.CONFLICT),
    (BadInputError, HTTPStatus.BAD_REQUEST),
    (PermanentError, HTTPStatus.BAD_REQUEST),
)


def status_of(error: PlbError) -> HTTPStatus:
    """Return the HTTP status for an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def retry_after_s(error: PlbError) -> int | None:
    """Return after how many whole seconds the same request may succeed; None if it never will."""
    if isinstance(error, PausedError):
        return max(1, math.ceil(error.retry_after_ms / 1000))
    return RETRY_AFTER_S if isinstance(error, RetryableError | OutcomeUnknownError) else None


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(PlbError, _on_plb_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


def document_problems(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Complete the OpenAPI document: the schema of problems, to which all routes refer, and the nulls in examples."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        nested = schema.pop("$defs")
        document["components"]["schemas"].update({**nested, "Problem": schema})
        for router in routers:
            _restore_examples(document, router)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _restore_examples(document: dict[str, Any], router: APIRouter) -> None:
    """Put a router's examples into the document once more: FastAPI drops their nulls, which the schemas demand."""
    for route in router.routes:
        assert isinstance(route, APIRoute)
        for method, (status, response) in product(route.methods, route.responses.items()):
            shown = document["paths"][route.path_format][method.lower()]["responses"][str(status)]
            for media, content in response.get("content", {}).items():
                shown["content"][media]["example"] = content["example"]


def problem_response(
    request: Request,
    status: HTTPStatus,
    reason: str,
    detail: str,
    *,
    retry_s: int | None = None,
    faults: Sequence[FieldFault] = (),
) -> JSONResponse:
    """Return one problem document; `reason` is the stable code for machines, `detail` the sentence for people."""
    problem = _problem(request.url.path, status, reason, detail, retry_s)
    problem.errors = list(faults) or None
    headers = {} if retry_s is None else {"Retry-After": str(retry_s)}
    body = problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, status_code=int(status), headers=headers, media_type=PROBLEM_JSON)


def problem_of(error: PlbError, path: str) -> Problem:
    """Return the problem document of an error that came up after the answer to a request for this path had begun."""
    return _problem(path, status_of(error), error.reason, str(error), retry_after_s(error))


def _problem(path: str, status: HTTPStatus, reason: str, detail: str, retry_s: int | None) -> Problem:
    return Problem(
        type=f"urn:plb-ray:problem:{reason.lower().replace('_', '-')}",
        title=status.phrase,
        status=int(status),
        detail=detail,
        instance=path,
        reason=reason,
        retry_after_s=retry_s,
    )


def _on_plb_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PlbError)
    return problem_response(request, status_of(error), error.reason, str(error), retry_s=retry_after_s(error))


def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [FieldFault(where=".".join(str(part) for part in found["loc"]), what=found["msg"]) for found in error.errors()]
    detail = "; ".join(f"{fault.where}: {fault.what}" for fault in faults)
    return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_REQUEST", detail, faults=faults)


def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if str(error.detail).startswith(UNREADABLE):
        return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_REQUEST", f"body: {error.detail}")
    detail = f"{request.method} {request.url.path}: {error.detail}; GET /openapi.json lists what there is"
    response = problem_response(request, status, status.name, detail)
    response.headers.update(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED and (allow := request.scope.get("state", {}).get("allow")):
        response.headers["Allow"] = allow  # Starlette names the methods of one route only
    return response


def _on_unexpected(request: Request, _error: Exception) -> JSONResponse:
    detail = "an unexpected failure; the log of the service says more"
    response = problem_response(request, HTTPStatus.INTERNAL_SERVER_ERROR, "UNEXPECTED", detail)
    if "request_id" in request.scope.get("state", {}):  # this is made further out than ids are set
        response.headers["X-Request-Id"] = request.state.request_id
    return response
