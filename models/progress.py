"""The progress of a part, told as that of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Share:
    """Tells the progress of a part as that of the whole, in which it goes from `begin` to `end`, each in [0, 1]."""

    tell: Callable[[float], None]
    begin: float
    end: float

    def __call__(self, done: float) -> None:
        self.tell(self.begin + (self.end - self.begin) * done)
