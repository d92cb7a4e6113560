"""Files that only their owner may read: written whole or not at all, and refused when somebody else could have read them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
OTHERS = 0o077


def private_folder(folder: Path) -> Path:
    """Return a folder that only its owner enters; made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    return folder


def read_private(path: Path) -> str | None:
    """Return what a file holds, or None if there is none.

    Raises:
        BadInputError: others may read it, or it cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & OTHERS:
                raise BadInputError(f"{path} can be read by others; run: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read: {error}") from error


def write_private(path: Path, text: str) -> None:
    """Put a file in place of an older one; whoever reads gets the one or the other, after a power cut too.

    Raises:
        BadInputError: the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        private_folder(path.parent)
        beside.unlink(missing_ok=True)
        made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error.strerror or error}") from error


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
