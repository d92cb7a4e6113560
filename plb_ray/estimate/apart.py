"""Telling order params apart: the cost of each one's message, from meters that only show a whole shard. One resource.

The mathematics
    data       of each shard and interval: spent y, and of each of its order params k the messages x_k
    model      y = sum x_k c_k + e,   c_k >= 0,   e ~ (0, r^2 max(y', floor)^2),  y' what was expected
    prior      c_k ~ (g_k, (SPREAD g_k)^2),  g_k the group's cost for messages of k's size (`plb_ray.estimate.group`)
    forgetting  c <- g + f (c - g),   P <- f^2 P + (1 - f^2) diag(SPREAD max(c, LEAST g))^2,
               f = 0.5^(t / half-life): costs change in proportion; what is not seen any more goes back to the prior
    update     the Kalman filter with one measurement: S = x'Px + var(e), gain q = P x / S, c <- max(0, c + q (y - x'c)),
               P <- P - q q' S.  Innovations beyond Z_MAX deviations count as Z_MAX (Huber), so one outlier does little
    noise      r^2 is the decayed mean of (residual after the update)^2 + x'Px, by y'^2 (Mohamed and Schwarz, J. Geodesy 73,
               1999)
This is ridge regression towards the group with exponential forgetting, kept up one row at a time; P is its posterior
covariance, so sqrt(P_kk) is the error bar. Two order params whose traffic keeps one proportion stay unknown one by one, and
their error bars say so. A migration, or traffic that moves apart, tells them apart.

Shards do not share data, so P falls into one block per shard. An order param that moves takes its cost and its variance with
it; its covariances are dropped, so the first interval on its new shard counts as if nothing had been known of the sums it
was part of: a little too much confidence per move, not per interval. At most BLOCK_MAX order params of a shard, its busiest,
are told apart, so memory and the work of a tick are O(K BLOCK_MAX); the others keep the cost they had, drawn to the group,
and their variance counts as noise. Who is told apart stays so until another is STAY times busier: covariances are kept.

Drift: the mean of a shard's normalised innovations, over some DRIFT_LOOKS, beyond DRIFT_Z of its deviations: its
costs are scaled to what is spent now, and the block's variances go back to the prior's, so they are learned anew.
A jump: an interval JUMP times dearer or cheaper than expected and beyond JUMP_Z deviations. It is not believed until it has
been seen JUMP_LOOKS times in a row; then it is a drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SPREAD = 1.0  # costs that differ tenfold, evenly on a logarithmic scale, have a coefficient of variation of 0.64
LEAST = 0.1
BLOCK_MAX, STAY = 128, 4.0
NOISE, NOISE_LOOKS = 0.05, 20.0  # the noise that is assumed at first, and for how many looks that counts
FLOOR = 0.1  # of the shards' mean spending: a meter is no more exact than that times the noise
Z_MAX = 4.0
DRIFT_LOOKS, DRIFT_Z, DRIFT_Z_MAX = 20.0, 5.0, 10.0  # one outlier is no drift, two of a kind are
JUMP, JUMP_Z, JUMP_LOOKS = 5.0, 6.0, 3
TOLD_LOOKS = 60  # for how many intervals people are told of a drift


@dataclass(frozen=True)
class Change:
    """By what the costs of a shard's order params were found changed, and for how many intervals that is still news."""

    times: float = 1.0
    news: int = 0

    def older(self) -> Change:
        """Return it an interval later."""
        return Change(self.times, max(0, self.news - 1))


@dataclass(frozen=True, eq=False)
class Block:
    """What is known of the order params of one shard together.

    Attributes:
        rows: (B,) of the order params that are told apart, ascending.
        covariance: (B, B).
        lean: decayed mean of the normalised innovations: 0 while the costs hold.
        jumps: intervals in a row that were far off.
        off: the last interval's spending as a multiple of what was expected.
        change: the last drift.
    """

    rows: NDArray[np.int64]
    covariance: NDArray[np.float64]
    lean: float = 0.0
    jumps: int = 0
    off: float = 1.0
    change: Change = field(default_factory=Change)


