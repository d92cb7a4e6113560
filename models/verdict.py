"""Who may serve: the rules, pure. What they are judged by is in `models.trials`, who carries it out is `models.champion`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models.drift import DriftParams
from models.registry_entry import What
from models.trials import TrialParams, significantly_better
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from models.trials import Trial


@dataclass(frozen=True)
class ChampionParams:
    """When a challenger becomes champion, and what is kept.

    Attributes:
        p_max: (0, 0.5], chance at which a gain may be luck and yet counts.
        keep: 1.., newest versions that are kept, beside the champion and the one before it.
        trial: how they are judged.
        drift: when a champion counts as drifted.
    """

    p_max: float = 0.05
    keep: int = 5
    trial: TrialParams = field(default_factory=TrialParams)
    drift: DriftParams = field(default_factory=DriftParams)

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        if not 0 < self.p_max <= 0.5 or self.keep < 1:
            raise BadInputError(f"p_max = {self.p_max!r} must be in (0, 0.5] and keep = {self.keep!r} at least 1")


@dataclass(frozen=True)
class Decision:
    """What follows from a trial: `PROMOTED` the challenger serves, `KEPT` nothing changes, `DEMOTED` the baseline serves."""

    what: What
    reason: str


def decide(
    challenger: Trial, baseline: Trial, champion: Trial | None, vacancy: str, overlap: int, params: ChampionParams
) -> Decision:
    """Return who serves from now on.

    Args:
        challenger: on the tail.
        baseline: on the tail.
        champion: on the tail; None if none can serve.
        vacancy: why not; empty if there is none.
        overlap: of the origins, see `significantly_better`.
        params: see `ChampionParams`.
    """
    worse = not challenger.wql <= baseline.wql
    said = f"WQL {challenger.wql:.4g}, seasonal naive {baseline.wql:.4g}"
    failing = champion is not None and not champion.wql <= baseline.wql
    if champion is None or failing:
        vacancy = f"the champion is worse than the seasonal naive (WQL {champion.wql:.4g})" if champion else vacancy
        if not worse:
            return Decision(What.PROMOTED, f"{said}; {vacancy or 'there was no champion'}")
        stands_in = f"{said}; the challenger is worse than the seasonal naive, which serves"
        return Decision(What.DEMOTED, f"{stands_in}; {vacancy}") if vacancy else Decision(What.KEPT, stands_in)
    said = f"{said}, champion {champion.wql:.4g}"
    if worse:
        return Decision(What.KEPT, f"{said}; the challenger is worse than the seasonal naive")
    chance = significantly_better(challenger.losses, champion.losses, overlap)
    if chance < params.p_max:
        return Decision(What.PROMOTED, f"{said}; a significant gain (p = {chance:.2g})")
    return Decision(What.KEPT, f"{said}; no significant gain (p = {chance:.2g})")
