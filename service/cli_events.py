"""`plb events`: what is known ahead, such as campaigns, matches, holidays and maintenance, and whom it concerns."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError
from service.cli_options import AsJson, client_of, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plb_ray.domain.events import Event, EventCalendar
    from plb_ray.ingest.events_times import Span
    from service.event_calendars import Calendar

STATE = Path(".plb")
YEARS = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")

HELP = """The event calendar: campaigns, matches, holidays, maintenance, and which order params each concerns.

Forecasters that learn from events get them as inputs that are known ahead. The calendar is the file events.json in the state
folder; every command is safe while `plb serve` runs on it, and safe to repeat.

Examples:

plb events holidays --country US --subdivision NY --years 2026-2027 --zone America/New_York

plb events add --kind campaign --name "Black Friday" --start 2026-11-27 --zone America/New_York --order-param "shop-*"

plb events import team.ics
"""

group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="The state folder, as in plb.toml. Default: that of --url, else .plb."),
]
EventsUrl = Annotated[
    str | None,
    typer.Option("--url", envvar="PLB_URL", metavar="URL", help="A running service, in place of a state folder."),
]
NEXT = "`plb events add`, `plb events import FILE` and `plb events holidays` bring some"
Zone = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="Time zone of dates and of times without an offset: Europe/Berlin. Default: UTC."),
]
OrderParams = Annotated[
    list[str] | None,
    typer.Option(
        "--order-param",
        metavar="PATTERN",
        help="Whom it concerns: a name, or a pattern as shop-*; may be repeated. Default: all.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="events", rich_help_panel="Offline")


@group.command("list")
def list_events(*, state: State = None, url: EventsUrl = None, as_json: AsJson = False) -> None:
    """Show the calendar, in the order of time. Times are UTC."""
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from service.event_calendars import items_of  # noqa: PLC0415  keeps --help fast

    with _calendar(state, url) as calendar:
        found = calendar.read()
    shown = _table(found) if found.events else Text(f"no events in {calendar.where}; {NEXT}")
    show({"items": items_of(found)}, shown, as_json=as_json)


@group.command("add")
def add(
    *,
    kind: Annotated[str, typer.Option(metavar="WORD", help="campaign, match, holiday, maintenance, or a word of your own.")],
    start: Annotated[str, typer.Option(metavar="TIME", help="2026-11-27T09:00Z, or a date for the whole day.")],
    end: Annotated[
        str,
        typer.Option(metavar="TIME", help="As --start; a date means to its end. Default: that of a start that is a date."),
    ] = "",
    name: Annotated[str, typer.Option(metavar="TEXT", help="For people.")] = "",
    order_params: OrderParams = None,
    event_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Replaces the event with this id. Default: made from the content.")
    ] = "",
    zone: Zone = None,
    state: State = None,
    url: EventsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add one event, or change the one with its --id.

    Example: plb events add --kind match --name "Cup final" --start 2026-05-30T20:00+02:00 --end 2026-05-30T23:00+02:00
    """
    from plb_ray.domain.events import Event, EventCalendar, as_kind, derived_id  # noqa: PLC0415  imports numpy
    from plb_ray.ingest.events_times import UTC_NAME, span_of, zone_of  # noqa: PLC0415  keeps --help fast

    start_s, end_s = span_of(start, end, zone_of(zone or UTC_NAME))
    kind, scope = as_kind(kind), tuple(order_params or ())
    event = Event(event_id or derived_id(kind, name, start_s, end_s, scope), kind, name, start_s, end_s, scope)
    with _calendar(state, url) as calendar:
        change = calendar.put(EventCalendar((event,)))
    _show_one(event, "added" if change.added else "changed" if change.changed else "is there already:", as_json=as_json)


