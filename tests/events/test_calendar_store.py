from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from plb_ray.domain.events import CalendarChange, Event, EventCalendar
from plb_ray.errors import BadInputError, UnknownEventError
from plb_ray.ingest import calendar_store
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.ingest.events_json import events_json, read_events_json

MATCH = Event("m1", "match", "Derby ☕, second leg", 1_416_996_000.0, 1_417_003_200.25, ("tenant-7*", "a;b"))
DAY = Event("h1", "holiday", "", 1_417_046_400.0, 1_417_132_800.0)
BOTH = EventCalendar((MATCH, DAY))


@pytest.fixture
def store(tmp_path):
    return CalendarStore(tmp_path / "state")


class Crash(BaseException):
    """The process ends here."""


def test_nothing_was_put_yet(store):
    """Without a file, and without a folder, the calendar is empty, and reading makes neither."""
    assert store.read() == EventCalendar()
    assert not store.path.parent.exists()


def test_what_was_put_is_there(store):
    """Another process that opens the folder reads what was put, to the last character."""
    assert store.put(BOTH) == CalendarChange(added=2, changed=0, unchanged=0)
    assert CalendarStore(store.path.parent).read() == BOTH


def test_putting_again_changes_nothing(store):
    """A repeat is told apart from a change, and writes nothing; a change takes the place of the event with its id."""
    store.put(BOTH)
    written = store.path.stat().st_mtime_ns
    assert store.put(BOTH) == CalendarChange(added=0, changed=0, unchanged=2)
    assert store.path.stat().st_mtime_ns == written
    moved = replace(MATCH, end_s=MATCH.end_s + 60)
    third = replace(MATCH, event_id="m2")
    assert store.put(EventCalendar((moved, third, DAY))) == CalendarChange(added=1, changed=1, unchanged=1)
    assert store.read() == EventCalendar((moved, third, DAY))


def test_removing(store):
    """The removed event is returned and gone; one that is not there is refused, and nothing changes."""
    store.put(BOTH)
    assert store.remove("m1") == MATCH
    assert store.read() == EventCalendar((DAY,))
    with pytest.raises(UnknownEventError, match="unknown event 'm1'"):
        store.remove("m1")
    assert store.read() == EventCalendar((DAY,))


def test_the_generation_before_is_kept(store):
    """After each change the file beside it holds the calendar as it was before that change."""
    store.put(EventCalendar((DAY,)))
    assert not store.previous.exists()
    store.put(EventCalendar((MATCH,)))
    assert read_events_json(store.previous.read_bytes(), "previous") == EventCalendar((DAY,))
    store.remove("h1")
    assert read_events_json(store.previous.read_bytes(), "previous") == BOTH


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"items": [{"event_id": "x"}]}', '{"items": 3}', "\x00" * 100, "\udc80"])
def test_a_damaged_file_is_never_written_over(store, damage):
    """A damaged file is refused by reading, putting and removing, stays as it is, and so does the generation before it."""
    store.put(EventCalendar((DAY,)))
    store.put(EventCalendar((MATCH,)))
    store.path.write_bytes(damage.encode("utf-8", "surrogateescape"))
    before = store.previous.read_bytes()
    said = rf"events {store.path}: .*; correct the file, or put back .*: cp {store.previous} {store.path}"
    for act in (store.read, lambda: store.put(BOTH), lambda: store.remove("h1")):
        with pytest.raises(BadInputError, match=said):
            act()
    assert store.path.read_bytes() == damage.encode("utf-8", "surrogateescape")
    assert store.previous.read_bytes() == before
    store.path.write_bytes(before)  # what the error says to do
    assert store.read() == EventCalendar((DAY,))


def test_a_damaged_first_generation(store):
    """Without a generation before it, the error says how to begin anew."""
    store.put(BOTH)
    store.path.write_text("{", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"move it away to begin anew: mv .*events\.json .*events\.json\.damaged"):
        store.read()


