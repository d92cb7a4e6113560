"""Who serves a horizon: champions that were trained, or the baseline where there is none, or none any more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChampionStanding:
    """Who serves one horizon.

    Attributes:
        serving: groups of order params that a champion serves.
        demoted: groups whose champion was demoted and that the baseline serves.
        reason: why the last of them was demoted, in words; empty if none was.
        learnt_s: the shortest history that a serving champion has learnt from; 0 if none serves.
    """

    serving: int = 0
    demoted: int = 0
    reason: str = ""
    learnt_s: float = 0.0

    @property
    def lost(self) -> bool:
        """Whether there were champions and none serves any more."""
        return self.demoted > 0 and self.serving == 0


@dataclass(frozen=True)
class Demotion:
    """A group of order params that the baseline serves, since its champion was demoted and nobody was promoted after it.

    Attributes:
        who: demoted it, as the registry's audit has it; may be empty.
        at_s: when, wall time in whole seconds.
    """

    group: str
    horizon: str
    reason: str
    who: str
    at_s: float
