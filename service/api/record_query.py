"""The parameters that the record's routes have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query

from service.api.moments import LooseMoment

PAGE_MAX = 1000
NUMBER_MAX = 2**63 - 1
NAME_MAX = 1000

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="most items")]
Before = Annotated[
    int | None, Query(ge=0, le=NUMBER_MAX, description="only those with a smaller number: `next_before` of the page before")
]
Since = Annotated[LooseMoment | None, Query(description="of this time and later; without an offset it is UTC")]
Until = Annotated[LooseMoment | None, Query(description="before this time; without an offset it is UTC")]
Name = Annotated[str | None, Query(max_length=NAME_MAX)]


def seconds_of(time: datetime | None) -> float | None:
    """Return a time as seconds since the Unix epoch; one without an offset is UTC."""
    if time is None:
        return None
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()


def next_before(numbers: list[int], limit: int) -> int | None:
    """Return where the page after this one begins; None if this one is not full."""
    return numbers[-1] if len(numbers) == limit else None