@group.command("remove")
def remove(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As `plb events list` shows it.")],
    *,
    state: State = None,
    url: EventsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take one event out of the calendar."""
    with _calendar(state, url) as calendar:
        event = calendar.remove(event_id)
    _show_one(event, "removed", as_json=as_json)


@group.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A calendar: .csv, .ics (iCalendar) or .json (as --json prints).")
    ],
    *,
    zone: Zone = None,
    first: Annotated[
        str,
        typer.Option("--from", metavar="DATE", help="Recurring events are written out from here on. Default: a year ago."),
    ] = "",
    last: Annotated[
        str, typer.Option("--to", metavar="DATE", help="Up to the end of this day. Default: in two years.")
    ] = "",
    state: State = None,
    url: EventsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add the events of a file, or change those with the same ids. Repeating it changes nothing.

    CSV: event_id,kind,name,start,end,order_params; needed are kind, start and end. Patterns are separated by semicolons.
    A row without an id gets one made from its content, so an edited row becomes another event: give ids to rows you edit.

    iCalendar: SUMMARY is the name, CATEGORIES the kind, X-PLB-ORDER-PARAMS whom it concerns. --zone goes before the
    calendar's own. Events that were deleted in the file stay in the calendar: plb events remove.
    """
    from plb_ray.ingest.events_read import form_of, read_events  # noqa: PLC0415  keeps --help fast

    form = form_of(file)
    try:
        body = file.read_bytes()
    except OSError as error:
        raise BadInputError(f"events {file}: cannot be read: {error.strerror}; give the path of a calendar") from error
    _put(read_events(body, form, str(file), _span(first, last, zone), zone), state, url, as_json=as_json)


@group.command("holidays")
def holidays(
    *,
    country: Annotated[str, typer.Option(metavar="CODE", help="ISO 3166-1, such as US, DE, JP.")],
    years: Annotated[str, typer.Option(metavar="YEARS", help="2026, 2026-2028, or 2024,2026-2028.")],
    subdivision: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="State or province, ISO 3166-2, such as NY. Default: the country's own."),
    ] = None,
    zone: Zone = None,
    order_params: OrderParams = None,
    state: State = None,
    url: EventsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add the public holidays of a country as whole days of the time zone --zone. Repeating it changes nothing.

    Example: plb events holidays --country US --subdivision NY --years 2014-2015 --zone America/New_York
    """
    from plb_ray.ingest.events_holidays import read_holidays  # noqa: PLC0415  keeps --help fast
    from plb_ray.ingest.events_times import UTC_NAME  # noqa: PLC0415  keeps --help fast

    found = read_holidays(country, _years(years), subdivision, zone or UTC_NAME, tuple(order_params or ()))
    _put(found, state, url, as_json=as_json)


@contextmanager
def _calendar(state: Path | None, url: str | None) -> Iterator[Calendar]:
    """Give the calendar of a state folder, or of a service if only that is named."""
    from service.event_calendars import FolderCalendar, ServiceCalendar  # noqa: PLC0415  imports numpy

    if state is not None or url is None:
        yield FolderCalendar(state or STATE)
        return

    with client_of(url) as client:
        yield ServiceCalendar(client, url)


def _put(events: EventCalendar, state: Path | None, url: str | None, *, as_json: bool) -> None:
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    with _calendar(state, url) as calendar:
        change = calendar.put(events)
    counts = f"{change.added} added, {change.changed} changed, {change.unchanged} there already"
    show(asdict(change), Text(f"{counts} in {calendar.where}"), as_json=as_json)


def _show_one(event: Event, done: str, *, as_json: bool) -> None:
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from plb_ray.domain.events import EventCalendar, utc_text  # noqa: PLC0415  imports numpy
    from service.event_calendars import items_of  # noqa: PLC0415  keeps --help fast

    line = Text(f"{done} {event.event_id}: {utc_text(event.start_s)} to {utc_text(event.end_s)}")
    show(items_of(EventCalendar((event,)))[0], line, as_json=as_json)


def _table(calendar: EventCalendar) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from plb_ray.domain.events import utc_text  # noqa: PLC0415  keeps --help fast

    table = Table("start", "end", "kind", "name", "order params", "id", box=None)
    for event in calendar.events:
        times = (utc_text(at_s).removesuffix("Z").replace("T", " ") for at_s in (event.start_s, event.end_s))
        words = (event.kind, event.name, "; ".join(event.scope) or "all", event.event_id)
        table.add_row(*times, *(Text(word) for word in words))  # as Text: brackets in a name are no markup
    return table


def _years(text: str) -> list[int]:
    """Return the years of a list such as 2014,2016-2018.

    Raises:
        BadInputError: it is no such list.
    """
    years: list[int] = []
    for part in text.split(","):
        found = YEARS.fullmatch(part.strip())
        if found is None:
            raise BadInputError(f"--years: {part.strip()!r} is neither a year nor a range of years, such as 2014-2015")
        first = int(found[1])
        years.extend(range(first, int(found[2] or first) + 1))
    return years


def _span(first: str, last: str, zone: str | None) -> Span:
    """Return where recurring events are written out.

    Raises:
        BadInputError: one of the dates is none, or they are the wrong way round.
    """
    from plb_ray.clock import wall_time_s  # noqa: PLC0415  keeps --help fast
    from plb_ray.ingest.events_times import Span, default_span  # noqa: PLC0415  keeps --help fast

    usual = default_span(wall_time_s())
    start_s = _bounds("--from", first, zone)[0] if first else usual.start_s
    end_s = _bounds("--to", last, zone)[1] if last else usual.end_s
    if start_s >= end_s:
        raise BadInputError("--from is not before --to; name a span of time")
    return Span(start_s, end_s)


def _bounds(option: str, text: str, zone: str | None) -> tuple[float, float]:
    from plb_ray.ingest.events_times import UTC_NAME, span_of, zone_of  # noqa: PLC0415  keeps --help fast

    try:
        return span_of(text, text, zone_of(zone or UTC_NAME))
    except BadInputError as error:
        raise BadInputError(f"{option}: {error}") from error
