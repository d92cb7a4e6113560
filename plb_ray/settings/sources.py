"""Where settings come from, the later over the earlier: the defaults, plb.toml, the environment, files with secrets.

    plb.toml --+                                          +--> settings, or all faults at once
               +--> one document --> types --> rules -----+
    PLB_... ---+                                          +--> where each value came from

A variable `PLB_BALANCER__MODE` stands for `balancer.mode`. Text needs no quotes, anything else is written as in TOML. A
variable with "__" that stands for no setting is a fault, since it was meant to be one; an empty one counts as not set.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from plb_ray.errors import BadInputError
from plb_ray.settings.keys import PREFIX, SEPARATOR, keys, sections
from plb_ray.settings.places import lines_of
from plb_ray.settings.rules import RULES
from plb_ray.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from plb_ray.settings.keys import Key

Document = dict[str, Any]
DEFAULT, FILE_SUFFIX = "default", "_file"
UNKNOWN = "unknown key; docs/settings.md lists the known ones"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: of which key, what, and where it stands ("plb.toml:3", or an environment variable)."""

    key: str
    what: str
    place: str


@dataclass(frozen=True)
class Resolved:
    """What came of reading all sources.

    Attributes:
        settings: None if there are faults.
        faults: everything that is wrong.
        origins: for each key, where its value came from.
    """

    settings: Settings | None
    faults: tuple[Fault, ...]
    origins: dict[str, str]


@dataclass
class _Reading:
    """One reading of the sources, as it grows."""

    name: str
    text: str
    document: Document
    variables: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, key: str, what: str) -> None:
        self.faults.append(Fault(key, what, self.place(key)))

    def place(self, key: str) -> str:
        """Return where a key was set: a variable, a file with a secret, a line of plb.toml."""
        if key in self.variables or key in self.files:
            return self.variables.get(key) or self.files[key]
        lines = lines_of(self.text)
        path = tuple(key.split("."))
        line = next((lines[path[:depth]] for depth in range(len(path), 0, -1) if path[:depth] in lines), None)
        return self.name if line is None else f"{self.name}:{line}"

    def origin(self, key: Key) -> str:
        told = key.name in self.variables or key.name in self.files or _has(self.document, key.path)
        return self.place(key.name) if told else DEFAULT


