"""Times that callers send: texts in RFC 3339, as the OpenAPI document says. pydantic alone would take numbers as well."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator


def _no_number(value: Any) -> Any:
    """Refuse what is a number: whether of seconds or of milliseconds would be a guess."""
    if isinstance(value, str) and "-" in value.strip()[1:]:
        return value
    if isinstance(value, datetime) or value is None:
        return value
    raise ValueError("a time such as 2014-11-27T09:00:00Z is needed, not a number")


LooseMoment = Annotated[datetime, BeforeValidator(_no_number)]
"""A time; without an offset it is what the route says."""

Moment = Annotated[AwareDatetime, BeforeValidator(_no_number)]
"""A time with an offset."""
