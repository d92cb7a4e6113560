"""Which order param is in which group: the file `groups.json` beside the networks. The pool writes it, jobs read it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOG = logging.getLogger(__name__)
FILE = "groups.json"


def read_assignment(networks: Path) -> dict[str, str]:
    """Return order param -> group as last written; empty if there is none or it is damaged (then all is grouped anew)."""
    path = networks / FILE
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        LOG.warning("%s cannot be read (%s); order params are grouped anew", path, error)
        return {}
    return {str(name): str(group) for name, group in read.items()} if isinstance(read, dict) else {}


def write_assignment(networks: Path, group_of: Mapping[str, str]) -> None:
    """Put an assignment in the place of the older one."""
    path = networks / FILE
    new = path.with_suffix(".new")
    new.write_text(json.dumps(group_of, indent=1, sort_keys=True), encoding="utf-8")
    new.replace(path)


def members(group_of: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return group -> its order params, groups and order params sorted."""
    by_group: dict[str, list[str]] = {}
    for name, group in sorted(group_of.items()):
        by_group.setdefault(group, []).append(name)
    return {group: tuple(by_group[group]) for group in sorted(by_group)}
