"""How much history to learn from, as people write it: a span such as "14d", or a moment such as "2026-01-15"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from plb_ray.errors import BadInputError

UNIT_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([hdw])")


@dataclass(frozen=True)
class Since:
    """One of both: so many seconds before the end of the history, or seconds since the Unix epoch."""

    span_s: int | None = None
    at_s: int | None = None

    def start_s(self, end_s: int) -> int:
        """Return where it begins in a history that ends there."""
        if self.at_s is not None:
            return self.at_s
        assert self.span_s is not None
        return end_s - self.span_s


def span_or_moment(text: str) -> Since:
    """Return what is meant. A moment without an offset is UTC; the same moment written differently is the same.

    Raises:
        BadInputError: it is neither, or no time at all.
    """
    if span := SPAN.fullmatch(text.strip()):
        span_s = round(float(span[1]) * UNIT_S[span[2]])
        if span_s <= 0:
            raise BadInputError(f"since {text!r} is no history at all; give a span above 0, such as 14d")
        return Since(span_s=span_s)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BadInputError(
            f"since {text!r} is neither a span such as 14d, 36h or 2w nor an ISO 8601 time such as 2026-01-15T06:00Z"
        ) from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Since(at_s=int(aware.timestamp()))
