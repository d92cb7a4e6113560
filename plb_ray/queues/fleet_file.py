"""Which shards were started here, kept in one file so that a balancer that comes back starts them again: `fleet.json`.

    STARTING   written before the process is started; whoever finds it starts it (again) and goes on
    SERVING    it has joined the queue
    DRAINING   it takes nothing and is to leave
    (none)     it has left; its number is never used again, since its name may still stand in journals and in clients' caches

The file is written as a whole, synced, and then put in the place of the old one: a crash leaves one or the other. Only the
owner of the journal's lock writes it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "fleet.json"
PREFIX = "elastic"


class Stage(StrEnum):
    """Where a shard that was started here is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True)
class Started:
    """One shard that was started here. `listen` is `host:port`; port 0 until it has served once."""

    shard_id: str
    shard_type: str
    stage: Stage = Stage.STARTING
    listen: str = "127.0.0.1:0"


@dataclass(frozen=True)
class Fleet:
    """All shards that were started here, and the number that the next one gets."""

    following: int = 1
    shards: dict[str, Started] = field(default_factory=dict)

    def plus(self, count: int, shard_type: str) -> Fleet:
        """Return the fleet with so many more shards, which are STARTING."""
        names = [f"{PREFIX}-{number}" for number in range(self.following, self.following + count)]
        fresh = {name: Started(name, shard_type) for name in names}
        return Fleet(self.following + count, {**self.shards, **fresh})

    def changed(self, shard_id: str, stage: Stage, listen: str | None = None) -> Fleet:
        """Return the fleet with one shard at another stage."""
        shard = self.shards[shard_id]
        return replace(self, shards={**self.shards, shard_id: replace(shard, stage=stage, listen=listen or shard.listen)})

    def without(self, shard_id: str) -> Fleet:
        """Return the fleet without one shard."""
        return replace(self, shards={name: shard for name, shard in self.shards.items() if name != shard_id})


def read_fleet(folder: Path) -> Fleet:
    """Return the fleet of a state folder; the empty one if none was ever written.

    Raises:
        BadInputError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return Fleet()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        shards = [Started(**{**each, "stage": Stage(each["stage"])}) for each in document["shards"]]
        return Fleet(int(document["following"]), {shard.shard_id: shard for shard in shards})
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "it lists the shards that were started here; mend it, or move it away once nothing lives on them"
        raise BadInputError(f"{path}: cannot be read ({error}); {hint}") from error


def write_fleet(folder: Path, fleet: Fleet) -> None:
    """Write the fleet; durable on return.

    Raises:
        BadInputError: the folder cannot be written.
    """
    document = {"following": fleet.following, "shards": [asdict(shard) for shard in fleet.shards.values()]}
    path, part = folder / FILE, folder / f".part-{FILE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync(folder)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _sync(folder: Path) -> None:
    """Make the new name in the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
