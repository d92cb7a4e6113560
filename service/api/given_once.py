"""Query parameters that take one value are given once: of several, the last would silently count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args, get_origin

from starlette.datastructures import QueryParams

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.dependencies.models import Dependant
    from fastapi.routing import APIRoute
    from starlette.types import Scope


def require_given_once(single: frozenset[str], scope: Scope) -> None:
    """Refuse a request that gives one of these parameters several times.

    Raises:
        BadInputError: it does.
    """
    if not scope["query_string"]:
        return
    given = Counter(name for name, _ in QueryParams(scope["query_string"]).multi_items())
    for name in sorted(single & given.keys()):
        if given[name] > 1:
            raise BadInputError(f"query parameter {name}: given {given[name]} times; give it once")


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
