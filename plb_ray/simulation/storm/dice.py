"""Chance: fast single draws from a seeded NumPy generator. The same seed gives the same draws, in any process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
BLOCK = 2048


class Dice:
    """Draws one number at a time; a block of them is made at once, since a single NumPy draw costs a microsecond."""

    def __init__(self, *seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._drawn: list[float] = []

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        if not self._drawn:
            self._drawn = self._generator.random(BLOCK).tolist()
        return self._drawn.pop()

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.uniform() < probability

    def between(self, least: float, most: float) -> float:
        """Return a number in [least, most)."""
        return least + (most - least) * self.uniform()

    def below(self, count: int) -> int:
        """Return a whole number in [0, count)."""
        return int(self.uniform() * count)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of some."""
        return choices[int(self.uniform() * len(choices))]

    def long_tailed(self, least: float, most: float) -> float:
        """Return a number between two positive ones, each order of magnitude as likely as the next."""
        return float(least * (most / least) ** self.uniform())
