"""The settings in force as plain values, for people and programs to look at. Of a secret only whether it is set is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from plb_ray.settings import Settings
from plb_ray.settings.keys import keys

if TYPE_CHECKING:
    from plb_ray.settings.keys import Key


@dataclass(frozen=True)
class SettingView:
    """One setting.

    Attributes:
        key: as in plb.toml, "balancer.mode".
        value, default: as JSON has them; null for secrets.
        changed: whether it differs from the default.
        secret: whether it may not be shown.
    """

    key: str
    value: Any
    default: Any
    changed: bool
    secret: bool


def settings_view(settings: Settings) -> tuple[SettingView, ...]:
    """Return every setting, in the order of the tree."""
    defaults = Settings()
    return tuple(_view(key, key.of(settings), key.of(defaults)) for key in keys())


def _view(key: Key, value: Any, default: Any) -> SettingView:
    shown, usual = (None, None) if key.secret else (to_jsonable_python(value), to_jsonable_python(default))
    return SettingView(key.name, shown, usual, changed=value != default, secret=key.secret)
