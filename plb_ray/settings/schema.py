"""The JSON Schema of plb.toml, for editors that complete and check while one writes. Secrets are not in it."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from plb_ray.settings.keys import keys
from plb_ray.settings.tree import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ENTRY = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.*)$")


def settings_schema() -> dict[str, Any]:
    """Return the schema; the description of a key is what its docstring says."""
    schema = TypeAdapter(Settings).json_schema()
    tables = {Settings.__name__: schema, **schema["$defs"]}
    for kind in _tables(Settings):
        _describe(tables[kind.__name__], kind)
    for key in (key for key in keys() if key.secret):
        _drop(schema, tables, key.path)
    return {"$schema": DIALECT, **schema, "title": "plb.toml", "description": "The settings of plb-ray."}


def _tables(kind: type) -> list[type]:
    """Return the root and every table below it, those of list elements too."""
    found = [kind]
    for hint in get_type_hints(kind).values():
        for each in (hint, *get_args(hint)):
            if isinstance(each, type) and is_dataclass(each):
                found += _tables(each)
    return found


def _describe(table: dict[str, Any], kind: type) -> None:
    words = described(kind)
    table["description"] = inspect.getdoc(kind).split("\n")[0]  # type: ignore[union-attr]  # every section has one
    for field in fields(kind):
        if field.name in words:
            table["properties"][field.name]["description"] = words[field.name]


def described(kind: type) -> dict[str, str]:
    """Return what the "Attributes" of a section's docstring say of each field."""
    _, _, attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in attributes.splitlines():
        entry = _ENTRY.match(line.removeprefix("    "))
        if entry is not None:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.startswith("        "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            break
    return found


def _drop(schema: dict[str, Any], tables: dict[str, Any], path: tuple[str, ...]) -> None:
    table = schema
    for part in path[:-1]:
        property_ = table["properties"][part]
        table = tables[property_["$ref"].rsplit("/", 1)[1]]
    del table["properties"][path[-1]]
