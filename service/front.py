"""What the HTTP service is told of the settings: plain values that travel to its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.settings_view import settings_view

if TYPE_CHECKING:
    from pathlib import Path

    from plb_ray.settings import HttpSettings, LogSettings, Settings, TracingSettings
    from service.settings_view import SettingView


@dataclass(frozen=True)
class Front:
    """The part of the settings that concerns HTTP.

    Attributes:
        http: who may call, and how.
        state_dir: absolute; the replicas' nodes must see it: tokens and networks are read from there.
        shown: every setting, without secrets.
        log, tracing: what its processes log, and where their spans go.
    """

    http: HttpSettings
    state_dir: Path
    shown: tuple[SettingView, ...]
    log: LogSettings
    tracing: TracingSettings


def front_of(settings: Settings) -> Front:
    """Return what the settings say of it."""
    return Front(settings.http, settings.state_dir.resolve(), settings_view(settings), settings.log, settings.tracing)
