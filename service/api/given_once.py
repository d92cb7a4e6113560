"""Query parameters that take one value are given once: of several, the last would silently count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args, get_origin

from fastapi.exceptions import RequestValidationError
from starlette.datastructures import QueryParams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.dependencies.models import Dependant
    from fastapi.routing import APIRoute
    from starlette.types import Scope


def require_given_once(single: frozenset[str], scope: Scope) -> None:
    """Refuse a request that gives one of these parameters several times.

    Raises:
        RequestValidationError: it does.
    """
    if not scope["query_string"]:
        return
    given = Counter(name for name, _ in QueryParams(scope["query_string"]).multi_items())
    faults = [
        {"type": "given_once", "loc": ("query", name), "msg": f"given {given[name]} times; give it once"}
        for name in sorted(single & given.keys())
        if given[name] > 1
    ]
    if faults:
        raise RequestValidationError(faults)


def single_valued(route: APIRoute) -> frozenset[str]:
    """Return the names of a route's query parameters that take one value."""
    return frozenset(_singles(route.dependant))


def _singles(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if not any(get_origin(each) is list for each in (kind, *get_args(kind))):
            yield field.alias
    for each in dependant.dependencies:
        yield from _singles(each)
