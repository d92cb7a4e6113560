from __future__ import annotations

import json
import multiprocessing
import os

import pytest

from models.registry import ModelRegistry
from models.registry_entry import What
from plb_ray.errors import NoForecastError
from tests.registry.builders import NOW_S, entry, filled, folder_at, write_model


def told(folder) -> list[tuple[str, str | None]]:
    return [(str(event.what), event.version) for event in folder.events()]


def test_a_version_is_kept_as_it_was_made(tmp_path):
    """Entry and files of a version are read back; it serves only once it is promoted."""
    folder = folder_at(tmp_path / "group-0" / "short")
    assert folder.add(write_model, entry(wql=0.25), "me") == "v0001"
    kept = folder.entry("v0001")
    assert (kept.version, kept.made_at, kept.metrics["wql"]) == ("v0001", "2025-11-24T16:00:00Z", 0.25)
    assert kept.data == entry().data
    assert (folder.model("v0001") / "weights").read_text() == "w"
    assert (folder.champion(), folder.pointer_key()) == (None, None)
    assert folder.promote("v0001", "the first", "me")
    assert folder.champion() == "v0001"
    assert [(event.number, event.who) for event in folder.events()] == [(1, "me"), (2, "me")]


def test_the_audit_says_what_happened_and_why(tmp_path):
    """Every change is an event with time, version, reason and who."""
    folder = filled(tmp_path, 2)
    folder.keep("no gain", "training")
    folder.demote("coverage", "feedback")
    folder.rollback(reason="had enough", who="ann")
    assert told(folder)[-3:] == [("kept", "v0002"), ("demoted", "v0002"), ("rolled back", "v0001")]
    last = folder.events()[-1]
    assert (last.at, last.reason, last.who) == ("2025-11-24T16:00:00Z", "had enough", "ann")


def test_rolling_back_goes_to_the_champion_before_and_then_further(tmp_path):
    """Each rollback without a name goes one champion back, never to one that was rolled back or demoted."""
    folder = filled(tmp_path, 4)
    folder.demote("bad")
    assert folder.rollback() == "v0003"
    assert folder.rollback() == "v0002"
    assert folder.former_champions() == ("v0001",)
    assert folder.rollback() == "v0001"
    with pytest.raises(NoForecastError, match="no other version"):
        folder.rollback()
    assert folder.champion() == "v0001"


def test_rolling_back_by_name_may_be_repeated(tmp_path):
    """To a named version, forward too; a repeat changes nothing; an unknown one is refused with those that there are."""
    folder = filled(tmp_path, 3)
    folder.rollback("v0001")
    before = folder.events()
    folder.rollback("v0001")
    assert folder.events() == before
    folder.rollback("v0003")
    assert folder.champion() == "v0003"
    with pytest.raises(NoForecastError, match="there are: v0001, v0002, v0003"):
        folder.rollback("v0009")


def test_nobody_is_demoted_twice(tmp_path):
    """A demotion without a champion changes nothing and says so."""
    folder = filled(tmp_path, 1)
    assert folder.demote("bad")
    before = folder.events()
    assert not folder.demote("bad")
    assert folder.events() == before


@pytest.mark.parametrize("change", ["promote", "demote"])
def test_a_change_that_was_decided_against_another_champion_is_refused(tmp_path, change):
    """Who decided against v0001 while somebody promoted v0002 changes nothing."""
    folder = filled(tmp_path, 2)
    done = folder.promote("v0001", "", over="v0001") if change == "promote" else folder.demote("", over="v0001")
    assert not done
    assert folder.champion() == "v0002"


def test_pruning_spares_the_champion_and_the_one_before(tmp_path):
    """Of nine versions two newest are kept, the champion and the one to roll back to; a name is never given again."""
    folder = filled(tmp_path, 4)
    for _ in range(5):
        folder.add(write_model, entry())
    assert folder.prune(keep=2) == ("v0001", "v0002", "v0005", "v0006", "v0007")
    assert folder.versions() == ("v0003", "v0004", "v0008", "v0009")
    assert folder.rollback() == "v0003"
    assert folder.prune(keep=1) == ("v0004", "v0008")
    assert folder.add(write_model, entry()) == "v0010"


def test_names_sort_beyond_four_digits(tmp_path):
    """v10000 comes after v9999 and is the newest."""
    folder = folder_at(tmp_path)
    (tmp_path / "v9999").mkdir()
    assert folder.add(write_model, entry()) == "v10000"
    assert folder.versions() == ("v9999", "v10000")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"champion": "v0001"}', "\x00\xff"])