@dataclass(frozen=True, eq=False)
class Apart:
    """Costs of K order params in one resource; immutable.

    Attributes:
        cost: (K,) per message.
        variance: (K,) of its error.
        blocks: by shard.
        noise_sum, noise_weight: decayed sums behind r^2.
    """

    cost: NDArray[np.float64]
    variance: NDArray[np.float64]
    blocks: Mapping[str, Block] = field(default_factory=dict)
    noise_sum: float = NOISE**2 * NOISE_LOOKS
    noise_weight: float = NOISE_LOOKS

    @property
    def noise(self) -> float:
        """r: deviation of a shard's spending from what its messages cost, as a share of it."""
        return float(np.sqrt(self.noise_sum / self.noise_weight))

    def aged(self, group: NDArray[np.float64], fade: float) -> Apart:
        """Return it drawn towards the group.

        Args:
            group: (K',) cost of each by the group, K' >= K; who is new starts there, and who came before the group had any.
            fade: f, in (0, 1].
        """
        new = len(group) - len(self.cost)
        before, spread = np.pad(self.cost, (0, new)), np.pad(self.variance, (0, new))
        unknown = (before == 0) & (spread == 0)
        before, spread = np.where(unknown, group, before), np.where(unknown, spread_of(group, group), spread)
        cost = group + fade * (before - group)
        variance = fade**2 * spread + (1 - fade**2) * spread_of(cost, group)
        return replace(self, cost=cost, variance=variance)


