"""Reads an event calendar in whichever form it comes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError
from plb_ray.ingest.events_csv import read_events_csv
from plb_ray.ingest.events_json import read_events_json
from plb_ray.ingest.events_times import UTC_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from plb_ray.domain.events import EventCalendar
    from plb_ray.ingest.events_times import Span


class Form(StrEnum):
    """The forms of a calendar, by the ending of its file."""

    CSV = "csv"
    ICS = "ics"
    JSON = "json"


def form_of(path: Path) -> Form:
    """Return the form of a file by its ending.

    Raises:
        BadInputError: the ending is not known.
    """
    ending = path.suffix.removeprefix(".").lower()
    if ending not in set(Form):
        raise BadInputError(f"events {path}: unknown ending {path.suffix!r}; use .csv, .ics (iCalendar) or .json")
    return Form(ending)


def read_events(body: bytes, form: Form, origin: str, span: Span, zone: str | None = None) -> EventCalendar:
    """Return the events of a calendar in UTF-8; see the reader of its form for `origin`, `span` and `zone`.

    Raises:
        BadInputError: it cannot be read; the text says where and why.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"events {origin}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if form is Form.JSON:
        return read_events_json(text, origin)
    if form is Form.CSV:
        return read_events_csv(text, origin, zone or UTC_NAME)
    # Reading iCalendar takes a library whose import costs as much as all else; most calendars are not iCalendar.
    from plb_ray.ingest.events_ics import read_events_ics  # noqa: PLC0415

    return read_events_ics(text, origin, span, zone)