def load_settings(path: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a TOML file (the defaults for None) under those of the environment.

    Args:
        path: of plb.toml.
        environ: the environment; None: that of this process.

    Raises:
        BadInputError: the file is missing, is not TOML, or a key is unknown or out of range; the first one is named.
    """
    return _settings_of(resolve(path, os.environ if environ is None else environ))


def parse_settings(document: Document, origin: str) -> Settings:
    """Return the settings that a parsed TOML document stands for; `origin` names it in errors.

    Raises:
        BadInputError: a key is unknown or out of range; the first such key is named.
    """
    return _settings_of(_resolved(_Reading(origin, "", document), {}))


def resolve(path: Path | None, environ: Mapping[str, str]) -> Resolved:
    """Read all sources and return everything that is right or wrong about them.

    Raises:
        BadInputError: the file is missing, or is not TOML.
    """
    if path is None:
        return _resolved(_Reading("the defaults", "", {}), environ)
    text = _text_of(path)
    try:
        return _resolved(_Reading(str(path), text, tomllib.loads(text)), environ)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"config {path}: cannot be read as TOML: {error}") from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadInputError(f"config {path}: no such file; `plb serve` without --config uses the defaults") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"config {path}: cannot be read as TOML: {error}") from error


def _settings_of(resolved: Resolved) -> Settings:
    if resolved.settings is not None:
        return resolved.settings
    first, *others = resolved.faults
    more = f" (and {len(others)} more; `plb config check` lists them)" if others else ""
    raise BadInputError(f"config {first.place}: {first.key}: {first.what}{more}")


def _resolved(reading: _Reading, environ: Mapping[str, str]) -> Resolved:
    _refuse_secrets(reading)
    _overlay(reading, environ)
    _read_secrets(reading)
    settings = _validated(reading)
    if settings is not None:
        for key, what in (found for rule in RULES for found in rule(settings)):
            reading.fault(key, what)
    origins = {key.name: reading.origin(key) for key in keys()} if settings is not None else {}
    return Resolved(None if reading.faults else settings, tuple(reading.faults), origins)


def _refuse_secrets(reading: _Reading) -> None:
    """Take secrets out of what plb.toml says: it is copied, shown and committed."""
    for key in (key for key in keys() if key.secret and _has(reading.document, key.path)):
        file = f"{key.name}{FILE_SUFFIX}"
        reading.fault(key.name, f"a secret may not stand here; set {key.variable}, or {file} to a file that holds it")
        reading.document = _without(reading.document, key.path)


def _overlay(reading: _Reading, environ: Mapping[str, str]) -> None:
    """Lay the environment over what the file says."""
    by_variable = {key.variable: key for key in keys()}
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and environ[name]):
        key = by_variable.get(variable)
        place = f"environment variable {variable}"
        if key is not None:
            reading.variables[key.name] = place
            try:
                reading.document = _with(reading.document, key.path, _value(key, environ[variable]))
            except ValueError:
                what = "is no TOML value; write numbers, true, false and lists as in plb.toml"
                reading.faults.append(Fault(key.name, what, place))
        elif SEPARATOR in variable:
            name = ".".join(variable.removeprefix(PREFIX).lower().split(SEPARATOR))
            reading.faults.append(Fault(name, _unknown(name), place))


def _value(key: Key, text: str) -> Any:
    """Return what a variable says. Raises ValueError if that is no TOML."""
    if key.text:
        return text
    document = tomllib.loads(f"value = {text}")
    if len(document) != 1:  # a line break in the text would smuggle a second key in
        raise ValueError(text)
    return document["value"]


def _read_secrets(reading: _Reading) -> None:
    """Replace the name of a secret's file by what it holds."""
    for key in (key for key in keys() if key.secret):
        file = _get(reading.document, (*key.path[:-1], key.path[-1] + FILE_SUFFIX))
        if not isinstance(file, str) or not file:
            continue
        named = f"{key.name}{FILE_SUFFIX}"
        if _has(reading.document, key.path):
            reading.fault(named, f"{key.variable} is set too; only one may be")
            continue
        try:
            secret = _first_line(file)
        except (OSError, UnicodeDecodeError) as error:
            reading.fault(named, f"{file} cannot be read: {getattr(error, 'strerror', None) or error}")
            continue
        reading.document = _with(reading.document, key.path, secret)
        reading.files[key.name] = f"file {file}"


def _first_line(file: str) -> str:
    with open(os.path.expanduser(file), encoding="utf-8") as opened:  # noqa: PTH111, PTH123  the name is a plain text
        return opened.readline().strip()


def _validated(reading: _Reading) -> Settings | None:
    try:
        return _adapter().validate_python(reading.document)
    except ValidationError as error:
        for found in error.errors():
            key = ".".join(str(part) for part in found["loc"]) or "(top)"
            reading.fault(key, _in_words(key, found["type"], found["msg"]))
        return None


@cache
def _adapter() -> TypeAdapter[Settings]:
    return TypeAdapter(Settings)


def _in_words(key: str, kind: str, message: str) -> str:
    """Return pydantic's finding as a sentence that says what to do."""
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return _unknown(key)
    return message[0].lower() + message[1:]


def _unknown(name: str) -> str:
    known = [*(key.name for key in keys()), *sections()]
    near = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"unknown key; did you mean {near[0]}?" if near else UNKNOWN


# ---- nested tables


def _get(document: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not isinstance(document, dict) or part not in document:
            return None
        document = document[part]
    return document


def _has(document: Any, path: tuple[str, ...]) -> bool:
    return _get(document, path) is not None


def _with(document: Document, path: tuple[str, ...], value: Any) -> Document:
    """Return a copy with one value set; where a table should be and something else is, that stays to be refused."""
    head, *rest = path
    if not rest:
        return {**document, head: value}
    below = document.get(head, {})
    return {**document, head: _with(below, tuple(rest), value) if isinstance(below, dict) else below}


def _without(document: Document, path: tuple[str, ...]) -> Document:
    head, *rest = path
    if not rest:
        return {name: value for name, value in document.items() if name != head}
    return {**document, head: _without(document[head], tuple(rest))}


def every_fault(resolved: Resolved) -> Iterator[str]:
    """Yield one sentence per fault, as a compiler would: place, key, what is wrong."""
    for fault in resolved.faults:
        yield f"{fault.place}: {fault.key}: {fault.what}"
