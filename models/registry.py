"""The registry of trained forecasters: folders. One holds the versions of one group's forecaster for one horizon.

    group-0/short/
        v0001/entry.json    how and from what it was made, and how good it was on the days held out
        v0001/model/        the forecaster's own files
        v0002/ ...
        champion            JSON: which version serves ("v0002", or null = the baseline), and the change that made it so
        events.jsonl        the audit, a line per event, only ever added to
        lock                held by whoever changes something

A version never changes. It is written beside its place, synced and put there by renaming, so it is whole whenever it can be
seen; the pointer `champion` is replaced in the same way. So a crash leaves the state before or after a change.

Reading needs no lock. Several processes (the service, a retraining, a person) may change things, one after the other.
A version of an older plb-ray (`v1` and `current`) is none: nothing here touches it.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from models.durable import publish
from models.registry_entry import Entry, What, line_of_champions
from models.registry_ledger import Ledger
from plb_ray.cluster.file_lock import locked
from plb_ray.domain.champions import ChampionStanding, Demotion
from plb_ray.domain.events import utc_text
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from models.registry_entry import Event

ENTRY = "entry.json"
MODEL = "model"
OLD_POINTER = "current"
NAME = re.compile(r"v\d{4,}")
ANYONE = "*"
"""As `over`: whoever is champion now."""


class VersionFolder:
    """The versions of one group's forecaster for one horizon.

    Args:
        folder: need not exist before the first version is added.
        now_s: wall clock, for the times of entries and events.
    """

    def __init__(self, folder: Path, now_s: Callable[[], float]) -> None:
        self.folder = folder
        self._now_s = now_s
        self._ledger = Ledger(folder, now_s)

    def versions(self) -> tuple[str, ...]:
        """Return the names of all versions, oldest first."""
        try:
            names = [path.name for path in self.folder.iterdir() if NAME.fullmatch(path.name)]
        except OSError:
            return ()
        return tuple(sorted(names, key=_number))

    @property
    def holds_only_older_format(self) -> bool:
        """Whether there is no version, but a network that an older plb-ray has left."""
        return not self.versions() and (self.folder / OLD_POINTER).exists()

    def entry(self, version: str) -> Entry:
        """Return how a version was made. Raises NoForecastError: there is no such version, or its entry is damaged."""
        path = self.folder / version / ENTRY
        if not NAME.fullmatch(version) or not path.parent.is_dir():
            known = ", ".join(self.versions()) or "none"
            raise NoForecastError(f"there is no version {version!r} in {self.folder}; there are: {known}")
        try:
            return Entry.from_document(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoForecastError(f"{path} cannot be read ({error!r}); serve another version, or train again") from error

    def model(self, version: str) -> Path:
        """Return the folder with the forecaster's own files."""
        return self.folder / version / MODEL

    def best_model(self) -> Path | None:
        """Return `model` of the champion, or of the newest version where none serves; None if there is no version."""
        versions = self.versions()
        try:
            version = self.champion()
        except NoForecastError:
            version = None
        return self.model(version or versions[-1]) if versions else None

    def champion(self) -> str | None:
        """Return the version that serves; None = none, so the baseline does.

        Raises:
            NoForecastError: the pointer cannot be read.
        """
        return self._ledger.champion()

    def pointer_key(self) -> tuple[int, ...] | None:
        """Return what changes whenever the champion does, at the cost of one `stat`; None if there never was one.

        Raises:
            OSError: the file system does not answer.
        """
        return self._ledger.pointer_key()

    def events(self) -> tuple[Event, ...]:
        """Return the audit, oldest first. A line that is no event is left out and logged."""
        return self._ledger.events()

    def former_champions(self) -> tuple[str, ...]:
        """Return those before the present champion that are still there, the latest last; a demoted one is none of them."""
        line = line_of_champions(self.events())
        if line and line[-1] == self._ledger.champion_or_none():
            line.pop()
        there = set(self.versions())
        return tuple(version for version in line if version in there)

    def add(self, write: Callable[[Path], None], entry: Entry, who: str = "") -> str:
        """Keep a new version and return its name. It does not serve before it is promoted.

        Args:
            write: writes the forecaster's files into a folder that is not there yet.
            entry: its version and time are set here.
            who: adds it, for the audit.
        """
        with self._changing():
            version = f"v{1 + max(map(_number, self._names_ever()), default=0):04d}"
            made = self.folder / ".adding"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            write(made / MODEL)
            named = replace(entry, version=version, made_at=utc_text(int(self._now_s())))
            (made / ENTRY).write_text(json.dumps(named.as_document(), indent=1), encoding="utf-8")
            publish(made, self.folder / version)
            self._ledger.note(What.ADDED, version, f"trained on {entry.data.order_params} order params", who)
            return version

    def promote(self, version: str, reason: str, who: str = "", over: str | None = ANYONE) -> bool:
        """Let a version serve from now on, and return whether it does.

        Args:
            version: must be there.
            reason: for people.
            who: for people.
            over: the champion it was compared with; if that one is not champion any more, nothing is changed.

        Raises:
            NoForecastError: there is no such version, or its entry is damaged.
        """
        return self._let_serve(What.PROMOTED, version, reason, who, over)

    def demote(self, reason: str, who: str = "", over: str | None = ANYONE) -> bool:
        """Let the baseline serve until a version is promoted. Returns False if nothing was changed: nobody served.

        Args:
            reason: for people.
            who: for people.
            over: whose fault it is; if that one is not champion any more, nothing is changed either.
        """
        with self._changing():
            present = self._ledger.champion_or_none()
            if over not in (ANYONE, present) or self._ledger.nobody_serves():
                return False
            self._ledger.point_to(None, What.DEMOTED, present, reason, who)
            return True

    def rollback(self, to: str | None = None, reason: str = "", who: str = "") -> str:
        """Let an earlier version serve again and return its name. A repeat with the same `to` changes nothing.

        Args:
            to: None = the champion before the present one, or before the demoted one.
            reason: for people.
            who: for people.

        Raises:
            NoForecastError: there is no such version or no earlier champion, or its entry is damaged.
        """
        if to is None:
            former = self.former_champions()
            if not former:
                raise NoForecastError(f"no other version in {self.folder} was champion before; name the one to go back to")
            to = former[-1]
        self._let_serve(What.ROLLED_BACK, to, reason, who, ANYONE)
        return to

    def keep(self, reason: str, who: str = "") -> None:
        """Note that the champion, or the baseline, stayed when it was challenged."""
        with self._changing():
            self._ledger.note(What.KEPT, self._ledger.champion_or_none(), reason, who)

    def prune(self, keep: int, who: str = "") -> tuple[str, ...]:
        """Delete all but the newest `keep` >= 1 versions, the champion and the one before it; return what was deleted.

        Raises:
            NoForecastError: the pointer cannot be read, so nothing is deleted.
        """
        with self._changing():
            spared = {*self.versions()[-max(1, keep) :], self.champion(), *self.former_champions()[-1:]}
            doomed = tuple(version for version in self.versions() if version not in spared)
            for version in doomed:
                self._ledger.note(What.PRUNED, version, f"only the newest {keep} are kept, and who served last", who)
                self._delete(version)
            return doomed

    def _let_serve(self, what: What, version: str, reason: str, who: str, over: str | None) -> bool:
        with self._changing():
            self.entry(version)
            present = self._ledger.champion_or_none()
            if over not in (ANYONE, present):
                return False
            if present != version:
                self._ledger.point_to(version, what, version, reason, who)
            return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock; what a crash kept out of the audit is written first."""
        with locked(self.folder / "lock", wait=True):
            self._ledger.complete(self.versions())
            yield

    def _delete(self, version: str) -> None:
        """Let it vanish whole; what a crash leaves of it goes with the next one."""
        grave = self.folder / ".pruned"
        shutil.rmtree(grave, ignore_errors=True)
        (self.folder / version).rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def _names_ever(self) -> set[str]:
        """Return the names of versions that are or were there: none is given twice."""
        told = {event.version for event in self.events() if event.version is not None}
        return {*self.versions(), *(version for version in told if NAME.fullmatch(version))}


class ModelRegistry:
    """All version folders of one folder of networks: `<root>/<group>/<horizon>`.

    Args:
        root: need not exist.
        now_s: wall clock, for the times of entries and events.
    """

    def __init__(self, root: Path, now_s: Callable[[], float]) -> None:
        self.root = root
        self._now_s = now_s

    def folders(self) -> tuple[tuple[str, str, VersionFolder], ...]:
        """Return (group, horizon name, versions) of all folders that have versions, by group and horizon."""
        all_of_them = ((path, VersionFolder(path, self._now_s)) for path in self.root.glob("*/*") if path.is_dir())
        found = [(path.parent.name, path.name, folder) for path, folder in all_of_them if folder.versions()]
        return tuple(sorted(found, key=lambda each: (_natural(each[0]), each[1])))

    def demote(self, horizon: str, reason: str, at_s: float) -> None:
        """Implements `plb_ray.control.feedback.ModelKeeper`: let the baseline serve every group at this horizon."""
        for _, of_horizon, versions in self.folders():
            if of_horizon == horizon:
                versions.demote(f"{reason} (in the week until {utc_text(int(at_s))})", "feedback")

    def standing(self, horizon: str) -> ChampionStanding:
        """Implements `plb_ray.control.ports.Champions`: who serves the groups at this horizon now."""
        serving, demotions, learnt_s = 0, [], []
        for _, of_horizon, versions in self.folders():
            if of_horizon != horizon:
                continue
            learnt = _learnt_s(versions)
            if learnt is not None:
                serving += 1
                learnt_s.append(learnt)
            elif (demotion := _demotion(versions)) is not None:
                demotions.append(demotion)
        reason = max(demotions, key=lambda each: each.at).reason if demotions else ""
        return ChampionStanding(serving, len(demotions), reason, min(learnt_s, default=0.0))

    def demotions(self) -> tuple[Demotion, ...]:
        """Return the groups whose champion was demoted and that the baseline serves, by group and horizon."""
        found = ((group, horizon, _demotion(versions)) for group, horizon, versions in self.folders())
        return tuple(
            Demotion(group, horizon, event.reason, event.who, datetime.fromisoformat(event.at).timestamp())
            for group, horizon, event in found
            if event is not None
        )

    def of(self, group: str, horizon_name: str) -> VersionFolder:
        """Return the versions of one group's forecaster for one horizon. Raises NoForecastError: it has none."""
        for each_group, each_horizon, folder in self.folders():
            if (each_group, each_horizon) == (group, horizon_name):
                return folder
        raise NoForecastError(
            f"{self.root} has no version for group {group!r}, horizon {horizon_name!r}; `plb models list` shows what it has"
        )


def _learnt_s(versions: VersionFolder) -> float | None:
    """Return how much history the champion has learnt from; None if none serves, 0 if nobody knows."""
    try:
        champion = versions.champion()
        if champion is None:
            return None
        data = versions.entry(champion).data
    except NoForecastError:
        return 0.0
    return float(data.end_s - data.start_s)


def _demotion(versions: VersionFolder) -> Event | None:
    """Return what made nobody serve; None if nobody ever did."""
    changes = [event for event in versions.events() if event.what in (What.PROMOTED, What.DEMOTED, What.ROLLED_BACK)]
    return changes[-1] if changes and changes[-1].what == What.DEMOTED else None


def _number(version: str) -> int:
    return int(version[1:])


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which group-10 comes after group-9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