def crash_at(monkeypatch, call):
    """Let the process end before its `call`-th step on the disk; return how many steps it made."""
    steps = []

    def counted(real):
        def step(*args):
            if len(steps) == call:
                raise Crash
            steps.append(real)
            return real(*args)

        return step

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    return steps


def test_a_crash_leaves_one_calendar_or_the_other(store, monkeypatch):
    """Wherever a change ends, the calendar from before is read, or, once it is in place, the one from after it."""
    after = BOTH.merged_with(EventCalendar((replace(DAY, event_id="h2"),)))
    store.put(BOTH)
    found = []
    for call in range(100):
        with monkeypatch.context() as patched:
            steps = crash_at(patched, call)
            try:
                store.put(after)
            except Crash:
                found.append(store.read())
                assert found[-1] in (BOTH, after)
            else:
                break
        store.put(BOTH)
        if found[-1] == after:
            store.remove("h2")
    assert len(steps) == len(found) == 6  # sync, rename, sync the folder; twice
    assert found == [BOTH] * 5 + [after]
    assert store.read() == after


def test_changes_of_several_processes_do_not_get_lost(store):
    """Writers that change the calendar at the same time, each through a store of its own, all find their events in it."""

    def write(who):
        mine = CalendarStore(store.path.parent)
        for number in range(10):
            mine.put(EventCalendar((replace(DAY, event_id=f"{who}-{number}"),)))

    writers = [Thread(target=write, args=(who,)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(store.read().events) == 40


def test_a_calendar_has_a_limit(store, monkeypatch):
    """More events than are kept are refused as a whole."""
    monkeypatch.setattr(calendar_store, "EVENTS_MAX", 2)
    store.put(BOTH)
    with pytest.raises(BadInputError, match="would hold 3 events, at most 2 are kept"):
        store.put(EventCalendar((replace(DAY, event_id="h2"),)))
    assert store.read() == BOTH


def test_a_folder_that_cannot_be_used(tmp_path):
    """A state folder that is a file is an error with its path."""
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"state/events\.json: "):
        CalendarStore(tmp_path / "state").put(BOTH)


def test_the_file_is_for_people():
    """Times are ISO in UTC, names are readable, and empty fields may be left out."""
    document = json.loads(events_json(EventCalendar((MATCH,))))
    assert document == {
        "format": 1,
        "items": [
            {
                "event_id": "m1",
                "kind": "match",
                "name": "Derby ☕, second leg",
                "start": "2014-11-26T10:00:00Z",
                "end": "2014-11-26T12:00:00.250000Z",
                "order_params": ["tenant-7*", "a;b"],
            }
        ],
    }
    assert "☕" in events_json(EventCalendar((MATCH,)))
    least = (
        '{"items": [{"event_id": "h1", "kind": "holiday", "start": "2014-11-27T01:00+01:00", "end": "2014-11-28T00:00Z"}]}'
    )
    assert read_events_json(least, "f") == EventCalendar((DAY,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": "2014-11-27T00:00:00"}, r"f: items\.0\.start: .*timezone"),
        ({"start": 1417046400}, r"f: items\.0\.start"),
        ({"end": "2014-11-26T00:00:00Z"}, r"f: event 'h1': end"),
        ({"kind": 3}, r"f: items\.0\.kind"),
        ({"order_param": ["a"]}, r"f: items\.0\.order_param: Extra"),
        ({"order_params": "a"}, r"f: items\.0\.order_params"),
    ],
)
def test_wrong_fields_are_named(change, said):
    """A field that is wrong or misspelt is named with the number of its event."""
    row = json.loads(events_json(EventCalendar((DAY,))))["items"][0]
    with pytest.raises(BadInputError, match=said):
        read_events_json(json.dumps({"items": [row | change]}), "f")


def test_another_format_is_refused():
    """A file of a later format is not guessed at."""
    with pytest.raises(BadInputError, match="f: format: "):
        read_events_json('{"format": 2, "items": []}', "f")