def test_a_damaged_pointer_is_a_clear_error_and_can_be_mended(tmp_path, content):
    """Reading it names the file and the remedy; promotion, demotion and rollback all put a sound one in its place."""
    for mend in (
        lambda folder: folder.promote("v0001", ""),
        lambda folder: folder.demote("damaged"),
        lambda folder: folder.rollback("v0001"),
    ):
        folder = filled(tmp_path / str(id(mend)), 2)
        (folder.folder / "champion").write_text(content, encoding="latin-1")
        with pytest.raises(NoForecastError, match=r"champion.*rollback"):
            folder.champion()
        with pytest.raises(NoForecastError):
            folder.prune(1)
        assert len(folder.versions()) == 2
        assert mend(folder)
        assert folder.champion() in (None, "v0001")


@pytest.mark.parametrize("content", ["", "{}", '{"format": 99}', "[1]", '{"format": 1, "horizon": 3}'])
def test_a_damaged_entry_is_a_clear_error_and_never_serves(tmp_path, content):
    """It names the file, and such a version cannot be promoted."""
    folder = filled(tmp_path, 1)
    folder.add(write_model, entry())
    (tmp_path / "v0002" / "entry.json").write_text(content)
    with pytest.raises(NoForecastError, match=r"v0002/entry\.json"):
        folder.promote("v0002", "")
    assert folder.champion() == "v0001"


def test_a_line_of_the_audit_that_is_damaged_spoils_no_other(tmp_path):
    """Neither a torn last line nor a foreign one in the middle hides what else happened."""
    folder = filled(tmp_path, 2)
    whole = told(folder)
    audit = tmp_path / "events.jsonl"
    lines = audit.read_text().splitlines()
    audit.write_text("\n".join([*lines[:2], "{torn", '{"number": 1}', *lines[2:], lines[0][:20]]))
    assert told(folder) == whole
    folder.keep("later")
    assert told(folder) == [*whole, ("kept", "v0002")]


@pytest.mark.parametrize("version", ["../v0001", "current", "v1", ""])
def test_what_is_no_name_of_a_version_leads_nowhere(tmp_path, version):
    """No name leads out of the folder, and a folder of the older format is no version."""
    folder = filled(tmp_path / "short", 1)
    (tmp_path / "short" / "v1").mkdir()
    with pytest.raises(NoForecastError, match="no version"):
        folder.entry(version)


def test_an_older_format_is_no_version(tmp_path):
    """`v1` and `current` are ignored, left alone, and known for what they are."""
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").write_text("v1")
    folder = folder_at(tmp_path)
    assert (folder.versions(), folder.holds_only_older_format) == ((), True)
    folder.add(write_model, entry())
    assert not folder.holds_only_older_format
    assert (tmp_path / "v1").is_dir()


def test_the_registry_finds_every_folder_with_versions(tmp_path):
    """By group and horizon, group-10 after group-9; other folders beside them are passed over."""
    for name in ("group-10/short", "group-9/short", "group-9/medium", "hot-0/short"):
        folder_at(tmp_path / name).add(write_model, entry())
    (tmp_path / "retrain" / "training").mkdir(parents=True)
    (tmp_path / "assignment.json").write_text("{}")
    registry = ModelRegistry(tmp_path, lambda: NOW_S)
    found = [(group, horizon) for group, horizon, _ in registry.folders()]
    assert found == [("group-9", "medium"), ("group-9", "short"), ("group-10", "short"), ("hot-0", "short")]
    assert registry.of("hot-0", "short").versions() == ("v0001",)
    with pytest.raises(NoForecastError, match="plb models list"):
        registry.of("..", "short")
    assert ModelRegistry(tmp_path / "absent", lambda: NOW_S).folders() == ()


def test_reading_makes_nothing(tmp_path):
    """Looking at a folder that is not there leaves it so."""
    folder = folder_at(tmp_path / "absent")
    assert (folder.versions(), folder.champion(), folder.events(), folder.former_champions()) == ((), None, (), ())
    assert not folder.folder.exists()


def _add_some(path, count):
    folder = folder_at(path)
    for _ in range(count):
        folder.promote(folder.add(write_model, entry()), str(os.getpid()))


def test_two_processes_at_once_lose_nothing(tmp_path):
    """Versions added by two processes have names of their own, and every event a number of its own."""
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_add_some, args=(tmp_path, 5)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    folder = folder_at(tmp_path)
    assert folder.versions() == tuple(f"v{number:04d}" for number in range(1, 11))
    assert [event.number for event in folder.events()] == list(range(1, 21))
    assert {event.what for event in folder.events()} == {What.ADDED, What.PROMOTED}
    assert json.loads((tmp_path / "champion").read_text())["champion"] == folder.champion()
