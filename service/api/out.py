"""What all JSON that API v1 answers has in common: it is read off domain dataclasses, and times are RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import to_json


@lru_cache(maxsize=10_000)  # the steps of a history are the same for all order params
def utc(at_s: float) -> datetime:
    """Return seconds since the Unix epoch as a time in UTC."""
    return datetime.fromtimestamp(at_s, UTC)


def _from_seconds(value: Any) -> Any:
    return utc(value) if isinstance(value, int | float) else value


def _if_known(value: Any) -> Any:
    return None if value == 0 else _from_seconds(value)


UtcTime = Annotated[datetime, BeforeValidator(_from_seconds)]
KnownTime = Annotated[datetime | None, BeforeValidator(_if_known)]


class Out(BaseModel):
    """Base of what is answered: read from attributes; a number that JSON does not know becomes null."""

    model_config = ConfigDict(
        from_attributes=True, ser_json_inf_nan="null", json_schema_serialization_defaults_required=True
    )


def as_json(content: Any) -> Response:
    """Return an answer of plain values, in the JSON that `Out` would give, without validating each of them.

    For answers of thousands of values that are asked for hundreds of times a second. The route states its model all the
    same, for the OpenAPI document, and a test holds the answer to it.
    """
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json")
