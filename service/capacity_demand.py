"""The demand to come as a capacity question sees it: a profile of the history, and what if. Arithmetic on arrays.

The profile. A step ahead is foreseen by what was at the same time in earlier periods:

    two weeks of history or more    the same hour of the week, in up to 4 earlier weeks
    two days or more                the same hour of the day, in up to 7 earlier days
    less                            the last hour there is, again and again

The mean of these samples is the mean; their highest-within-a-block values, sorted, give the (1 - alpha)-quantile (the next
higher sample, so never an interpolation downwards). Where there are fewer than 1 / alpha samples the tail is not in them,
and the predictive limit of normal samples counts if it is higher: mean + t sd sqrt(1 + 1/N), t Student's quantile with N - 1
degrees of freedom (Geisser, "Predictive Inference", 1993).

Mean and quantile are multiplied by the *level*, over all order params and within [0.5, 2]: what came in the last period,
relative to the mean of the periods that the samples are from; for an hour what came in the last hour, relative
to what the samples say of it. It is 1 while there is nothing to compare.

Forecasters see further into the next hours than this does; at the week there is no forecaster, and a question about what if
needs the same basis at every horizon. The profile is that basis, and `plb backtest` tells how good a seasonal naive is here.

Axes: K order params, T steps ahead, R resources.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import translate
from re import compile as pattern
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError, NoForecastError
from service.capacity_ask import DAY_S, HOUR_S, WEEK_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from plb_ray.control.capacity_basis import CapacityBasis
    from service.capacity_ask import Campaign, CapacityAsk, Growth, NewTenant

WEEKS, DAYS = 4, 7
LEVEL_MIN, LEVEL_MAX = 0.5, 2.0
NAMES_SHOWN = 3
RUN = 24  # steps whose samples are taken together: memory


@dataclass(frozen=True, eq=False)
class Demand:
    """What order params will need.

    Attributes:
        order_params: (K,) names.
        like: (K,) row of the basis that each costs like.
        starts_s: (T,) start of each step.
        mean, upper: (K, T) messages per second: mean, and quantile at 1 - alpha.
        notes: how it was foreseen and changed, in words.
    """

    order_params: tuple[str, ...]
    like: NDArray[np.int64]
    starts_s: NDArray[np.int64]
    mean: NDArray[np.float64]
    upper: NDArray[np.float64]
    notes: tuple[str, ...]


def demand(basis: CapacityBasis, ask: CapacityAsk) -> Demand:
    """Return the demand that a question is about.

    Raises:
        NoForecastError: the history does not hold one hour.
        BadInputError: a pattern of the question matches nothing.
    """
    found = profile(basis, ask)
    for growth in ask.growths:
        found = grown(found, growth)
    for campaign in ask.campaigns:
        found = campaigned(found, campaign, ask.horizon.step_s)
    for tenant in ask.tenants:
        found = joined(found, tenant)
    return found


def profile(basis: CapacityBasis, ask: CapacityAsk) -> Demand:
    """Return the demand as the history alone tells it; see the module."""
    history = basis.history
    steps, step_s = history.messages_per_s.shape[1], history.step_s
    if steps * step_s < HOUR_S:
        raise NoForecastError("the history does not hold one hour yet; capacity planning needs that at least")
    horizon = ask.horizon
    now_s = history.end_s if ask.now_s is None else ask.now_s
    first_s = now_s - now_s % step_s
    starts_s = first_s + np.arange(0, horizon.span_s, max(horizon.step_s, step_s), dtype=np.int64)
    period_s, periods, words = _period(steps * step_s)
    length = max(1, max(horizon.step_s, step_s) // step_s)
    columns = [_samples(start_s, history.start_s, step_s, steps, period_s, periods, length) for start_s in starts_s.tolist()]
    level = _level(history.messages_per_s, step_s, period_s, periods, of_hour=horizon.span_s == HOUR_S)
    mean, upper = np.empty((2, len(history.order_params), starts_s.size))
    for first, count in _runs(columns, length):
        rates, highest = (_gathered(each, columns[first], count, length) for each in (history.messages_per_s, basis.highest))
        mean[:, first : first + count] = rates.mean(axis=2)
        upper[:, first : first + count] = _upper_quantile(highest, ask.alpha)
    mean, upper = level * mean, level * np.maximum(mean, upper)
    note = f"foreseen from {words}; level of late: x {level:.2f}"
    rows = np.arange(len(history.order_params), dtype=np.int64)
    return Demand(history.order_params, rows, starts_s, mean, upper, (note,))


def grown(found: Demand, growth: Growth) -> Demand:
    """Return the demand with the traffic of some order params multiplied."""
    rows = matching(found.order_params, growth.order_params, "growth")
    factor = np.ones((len(found.order_params), 1))
    factor[rows] = 1 + growth.percent / 100
    note = f"what if: {_named(found, rows)} {growth.percent:+g} %"
    return replace(found, mean=found.mean * factor, upper=found.upper * factor, notes=(*found.notes, note))


def campaigned(found: Demand, campaign: Campaign, step_s: int) -> Demand:
    """Return the demand with a campaign on top; what it adds is taken as said, without a band of its own."""
    rows = matching(found.order_params, campaign.order_params, "campaign")
    start_s = found.starts_s[0] if campaign.start_s is None else campaign.start_s
    end_s = found.starts_s[-1] + step_s if campaign.end_s is None else campaign.end_s
    inside = (found.starts_s < end_s) & (found.starts_s + step_s > start_s)
    if not inside.any():
        raise BadInputError("capacity question, campaign: it lies outside the horizon; ask for a longer one, or move it")
    weight = found.mean[rows].sum(axis=1)
    share = weight / weight.sum() if weight.sum() > 0 else np.full(rows.size, 1 / rows.size)
    added = np.zeros_like(found.mean)
    added[np.ix_(rows, np.flatnonzero(inside))] = campaign.messages_per_s * share[:, None]
    note = f"what if: {campaign.messages_per_s:g} messages/s more on {_named(found, rows)} in {int(inside.sum())} steps"
    return replace(found, mean=found.mean + added, upper=found.upper + added, notes=(*found.notes, note))


def joined(found: Demand, tenant: NewTenant) -> Demand:
    """Return the demand with a new tenant, whose order params are called NAME/OTHER after the ones they are like."""
    rows = matching(found.order_params, tenant.like, "tenant")
    names = tuple(f"{tenant.name}/{found.order_params[row]}" for row in rows.tolist())
    taken = set(found.order_params) & set(names)
    if taken:
        raise BadInputError(f"capacity question, tenant: {min(taken)!r} is there already; choose another name")
    note = f"what if: {tenant.name} joins with {rows.size} order params like {_named(found, rows)}, x {tenant.factor:g}"
    return Demand(
        order_params=(*found.order_params, *names),
        like=np.concatenate([found.like, found.like[rows]]),
        starts_s=found.starts_s,
        mean=np.concatenate([found.mean, tenant.factor * found.mean[rows]]),
        upper=np.concatenate([found.upper, tenant.factor * found.upper[rows]]),
        notes=(*found.notes, note),
    )


def matching(names: tuple[str, ...], patterns: tuple[str, ...], what: str) -> NDArray[np.int64]:
    """Return the rows of the order params that one of the patterns names; none given: all.

    Raises:
        BadInputError: a pattern that matches nothing.
    """
    if not patterns:
        return np.arange(len(names), dtype=np.int64)
    hit = np.zeros(len(names), dtype=np.bool_)
    for each in patterns:
        fits = pattern(translate(each)).match
        rows = [row for row, name in enumerate(names) if name == each or fits(name)]
        if not rows:
            raise BadInputError(f"capacity question, {what}: no order param is called {each!r}")
        hit[rows] = True
    return np.flatnonzero(hit).astype(np.int64)


def _named(found: Demand, rows: NDArray[np.int64]) -> str:
    if rows.size == len(found.order_params):
        return "all order params"
    shown = ", ".join(found.order_params[row] for row in rows[:NAMES_SHOWN].tolist())
    return shown if rows.size <= NAMES_SHOWN else f"{shown} and {rows.size - NAMES_SHOWN} more"


def _period(history_s: int) -> tuple[int, int, str]:
    """Return length and number of the periods that are looked back on, and words for them."""
    if history_s >= 2 * WEEK_S:
        weeks = min(WEEKS, history_s // WEEK_S)
        return WEEK_S, weeks, f"the same hour of the week in the last {weeks} weeks"
    if history_s >= 2 * DAY_S:
        days = min(DAYS, history_s // DAY_S)
        return DAY_S, days, f"the same hour of the day in the last {days} days"
    return 0, 1, "the last hour, again and again: the history is shorter than two days"


def _samples(
    start_s: int, first_s: int, step_s: int, steps: int, period_s: int, periods: int, length: int
) -> NDArray[np.int64]:
    """Return the columns of the history that a step ahead is foreseen by."""
    if period_s == 0:
        return np.arange(max(0, steps - max(1, HOUR_S // step_s)), steps, dtype=np.int64)
    column = (start_s - first_s) // step_s
    back = period_s // step_s
    nearest = max(1, -(-(column + length - steps) // back))  # periods until the samples lie in the past
    begins = column - back * (nearest + np.arange(periods))
    columns = (begins[:, None] + np.arange(length)).ravel()
    return columns[(columns >= 0) & (columns < steps)].astype(np.int64)


def _runs(columns: list[NDArray[np.int64]], length: int) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of steps at most `RUN` whose columns are those of the first, each step `length` further."""
    first = 0
    while first < len(columns):
        count = 1
        while first + count < len(columns) and count < RUN:
            if not np.array_equal(columns[first + count], columns[first] + count * length):
                break
            count += 1
        yield first, count
        first += count


