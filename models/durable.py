"""Files that are there whole or not at all, and on disk when the call returns: how the registry writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def publish(made: Path, place: Path) -> None:
    """Let a finished folder appear under its name: before this call nobody sees it, after it everybody sees all of it."""
    for folder, _, names in os.walk(made):
        for name in names:
            _sync(os.path.join(folder, name))  # noqa: PTH118 (os.walk gives strings)
        _sync(folder)
    os.replace(made, place)  # noqa: PTH105 (the tests of crashes fail it here)
    _sync(place.parent)


def replace_text(path: Path, text: str) -> None:
    """Put a file in place of an older one: whoever reads gets the one or the other."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)  # noqa: PTH105 (the same)
    _sync(path.parent)


def append_line(path: Path, line: str) -> None:
    """Add a line. One that a crash cut off before it is ended first, so that it spoils no other."""
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        torn = False
        if size:
            file.seek(size - 1)
            torn = file.read(1) != b"\n"
        file.write(b"\n" * torn + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _sync(path: str | Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
