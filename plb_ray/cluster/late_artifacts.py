"""When to look whether a network that is not there yet has been trained elsewhere meanwhile. Costs a `stat` now and then."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_EVERY_S = 10.0


class LateArtifacts:
    """Says which folders are worth loading from: those that have changed since they were last found wanting.

    Args:
        now_s: a clock whose differences are seconds.
        every_s: >= 0, the time between two looks at one folder.
    """

    def __init__(self, now_s: Callable[[], float], every_s: float = LOOK_EVERY_S) -> None:
        self._now_s = now_s
        self._every_s = every_s
        self._looked_s: dict[Path, float] = {}
        self._changed_ns: dict[Path, int] = {}

    def worth_loading(self, folder: Path) -> bool:
        """Return whether to try; a folder that could not be loaded from is named again only when it has changed."""
        now_s = self._now_s()
        if now_s - self._looked_s.get(folder, -math.inf) < self._every_s:
            return False
        self._looked_s[folder] = now_s
        try:
            changed_ns = folder.stat().st_mtime_ns
        except OSError:
            return False
        known, self._changed_ns[folder] = self._changed_ns.get(folder), changed_ns
        return changed_ns != known
