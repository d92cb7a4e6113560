"""What the sections of the settings are written with: the kinds of numbers, and the marks of secrets and unknown keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field

STRICT_KEYS = ConfigDict(extra="forbid")
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
Cost = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class SecretMark:
    """Marks a setting that may not stand in plb.toml but in the environment, or in the file that `KEY_file` names."""


Secret = Annotated[str, SecretMark()]
"""Declare it as `field(default="", repr=False)`, beside `KEY_file: Path | None = None`."""
