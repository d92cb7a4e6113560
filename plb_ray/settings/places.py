"""On which line of a TOML file each key stands. The standard library's parser does not tell."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KeyPath = tuple[str, ...]


def lines_of(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, on which each key and table of a document begins; elements of lists are numbered.

    A line ends a statement exactly if the text up to it can be read as TOML; the keys that are new then stand on the lines
    since the last such one. Takes a parse a line, so it is for messages and listings.
    """
    found: dict[KeyPath, int] = {}
    lines = text.splitlines(keepends=True)
    begins = 1
    for number in range(1, len(lines) + 1):
        if begins == number and lines[number - 1].strip()[:1] in ("", "#"):
            begins = number + 1
            continue
        try:
            document = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        for path in _paths(document, ()):
            found.setdefault(path, begins)
        begins = number + 1
    return found


def _paths(value: object, above: KeyPath) -> Iterator[KeyPath]:
    if above:
        yield above
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _paths(below, (*above, name))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _paths(below, (*above, str(number)))
