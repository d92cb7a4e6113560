"""A crash between any two steps of a change: every call that reaches the disk fails once, at each place in turn."""

from __future__ import annotations

import os

import pytest

from models import durable
from models.registry_entry import What
from tests.registry.builders import entry, filled, folder_at, write_model


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def crash_at(monkeypatch):
    """Return a function: let the n-th sync or renaming from now on be where the process ends; None = none."""
    left = {"count": None}

    def dying(call):
        def called(*arguments):
            if left["count"] == 0:
                raise Crash
            if left["count"] is not None:
                left["count"] -= 1
            return call(*arguments)

        return called

    monkeypatch.setattr(durable.os, "fsync", dying(os.fsync))
    monkeypatch.setattr(durable.os, "replace", dying(os.replace))

    def set_to(count):
        left["count"] = count

    return set_to


def crash_everywhere(tmp_path, crash_at, change):
    """Yield the folder after a crash at each step of `change`, until one goes through."""
    for step in range(60):
        folder = filled(tmp_path / str(step), 2)
        crash_at(step)
        try:
            change(folder)
        except Crash:
            crash_at(None)
            yield step, folder_at(folder.folder)
            continue
        crash_at(None)
        assert step > 3, "the crashes hit nothing"
        return
    pytest.fail("no end of steps")


def test_a_version_is_there_whole_or_not_at_all(tmp_path, crash_at):
    """Whenever adding is cut off there are two sound versions or three, the champion is who it was, and adding goes on."""
    seen = set()
    for _, folder in crash_everywhere(tmp_path, crash_at, lambda folder: folder.add(write_model, entry())):
        seen.add(len(folder.versions()))
        assert all(folder.entry(version).version == version for version in folder.versions())
        assert all((folder.model(version) / "weights").read_text() == "w" for version in folder.versions())
        assert folder.champion() == "v0002"
        added = folder.add(write_model, entry())
        assert added == folder.versions()[-1]
        told = [event.version for event in folder.events() if event.what == What.ADDED]
        assert told == list(folder.versions())
    assert seen == {2, 3}


CHANGES = {
    "promote": (lambda folder: folder.promote("v0001", "why"), "v0001", What.PROMOTED),
    "rollback": (lambda folder: folder.rollback(reason="why"), "v0001", What.ROLLED_BACK),
    "demote": (lambda folder: folder.demote("why"), None, What.DEMOTED),
}


@pytest.mark.parametrize("name", CHANGES)
def test_pointer_and_audit_agree_after_a_crash(tmp_path, crash_at, name):
    """The champion is the older or the newer one; the last event is what made it so, and the next change keeps it."""
    change, after, what = CHANGES[name]
    seen = set()
    for _, folder in crash_everywhere(tmp_path, crash_at, change):
        champion = folder.champion()
        seen.add(champion)
        assert champion in ("v0002", after)
        expected = (what, "v0002" if after is None else after) if champion == after else (What.PROMOTED, "v0002")
        assert (folder.events()[-1].what, folder.events()[-1].version) == expected
        before = folder.events()
        folder.keep("the next change")
        assert folder.events()[:-1] == before
        assert [event.number for event in folder.events()] == list(range(1, len(before) + 2))
    assert seen == {"v0002", after}


def test_a_crash_while_pruning_leaves_sound_versions(tmp_path, crash_at):
    """Whatever is left can be read, champion and predecessor are among it, and the next pruning ends the work."""

    def change(folder):
        folder.add(write_model, entry())
        folder.promote("v0003", "")
        folder.prune(keep=1)

    for _, folder in crash_everywhere(tmp_path, crash_at, change):
        assert all(folder.entry(version) for version in folder.versions())
        assert folder.champion() in folder.versions()
        assert folder.former_champions()[-1:] != ()
        folder.prune(keep=1)
        spared = {folder.versions()[-1], folder.champion(), folder.former_champions()[-1]}
        assert set(folder.versions()) == spared
