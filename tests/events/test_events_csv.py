from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plb_ray.domain.events import covariates
from plb_ray.errors import BadInputError
from plb_ray.ingest.events_csv import read_events_csv
from plb_ray.ingest.events_times import zone_of

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def read(*rows, header="event_id,kind,name,start,end,order_params", zone="UTC"):
    return read_events_csv("\n".join((header, *rows)), "plan.csv", zone)


def at(*moment):
    return datetime(*moment, tzinfo=UTC).timestamp()


def only(calendar):
    (event,) = calendar.events
    return event


def test_a_full_row():
    """Every column has its place; kinds become words, patterns are split and freed of blanks."""
    event = only(read("e1,Campaign,Black Friday,2014-11-28T05:00:00Z,2014-11-29T04:00:00-05:00, shop-* ;checkout;shop-*"))
    assert (event.event_id, event.kind, event.name) == ("e1", "campaign", "Black Friday")
    assert (event.start_s, event.end_s) == (at(2014, 11, 28, 5), at(2014, 11, 29, 9))
    assert event.scope == ("shop-*", "checkout")


@pytest.mark.parametrize(
    ("start", "end", "zone", "wanted"),
    [
        ("2014-11-27", "", "UTC", (at(2014, 11, 27), at(2014, 11, 28))),
        ("2014-11-27", "2014-11-27", "UTC", (at(2014, 11, 27), at(2014, 11, 28))),
        ("2014-11-27", "2014-11-29", "UTC", (at(2014, 11, 27), at(2014, 11, 30))),
        ("2014-11-27", "", "America/New_York", (at(2014, 11, 27, 5), at(2014, 11, 28, 5))),
        ("2014-11-02", "", "America/New_York", (at(2014, 11, 2, 4), at(2014, 11, 3, 5))),  # 25 hours
        ("2014-03-30", "", "Europe/Berlin", (at(2014, 3, 29, 23), at(2014, 3, 30, 22))),  # 23 hours
        ("2014-11-27T09:00", "2014-11-27T10:30", "America/New_York", (at(2014, 11, 27, 14), at(2014, 11, 27, 15, 30))),
        ("2014-11-27T09:00Z", "2014-11-27", "America/New_York", (at(2014, 11, 27, 9), at(2014, 11, 28, 5))),
        ("2014-11-27 09:00+01:00", "2014-11-27 09:00Z", "UTC", (at(2014, 11, 27, 8), at(2014, 11, 27, 9))),
    ],
)
def test_times(start, end, zone, wanted):
    """Offsets are honoured, the zone holds where there is none, and a date is its whole local day, of 23 to 25 hours."""
    event = only(read(f",match,,{start},{end},", zone=zone))
    assert (event.start_s, event.end_s) == wanted


def test_only_three_columns_are_needed():
    """Without the optional columns the id is derived, the name is empty and all order params are concerned."""
    first, again = (only(read("holiday,2014-11-27,", header="kind,start,end")) for _ in range(2))
    assert (first.name, first.scope) == ("", ())
    assert first == again
    assert first.event_id.startswith("holiday-2014-11-27-")


def test_byte_order_mark_quotes_and_blank_lines():
    """What spreadsheets write is read: byte order mark, CRLF, commas and line breaks in quotes, blank lines, short rows."""
    text = '\ufeffkind,start,end,name\r\nmatch,2014-01-01,,"Derby,\r\n second leg"\r\n\r\nmatch,2014-01-02\r\n'
    assert [event.name for event in read_events_csv(text, "f").events] == ["Derby, second leg", ""]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",match,,27.11.2014,,", r"plan.csv: line 3: start: '27.11.2014' is not a time such as"),
        (",match,,2014-11-27,soon,", r"line 3: end: 'soon' is not a time"),
        (",match,,,2014-11-27,", r"line 3: start: '' is not a time"),
        (",match,,2014-11-27T10:00,,", r"line 3: end: is empty"),
        (",match,,2014-11-27,2014-11-25,", r"line 3: event .*: end: .* is not after the start"),
        (",,,2014-11-27,,", r"line 3: event .*: kind: '' is not"),
        ("ok,match,,2014-11-27,,", r"line 3: event_id: 'ok' is that of line 2, too"),
        (",match,,9999-12-31,,", r"line 3: "),
        (",match,a,2014-11-27,2014-11-28,x,y", r"line 3: it has more cells than the header"),
        (',match,"a"b,2014-11-27,,', r"after line 2: this is not CSV"),
    ],
)
def test_errors_name_the_line_and_the_column(row, said):
    """A row that cannot be meant is named by its line, as a spreadsheet counts them, and the column that is wrong."""
    with pytest.raises(BadInputError, match=said):
        read("ok,match,,2014-01-01,,", row)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("kind,start", "line 1: the header has no column 'end'; the columns are event_id, kind"),
        ("kind,start,end,order_param", "unknown or repeated column 'order_param'"),
        ("kind,start,end,end", "unknown or repeated column 'end'"),
        ("", "the header has no column 'kind'"),
    ],
)
def test_errors_of_the_header(header, said):
    """A column that is missing, misspelt or repeated is refused: a misspelt scope must not become "all"."""
    with pytest.raises(BadInputError, match=said):
        read(header=header)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "America", "../etc/passwd"])
def test_unknown_zones(zone):
    """A zone that does not exist is refused by name."""
    with pytest.raises(BadInputError, match=r"unknown time zone .*IANA"):
        zone_of(zone)


def test_zones_without_those_of_the_machine():
    """Where the machine has no time zones, those of the package `tzdata` are read."""
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert zone_of("America/New_York").utcoffset(datetime(2014, 11, 27)).total_seconds() == -5 * 3600  # noqa: DTZ001
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


def test_labelled_windows_of_real_traffic():
    """The named windows of a public data set come through, and cover what they say for their order param alone."""
    path = SHARED / "nab_labelled_windows.csv"
    if not path.exists():
        pytest.skip(f"needs {path}")
    header, _, rest = path.read_text(encoding="utf-8").partition("\n")
    calendar = read_events_csv(header.replace("order_param", "order_params") + "\n" + rest, path.name)
    assert len(calendar.events) == len(rest.splitlines())
    marathon = next(event for event in calendar.events if event.name == "NYC marathon")
    found = covariates(calendar, ("labelled_anomaly_window",), ("nyc_taxi_all", "other"), marathon.start_s - 1800, 1800, 3)
    assert found[:, :, 0].tolist() == [[0, 1, 1], [0, 0, 0]]
