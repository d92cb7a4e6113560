"""What is remembered of retrainings: a file each in `networks/retrain/`, and the locks that keep trainings apart.

    retrain-5f0c....json          the retraining as its job last wrote it; the truth as long as its job lives
    retrain-5f0c....lock          held by the job that works on it
    starting.lock                 held while one is being started
    training/group-0.short.lock   held by whoever trains this group for this horizon: a job, or the balancer itself

A file is put in place by renaming, so whoever reads gets it whole. One process writes it at a time.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from plb_ray.cluster.file_lock import locked
from plb_ray.cluster.retraining import Retraining
from plb_ray.errors import BadInputError, UnknownRetrainingError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

FOLDER = "retrain"
KEPT = 100
"""How many retrainings are remembered."""


class RetrainFiles:
    """The retrainings of one folder of networks."""

    def __init__(self, networks: Path) -> None:
        self._folder = networks / FOLDER

    def read(self, retraining_id: str) -> Retraining:
        """Return what was last written.

        Raises:
            UnknownRetrainingError: nothing was.
            BadInputError: the file is damaged.
        """
        path = self._path(retraining_id)
        if path is None:
            raise UnknownRetrainingError(retraining_id)
        try:
            return Retraining.from_document(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UnknownRetrainingError(retraining_id) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{path}: is damaged ({error!r}); remove it to begin this retraining anew") from error

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all, newest file first."""
        paths = sorted(self._folder.glob("retrain-*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        return tuple(path.stem for path in paths)

    def write(self, record: Retraining) -> None:
        """Put a retraining in the place of what was written of it before."""
        path = self._path(record.retraining_id)
        assert path is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
        new.replace(path)

    def forget_old(self, kept: int = KEPT) -> None:
        """Delete all but the newest files."""
        for retraining_id in self.ids()[kept:]:
            for suffix in (".json", ".lock"):
                (self._folder / f"{retraining_id}{suffix}").unlink(missing_ok=True)

    def starting(self) -> AbstractContextManager[bool]:
        """Wait until nobody else is starting a retraining, and keep others from it while the block runs."""
        return locked(self._folder / "starting.lock", wait=True)

    def working_on(self, retraining_id: str) -> AbstractContextManager[bool]:
        """Yield whether this is the only process that works on it, and keep it so while the block runs."""
        return locked(self._folder / f"{retraining_id}.lock")

    def _path(self, retraining_id: str) -> Path | None:
        """Return its file; None for what cannot be an id, so that no name leads out of the folder."""
        sound = retraining_id.startswith("retrain-") and retraining_id.replace("-", "").isalnum()
        return self._folder / f"{retraining_id}.json" if sound else None


def training_lock(networks: Path, group: str, horizon_name: str) -> AbstractContextManager[bool]:
    """Yield whether nobody else trains this group for this horizon, and keep others from it while the block runs."""
    return locked(networks / FOLDER / "training" / f"{group}.{horizon_name}.lock")
