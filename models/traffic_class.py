"""What kind of traffic an order param has: the classes in which forecasters are weighed, calibrated and reported.

    intermittent   more than half of the steps are idle, silent order params too
    hot            of the others: it is among the busiest ones that together carry 80 % of all traffic
    bursty         of the others: the squared coefficient of variation of the steps that are not idle is above 0.49
    steady         all others

The cut of 0.49 is that between erratic and smooth demand. The order params of a history are judged together: who is hot
depends on who else is there.

References:
    Syntetos, Boylan, Croston (2005), "On the categorization of demand patterns", J. Oper. Res. Soc. 56.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import RateHistory

CLASSES = ("hot", "bursty", "intermittent", "steady")
HOT, BURSTY, INTERMITTENT, STEADY = range(len(CLASSES))

LOOKBACK_S = 14 * DAY_S
IDLE_SHARE = 0.5
HOT_SHARE = 0.8
VARIATION_SQUARED = 0.49


def classify(grid: RateHistory) -> NDArray[np.intp]:
    """Return (K,) the class of each order param, an index into CLASSES, from the last 14 days of a history."""
    rates = np.asarray(grid.last(max(1, LOOKBACK_S // grid.step_s)).messages_per_s)  # (K, T)
    total = rates.sum(axis=1, dtype=np.float64)
    busy_steps = np.count_nonzero(rates, axis=1)
    variation = _variation_squared(rates, total, busy_steps)
    classes = np.where(variation > VARIATION_SQUARED, BURSTY, STEADY)
    classes[_hot(total)] = HOT
    classes[busy_steps < (1.0 - IDLE_SHARE) * rates.shape[1]] = INTERMITTENT
    classes[busy_steps == 0] = INTERMITTENT
    return classes.astype(np.intp)


def busiest_of_each(of_class: NDArray[np.intp], rates: NDArray[np.floating], most: int) -> NDArray[np.intp]:
    """Return the rows of at most `most` order params of each class, those with the highest mean rate, in ascending order.

    Args:
        of_class: (K,) as `classify` returns it.
        rates: (K, T) whose means count.
        most: of each class.
    """
    busiest = np.argsort(-rates.mean(axis=1), kind="stable")
    by_class = [busiest[of_class[busiest] == number][:most] for number in range(len(CLASSES))]
    return np.sort(np.concatenate(by_class))


def _hot(total: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows of the busiest order params, as few as carry HOT_SHARE of the traffic."""
    busiest = np.argsort(-total, kind="stable")
    carried_before = np.cumsum(total[busiest]) - total[busiest]
    return np.asarray(busiest[carried_before < HOT_SHARE * total.sum()])


def _variation_squared(
    rates: NDArray[np.floating], total: NDArray[np.float64], busy_steps: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return (K,) variance over squared mean of the steps that are not idle; 0 where there are none.

    Both are taken from sums over all steps, to which the idle ones add nothing: no copy of the (K, T) rates is made.
    """
    squares = np.einsum("kt,kt->k", rates, rates, dtype=np.float64)
    some = total > 0
    relative = np.divide(squares * busy_steps, total**2, out=np.ones_like(total), where=some)
    return np.asarray(np.maximum(relative - 1.0, 0.0))