def _gathered(values: NDArray[np.floating], columns: NDArray[np.int64], count: int, length: int) -> NDArray[np.floating]:
    """Return (K, count, N): the (N,) columns of (K, T) values, then those each time `length` further; in whole slices."""
    if count == 1:
        return values[:, None, columns]
    found = np.empty((values.shape[0], count, columns.size), dtype=values.dtype)
    for place in range(0, columns.size, length):
        begin = int(columns[place])
        found[:, :, place : place + length] = values[:, begin : begin + count * length].reshape(-1, count, length)
    return found


def _level(rates: NDArray[np.floating], step_s: int, period_s: int, periods: int, *, of_hour: bool) -> float:
    """Return what came of late, relative to the samples, over all order params; see the module."""
    span, back = (HOUR_S if of_hour else period_s) // step_s, period_s // step_s
    ends = [rates.shape[1] - back * earlier for earlier in range(int(of_hour), periods + int(of_hour))]
    sums = [float(rates[:, end - span : end].sum(dtype=np.float64)) for end in ends if end >= span > 0]
    usual = sum(sums) / len(sums) if sums and period_s else 0.0
    late = float(rates[:, rates.shape[1] - span :].sum(dtype=np.float64))
    return float(np.clip(late / usual, LEVEL_MIN, LEVEL_MAX)) if usual > 0 else 1.0


def _upper_quantile(samples: NDArray[np.floating], alpha: float) -> NDArray[np.floating]:
    """Return (K, T) the (1 - alpha)-quantile that (K, T, N) samples let expect of the next one."""
    count = samples.shape[2]
    place = min(count - 1, int(np.ceil((1 - alpha) * count)) - 1)
    empirical = np.partition(samples, place, axis=2)[..., place]
    if not 2 <= count < 1 / alpha:
        return empirical
    from scipy.stats import t as student  # noqa: PLC0415 - slow to import

    width = float(student.isf(alpha, count - 1)) * np.sqrt(1 + 1 / count)
    return np.maximum(empirical, samples.mean(axis=2) + width * samples.std(axis=2, ddof=1))
