"""What a shard uses when idle, and what its meters cannot tell from nothing; taken off before costs are learned. Pure.

    use of an interval = idle use x time + what its messages cost,        idle use: of intervals without any message

Meters count in quanta (the operating system's ticks, a disk's pages), and idle use varies. What lies within that blur
teaches no cost: a few messages beside it would seem to cost nothing, or a hundred times too much, and every later interval
would be held against that. An interval tells something if what was spent, or what was expected, is SIGNAL times the blur,
and, as long as idle use was not seen, more than UNSEEN besides. Both count: else a meter that stops, or messages that become
cheap, would go unseen, and only the dear intervals would be believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.estimate.group import Ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.estimate.looks import Interval

QUANTA = (0.02, 16_384.0)
"""CPU: two looks, each a tick of 10 ms off; I/O: four pages."""

VARIES = 0.05
"""Least deviation of the idle use from interval to interval, as a share of it; more, if more is seen."""

SIGNAL = 5.0
UNSEEN = (0.01, 1000.0)
"""Cores, and bytes per second: ten times what an idle embedded shard uses, so that none makes a cost a tenth too high."""


@dataclass(frozen=True)
class Silence:
    """What one resource shows without messages: mean use per second, and the mean square of how far shards are off it."""

    use: Ratio = field(default_factory=Ratio)
    off: Ratio = field(default_factory=Ratio)

    def plus(self, spent_per_s: NDArray[np.float64], seconds: float, decay: float) -> Silence:
        """Return it with silent shards (S',) added; their median stands for all, so that one that copies does not set it."""
        if not spent_per_s.size:
            return Silence(self.use.plus(0.0, 0.0, decay), self.off.plus(0.0, 0.0, decay))
        middle = float(np.median(spent_per_s))
        off = float((np.minimum(np.abs(spent_per_s - middle), middle) ** 2).sum())
        weight = seconds * spent_per_s.size
        return Silence(self.use.plus(middle * weight, weight, decay), self.off.plus(off * seconds, weight, decay))

    @property
    def deviation(self) -> float:
        """How far a shard's idle use is off the mean, per second."""
        return max(VARIES * self.use.value, float(np.sqrt(self.off.value)))


@dataclass(frozen=True)
class Idle:
    """CPU and I/O of a shard without messages, all shards together."""

    cpu: Silence = field(default_factory=Silence)
    io: Silence = field(default_factory=Silence)

    @property
    def per_s(self) -> NDArray[np.float64]:
        """(2,) cores, and bytes per second."""
        return np.array([self.cpu.use.value, self.io.use.value])

    def plus(self, interval: Interval, believed: NDArray[np.bool_], decay: float) -> Idle:
        """Return it with the shards that had no message in an interval added, if they are `believed` (2, S)."""
        silent = interval.settled & (interval.delivered == 0) & (interval.appended_messages == 0)
        cpu, io = (
            known.plus(spent[silent & sound] / interval.seconds, interval.seconds, decay)
            for known, spent, sound in zip((self.cpu, self.io), interval.spent, believed, strict=True)
        )
        return Idle(cpu, io)

    def taken_off(self, interval: Interval) -> Interval:
        """Return an interval with what its messages cost as what was spent, its blur, and the least that tells something."""
        both = (self.cpu, self.io)
        blur = QUANTA + np.array([each.deviation for each in both]) * interval.seconds
        unseen = np.where([each.use.weight > 0 for each in both], 0.0, UNSEEN) * interval.seconds
        beyond = np.maximum(0.0, interval.spent - self.per_s[:, None] * interval.seconds)
        return replace(interval, spent=beyond, blur=blur, least=SIGNAL * blur + unseen)
