"""How far the order params' forecast errors move together: rho of `plb_ray.estimate.load`, learnt from what came.

The mathematics
    Order param k's rate lay in its forecast at the level u_k; z_k is the normal score of u_k, of variance 1 if the forecast
    is calibrated, and s_k the width of the forecast. If any two scores have the correlation rho,

        E[ (sum z_k s_k)^2 - sum z_k^2 s_k^2 ]  =  rho ((sum s_k)^2 - sum s_k^2)

    so each step that has come gives one estimate, the quotient. They are averaged with weights that halve in HALF_LIFE_S,
    and with PRIOR as if it had been seen PRIOR_STEPS times: a single step says next to nothing. Scores are cut at SCORE_MAX,
    so that one outage is not taken for a law.

Widths make the order params count as they do in a shard's load: by messages. Cost O(K) a step; nothing is kept but two sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from plb_ray.estimate.pooling import CORRELATION
from plb_ray.history.outcomes import KEPT_LEVELS

if TYPE_CHECKING:
    from plb_ray.history.outcomes import Outcomes

PRIOR, PRIOR_STEPS = CORRELATION, 50.0
HALF_LIFE_S = 7 * 86_400.0
SCORE_MAX = 3.0
_MEDIAN, _UPPER = KEPT_LEVELS.index(0.5), KEPT_LEVELS.index(0.9)


class CommonErrors:
    """Learns rho. Begins at the prior, again after a restart."""

    def __init__(self) -> None:
        self._sum, self._weight = PRIOR * PRIOR_STEPS, PRIOR_STEPS
        self._until_s: int | None = None

    @property
    def correlation(self) -> float:
        """The correlation of any two order params' errors, in [0, 1]."""
        return float(np.clip(self._sum / self._weight, 0.0, 1.0))

    def add(self, outcomes: Outcomes) -> None:
        """Learn from one step of one forecast; one without a pair, or without width, says nothing and is left out."""
        pairs = outcomes.pairs
        width = np.maximum(0.0, pairs.quantiles[:, _UPPER] - pairs.quantiles[:, _MEDIAN])
        possible = width.sum() ** 2 - (width**2).sum()
        if possible <= 0:
            return
        part = np.clip(ndtri(pairs.pit.mean(axis=1)), -SCORE_MAX, SCORE_MAX) * width
        self._forget(outcomes.end_s)
        self._sum += float((part.sum() ** 2 - (part**2).sum()) / possible)
        self._weight += 1.0

    def _forget(self, end_s: int) -> None:
        """Let what was seen count less, and the prior as before."""
        if self._until_s is not None and end_s > self._until_s:
            kept = 0.5 ** ((end_s - self._until_s) / HALF_LIFE_S)
            self._sum = PRIOR * PRIOR_STEPS + kept * (self._sum - PRIOR * PRIOR_STEPS)
            self._weight = PRIOR_STEPS + kept * (self._weight - PRIOR_STEPS)
        self._until_s = max(end_s, self._until_s or end_s)
