"""The settings by name: every key with its type, and the environment variable that stands for it.

`balancer.margin.cpu_overload` is PLB_BALANCER__MARGIN__CPU_OVERLOAD, and `state_dir` is PLB_STATE_DIR.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from plb_ray.settings.kinds import SecretMark
from plb_ray.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX, SEPARATOR = "PLB_", "__"


@dataclass(frozen=True)
class Key:
    """One setting.

    Attributes:
        path: its name, part by part.
        text: its value is text, so that an environment variable needs no quotes.
        secret: it may not stand in plb.toml.
    """

    path: tuple[str, ...]
    text: bool
    secret: bool

    @property
    def name(self) -> str:
        """As in errors and documents: "balancer.mode"."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that stands for it."""
        return PREFIX + SEPARATOR.join(self.path).upper()

    def of(self, settings: Settings) -> Any:
        """Return its value."""
        value: Any = settings
        for part in self.path:
            value = getattr(value, part)
        return value


@cache
def keys() -> tuple[Key, ...]:
    """Return every setting, in the order of the tree."""
    return tuple(_keys(Settings, ()))


@cache
def sections() -> frozenset[str]:
    """Return the names of all tables, of which the settings are."""
    return frozenset(".".join(key.path[:depth]) for key in keys() for depth in range(1, len(key.path)))


def _keys(kind: type, above: tuple[str, ...]) -> Iterator[Key]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        path, hint = (*above, field.name), hints[field.name]
        if is_dataclass(hint):
            yield from _keys(hint, path)  # type: ignore[arg-type]  # a class, since it is a hint
        else:
            yield Key(path, _is_text(hint), _is_secret(hint))


def _is_secret(hint: Any) -> bool:
    return get_origin(hint) is Annotated and any(isinstance(each, SecretMark) for each in get_args(hint)[1:])


def _is_text(hint: Any) -> bool:
    """Return whether a value of this type is text, or nothing."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _is_text(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return all(each is type(None) or _is_text(each) for each in get_args(hint))
    if origin is Literal:
        return all(isinstance(each, str) for each in get_args(hint))
    return hint in (str, Path)