def spread_of(cost: NDArray[np.float64], group: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance of a cost of which nothing more is known: (SPREAD max(c, LEAST g))^2."""
    return np.asarray((SPREAD * np.maximum(cost, LEAST * group)) ** 2)


@dataclass(frozen=True, eq=False)
class Look:
    """One interval of one resource.

    Attributes:
        shard_ids: (S,) those that are learned from.
        rows: per shard, its order params' rows (N_s,).
        messages: per shard, their messages (N_s,).
        spent: (S,).
    """

    shard_ids: list[str]
    rows: list[NDArray[np.int64]]
    messages: list[NDArray[np.float64]]
    spent: NDArray[np.float64]


def learned(apart: Apart, look: Look, group: NDArray[np.float64], fade: float) -> Apart:
    """Return what is known after an interval.

    Args:
        apart: before it, already `aged`.
        look: the interval.
        group: (K,) cost of each by the group.
        fade: f, as it was aged by.
    """
    cost, variance, blocks = apart.cost.copy(), apart.variance.copy(), dict(apart.blocks)
    expected = np.array([float(x @ cost[rows]) for rows, x in zip(look.rows, look.messages, strict=True)])
    floor = FLOOR * float(expected.mean()) if expected.size else 0.0
    noise_sum, noise_weight = apart.noise_sum, apart.noise_weight
    for place, shard_id in enumerate(look.shard_ids):
        if expected[place] <= 0:
            continue
        step = _Step(look, place, (cost, variance), group, (apart.noise, max(float(expected[place]), floor)), fade)
        block, share = step.taken(blocks.get(shard_id))
        blocks[shard_id] = block
        if share is not None:
            noise_sum, noise_weight = noise_sum + share, noise_weight + 1.0
    return replace(
        apart,
        cost=cost,
        variance=variance,
        blocks=blocks,
        noise_sum=NOISE**2 * NOISE_LOOKS + (noise_sum - NOISE**2 * NOISE_LOOKS) * fade,
        noise_weight=NOISE_LOOKS + (noise_weight - NOISE_LOOKS) * fade,
    )


class _Step:
    """A shard's update of the arrays `learnt`, cost and variance (K,), in place; `noise` is r, and what it is a share of."""

    def __init__(
        self,
        look: Look,
        place: int,
        learnt: tuple[NDArray[np.float64], NDArray[np.float64]],
        group: NDArray[np.float64],
        noise: tuple[float, float],
        fade: float,
    ) -> None:
        self._rows, self._x, self._spent = look.rows[place], look.messages[place], float(look.spent[place])
        self._cost, self._variance = learnt
        self._noise, self._scale = noise
        self._group, self._fade = group, fade

    def taken(self, before: Block | None) -> tuple[Block, float | None]:
        """Return the block after it, and what the interval says of r^2; None if it is not believed."""
        chosen = self._chosen(before)
        rows, x = self._rows[chosen], self._x[chosen]
        covariance = self._covariance(rows, before)
        expected = float(self._x @ self._cost[self._rows])
        total = float(x @ covariance @ x) + self._noise_variance(chosen)
        z, off = (self._spent - expected) / float(np.sqrt(total)), self._spent / expected
        lean, jumps, change = (
            (before.lean, before.jumps, before.change.older()) if before is not None else (0.0, 0, Change())
        )
        jumps = jumps + 1 if abs(z) > JUMP_Z and not 1 / JUMP < off < JUMP else 0
        if 0 < jumps < JUMP_LOOKS:
            return Block(rows, covariance, lean, jumps, off, change), None
        lean += (float(np.clip(z, -DRIFT_Z_MAX, DRIFT_Z_MAX)) - lean) / DRIFT_LOOKS
        z = float(np.clip(z, -Z_MAX, Z_MAX))
        if jumps or abs(lean) > DRIFT_Z / np.sqrt(2 * DRIFT_LOOKS - 1):  # the deviation of such a mean of normal scores
            return self._relearned(rows, x, off), None
        covariance = self._updated(rows, x, covariance, z, total)
        return Block(rows, covariance, lean, 0, off, change), self._share(x, covariance)

    def _noise_variance(self, chosen: NDArray[np.int64]) -> float:
        """Return var(e), with what is not known of those that are not told apart."""
        variance = (self._noise * self._scale) ** 2
        if len(chosen) < len(self._rows):
            others = np.delete(np.arange(len(self._rows)), chosen)
            variance += float(self._x[others] ** 2 @ self._variance[self._rows[others]])
        return variance

    def _updated(
        self, rows: NDArray[np.int64], x: NDArray[np.float64], covariance: NDArray[np.float64], z: float, total: float
    ) -> NDArray[np.float64]:
        """Do the Kalman update and return the covariance after it."""
        px = covariance @ x
        self._cost[rows] = np.maximum(0.0, self._cost[rows] + px / np.sqrt(total) * z)
        after = covariance - np.outer(px, px / total)
        self._variance[rows] = np.maximum(np.diagonal(after), 0.0)
        return np.asarray(after)

    def _share(self, x: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
        left = self._spent - float(self._x @ self._cost[self._rows])
        bounded = min(left**2, (Z_MAX * self._noise * self._scale) ** 2)
        return (bounded + float(x @ covariance @ x)) / self._scale**2

    def _relearned(self, rows: NDArray[np.int64], x: NDArray[np.float64], off: float) -> Block:
        """Scale the costs to what is spent now, and know as little of each as at first."""
        self._cost[rows] *= off
        spread = (SPREAD * np.maximum(self._group[rows], self._cost[rows])) ** 2
        covariance = np.diag(spread)
        px = covariance @ x
        total = float(x @ px) + (self._noise * self._scale * off) ** 2
        covariance -= np.outer(px, px) / total  # the sum is known, since it has just been fitted
        self._variance[rows] = np.maximum(np.diagonal(covariance), 0.0)
        return Block(rows, covariance, 0.0, 0, off, Change(off, TOLD_LOOKS))

    def _chosen(self, before: Block | None) -> NDArray[np.int64]:
        """Return which of the shard's order params are told apart, in the order of their rows."""
        if len(self._rows) > BLOCK_MAX:
            known = np.zeros(len(self._rows), dtype=np.bool_) if before is None else np.isin(self._rows, before.rows)
            busiest = np.argpartition(-self._x * np.where(known, STAY, 1.0), BLOCK_MAX)[:BLOCK_MAX]
            return np.asarray(busiest[np.argsort(self._rows[busiest])])
        return np.argsort(self._rows)

    def _covariance(self, rows: NDArray[np.int64], before: Block | None) -> NDArray[np.float64]:
        """Return (B, B), aged: of who was in the block before, and the variance alone of who was not."""
        spread = spread_of(self._cost[rows], self._group[rows])
        if before is not None and np.array_equal(before.rows, rows):
            covariance = self._fade**2 * before.covariance
            covariance.flat[:: len(rows) + 1] += (1 - self._fade**2) * spread
            return covariance
        covariance = np.diag(self._variance[rows])
        if before is not None:
            stayed, now, then = np.intersect1d(rows, before.rows, assume_unique=True, return_indices=True)
            if stayed.size:
                kept = self._fade**2 * before.covariance[np.ix_(then, then)]
                kept.flat[:: len(stayed) + 1] += (1 - self._fade**2) * spread[now]
                covariance[np.ix_(now, now)] = kept
        return covariance
