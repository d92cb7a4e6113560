from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plb_ray.errors import BadInputError
from plb_ray.ingest.events_holidays import YEARS_MAX, read_holidays

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_the_days_of_a_state():
    """Thanksgiving 2014 was a whole day of New York's time; Lincoln's Birthday is a holiday of the state alone."""
    calendar = read_holidays("US", [2014], "NY", "America/New_York", ("shop-*",))
    by_name = {event.name: event for event in calendar.events}
    day = by_name["Thanksgiving Day"]
    assert (day.kind, day.scope) == ("holiday", ("shop-*",))
    assert datetime.fromtimestamp(day.start_s, UTC) == datetime(2014, 11, 27, 5, tzinfo=UTC)
    assert day.end_s - day.start_s == 24 * 3600
    assert "Lincoln's Birthday" in by_name
    assert "Lincoln's Birthday" not in {event.name for event in read_holidays("US", [2014]).events}


def test_the_same_request_gives_the_same_events():
    """Ids are those of the content, so that a repeat adds nothing; another scope is another event."""
    first = read_holidays("DE", [2024, 2025], "BY", "Europe/Berlin")
    assert first == read_holidays("DE", [2025, 2024, 2024], "BY", "Europe/Berlin")
    assert not set(first.index) & set(read_holidays("DE", [2024, 2025], "BY", "Europe/Berlin", ("a",)).index)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("Narnia", [2014]), "unknown country 'Narnia'; .* such as US, DE or JP"),
        (("US", [2014], "ZZ"), "holidays of US: unknown subdivision 'ZZ'; the known ones are: AK, AL"),
        (("US", []), "0 years; give 1 to"),
        (("US", range(1, YEARS_MAX + 2)), "201 years"),
        (("US", [1500]), "none is known for 1500-1500"),
        (("US", [2014], None, "Mars"), "unknown time zone 'Mars'"),
    ],
)
def test_what_does_not_exist_is_refused(asked, said):
    """Unknown places, zones and years are refused by name, with what there is instead."""
    with pytest.raises(BadInputError, match=said):
        read_holidays(*asked)


def test_days_agree_with_a_recorded_list():
    """A list of New York's holidays made by another version of the package has the same days."""
    path = SHARED / "holidays_US-NY_2014-2015_2019-2020.csv"
    if not path.exists():
        pytest.skip(f"needs {path}")
    with path.open(encoding="utf-8") as lines:
        recorded = {row["date_local"] for row in csv.DictReader(lines)}
    found = read_holidays("US", [2014, 2015, 2019, 2020], "NY")
    assert {datetime.fromtimestamp(event.start_s, UTC).date().isoformat() for event in found.events} == recorded
