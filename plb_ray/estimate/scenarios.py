"""Joint scenarios: how far the errors of a shard's order params cancel, from errors that came together in the past. Pure.

The mathematics (the "Schaake shuffle": Clark, Gangopadhyay, Hay, Rajagopalan and Wilby, J. Hydrometeorology 5, 2004)
    Of the last N steps that came (one every SPACING_S at most) the level u_kj at which order param k's rate lay in its
    forecast is kept, j = 1..N. Their ranks r_kj in 1..N are the empirical copula: who was high when who else was.
    Scenario j of a coming step gives each order param the quantile of its forecast of now

        x_kj = F_k^-1( (r_kj - 1/2) / N )

    so each order param's own distribution is exactly the forecast's, and together they move as they did before. A shard's
    load in scenario j is the sum of c_k x_kj; its quantile over j is the load to plan with: no correlation, and no shape of
    the sum, is assumed.

What is made of it
    excess of a shard, E = quantile of the scenario sums - sum of means. Order params without a past (L beside those with
    one, P) join by the formula of `plb_ray.estimate.load` with the pairwise correlation rho:

        E^2 = E_P^2 + E_L^2 + 2 rho (sum_P e) (sum_L e)

    A quantile of N scenarios is uncertain itself, so E^2 is averaged with the formula's for all, which counts as
    PRIOR_SCENARIOS; below SCENARIOS_MIN only the formula is used.

Axes: K order params, N scenarios, Q quantile levels, S shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SCENARIOS_MAX = 100
SCENARIOS_MIN = 30
PRIOR_SCENARIOS = 25.0


@dataclass(frozen=True, eq=False)
class ScenarioGroup:
    """What came of steps of one kind: those `ahead_s` ahead in one horizon.

    Attributes:
        horizon: its name.
        ahead_s: from the cutoff to the end of the step.
        index: row of each of the M order params.
        levels: (M, N) level of what came in what was foreseen; arbitrary where that is not known.
        known: (M,) of how many scenarios it is.
    """

    horizon: str
    ahead_s: int
    index: Mapping[str, int]
    levels: NDArray[np.float32]
    known: NDArray[np.int64]

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """(M, N) from 0; computed once."""
        return np.argsort(np.argsort(self.levels, axis=1, kind="stable"), axis=1, kind="stable")

    def rows(self, order_params: Sequence[str]) -> NDArray[np.int64]:
        """Return (K,) the row of each, -1 for those whose past is too short."""
        rows = np.array([self.index.get(name, -1) for name in order_params], dtype=np.int64)
        return np.where((rows >= 0) & (self.known[rows] >= SCENARIOS_MIN), rows, -1) if len(self.index) else rows


@dataclass(frozen=True, eq=False)
class Scenarios:
    """All groups."""

    groups: tuple[ScenarioGroup, ...] = ()

    def nearest(self, horizon: str, ahead_s: int) -> ScenarioGroup | None:
        """Return the group for a step: of its horizon the nearest in time; None if there is none that is long enough."""
        fit = (g for g in self.groups if g.horizon == horizon and g.levels.shape[1] >= SCENARIOS_MIN)
        return min(fit, key=lambda group: abs(group.ahead_s - ahead_s), default=None)


def quantile_weights(levels: Sequence[float], scenarios: int) -> NDArray[np.float64]:
    """Return (Q, N) by which quantiles at `levels`, Q >= 2, become those at (j - 1/2) / N.

    Linear between levels and below the lowest; above the highest an exponential tail through the last two.
    """
    known = np.asarray(levels, dtype=np.float64)
    wanted = (np.arange(scenarios) + 0.5) / scenarios
    above = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    part = (wanted - known[above - 1]) / (known[above] - known[above - 1])
    tail = wanted > known[-1]
    part[tail] = 1 + np.log((1 - known[-1]) / (1 - wanted[tail])) / np.log((1 - known[-2]) / (1 - known[-1]))
    weights = np.zeros((len(known), scenarios))
    at = np.arange(scenarios)
    weights[above - 1, at] += 1 - part
    weights[above, at] += part
    return weights


def scenario_rates(
    quantiles: NDArray[np.floating], levels: Sequence[float], group: ScenarioGroup, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return (P, N) the rates of one step in each scenario.

    Args:
        quantiles: (P, Q) of the rates foreseen now.
        levels: (Q,).
        group: N scenarios.
        rows: (P,) in the group.
    """
    values = np.asarray(quantiles, dtype=np.float64)
    each = np.maximum(0.0, values @ quantile_weights(levels, group.levels.shape[1]))
    return np.take_along_axis(each, group.ranks[rows], axis=1)


def shard_excess(
    rates: NDArray[np.float64],
    unit: NDArray[np.float64],
    mean: NDArray[np.float64],
    owner: NDArray[np.int64],
    shards: int,
    level: float,
) -> NDArray[np.float64]:
    """Return (S,) quantile of the scenario sums less the sum of the means, >= 0.

    Args:
        rates: (P, N) in each scenario.
        unit: (P,) load of a message per second.
        mean: (P,) mean load.
        owner: (P,) shard.
        shards: S.
        level: of the quantile.
    """
    sums = per_shard(rates * unit[:, None], owner, shards)  # (S, N)
    quantile = np.quantile(sums, level, axis=1, method="hazen")  # whose levels are (j - 1/2) / N, too
    return np.asarray(np.maximum(0.0, quantile - per_shard(mean, owner, shards)))
