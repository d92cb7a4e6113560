from __future__ import annotations

import math
import pickle
from dataclasses import replace

import pytest

from plb_ray.domain.events import Event, EventCalendar, as_kind, derived_id
from plb_ray.errors import BadInputError

MATCH = Event("m1", "match", "Derby", 1_000.0, 2_000.0, ("tenant-7",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"end_s": 999.0}, r"event 'm1': end: .* is not after the start, 1970-01-01T00:16:40Z"),
        ({"end_s": 1_000.0}, "event 'm1': end"),
        ({"end_s": math.inf}, "event 'm1': end: inf is not a time"),
        ({"start_s": math.nan}, "event 'm1': start: nan is not a time"),
        ({"start_s": -1e18}, "event 'm1': start"),
        ({"kind": ""}, "event 'm1': kind: '' is not a lower-case word"),
        ({"kind": "Public Holiday"}, "event 'm1': kind: 'Public Holiday'"),
        ({"kind": "k" * 65}, "event 'm1': kind"),
        ({"event_id": ""}, "event '': event_id"),
        ({"event_id": "a\nb"}, "event_id"),
        ({"event_id": "e" * 401}, "event_id"),
        ({"kind": "a\x00"}, "event 'm1': kind"),
        ({"name": "two\u2028lines"}, "event 'm1': name"),
        ({"scope": ("a", "b\x7f")}, "event 'm1': order_params"),
        ({"name": "a\udc80"}, "event 'm1': name"),
        ({"scope": ("",)}, "event 'm1': order_params: '' is neither a name nor a pattern"),
    ],
)
def test_an_event_that_cannot_be_meant_is_refused(change, said):
    """Each field has its own error, which names the event and the field."""
    with pytest.raises(BadInputError, match=said):
        replace(MATCH, **change)


def test_names_may_be_in_any_language():
    """Blanks that do not break, joined emojis and joiners of scripts are text like any other, in names and in scopes."""
    name = "Fête\xa0nationale 👨\u200d👩\u200d👧 könig\u200clich 祭り"
    assert replace(MATCH, name=name, scope=(name,), event_id=name).name == name


def test_two_events_cannot_share_an_id():
    """A calendar with one id twice is refused, and the error names it."""
    with pytest.raises(BadInputError, match="event 'm1': event_id: used more than once"):
        EventCalendar((MATCH, replace(MATCH, name="other")))


def test_a_calendar_is_in_the_order_of_time():
    """However the events come, they are kept by start, then id: equal sets of events are equal calendars."""
    later = replace(MATCH, event_id="a", start_s=1_500.0)
    twin = replace(MATCH, event_id="m0")
    assert [event.event_id for event in EventCalendar((later, MATCH, twin)).events] == ["m0", "m1", "a"]
    assert EventCalendar((later, MATCH)) == EventCalendar((MATCH, later))


def test_merging_takes_the_other_calendars_event():
    """Where both have an id the argument's event stays; merging again changes nothing."""
    ours = EventCalendar((MATCH, replace(MATCH, event_id="only-ours")))
    theirs = EventCalendar((replace(MATCH, name="Derby, moved", start_s=1_200.0),))
    merged = ours.merged_with(theirs)
    assert merged.index["m1"].name == "Derby, moved"
    assert set(merged.index) == {"m1", "only-ours"}
    assert merged.merged_with(theirs) == merged


def test_without_an_event():
    """Only the named event is gone; an unknown id changes nothing."""
    calendar = EventCalendar((MATCH, replace(MATCH, event_id="m2")))
    assert calendar.without("m1") == EventCalendar((replace(MATCH, event_id="m2"),))
    assert calendar.without("never") == calendar


@pytest.mark.parametrize(
    ("start_s", "end_s", "found"),
    [(0, 1_000, False), (0, 1_001, True), (1_999, 5_000, True), (2_000, 5_000, False), (1_400, 1_500, True)],
)
def test_only_what_touches_a_span_belongs_to_it(start_s, end_s, found):
    """Spans are half open: an event that ends when the span starts, or starts when it ends, does not count."""
    assert bool(EventCalendar((MATCH,)).for_span(start_s, end_s).events) is found


def test_kinds_are_words():
    """What calendars call a kind becomes one lower-case word, and a kind stays as it is."""
    assert as_kind(" Public  Holiday ") == "public-holiday"
    assert as_kind("public-holiday") == "public-holiday"
    calendar = EventCalendar((MATCH, replace(MATCH, event_id="h", kind="holiday"), replace(MATCH, event_id="m2")))
    assert calendar.kinds == ("holiday", "match")


def test_a_derived_id_is_the_content():
    """The same content has the same id, whatever the order of its scope; any other content has another."""
    first = derived_id("match", "Derby", 1_000, 2_000.0, ("a", "b"))
    assert first == derived_id("match", "Derby", 1_000.0, 2_000, ("b", "a"))
    assert first.startswith("match-1970-01-01-")
    others = [
        derived_id("match", "Derby", 1_000, 2_001, ("a", "b")),
        derived_id("match", "Derby", 1_000, 2_000, ("a",)),
        derived_id("match", "Derbya", 1_000, 2_000, ("b",)),
        derived_id("match", "", 1_000, 2_000, ("a", "b")),
    ]
    assert len({first, *others}) == 5


def test_a_calendar_crosses_process_borders():
    """A calendar whose index was read is the same after pickling, as on its way through Ray."""
    calendar = EventCalendar((MATCH,))
    assert calendar.index
    assert pickle.loads(pickle.dumps(calendar)) == calendar
