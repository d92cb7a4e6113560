"""How many shards there should be, now and at each coming step, and when to change that. Plain values in and out, no IO.

Need
    n(t), the shards that the load at step t needs: large order params first, each whole, to the first shard with room for
    all resources (first fit decreasing, at most 11/9 OPT + 1 for one resource: Johnson 1974); the many small ones fill what
    is left like sand, of which every shard may waste one grain. An order param larger than a shard fills one by itself: more
    would not help it. This is an estimate from above; bounds that are proven are in `optimizer.fleet`.

Out, ahead of need
    A shard takes `lead_s` to be of use: to start, and to be given order params. So the target is at least the highest need
    from now until the end of the step that holds now + lead_s. What is measured counts as well: no forecast argues it away.

In, damped
    One shard at a time, and only if fewer suffice by `inner_margin` less than the usual headroom
        in every step that is foreseen within the dwell time, and
        at every look of the past `dwell_s`.
    The dwell time is the longer of `dwell_s` and the payback. To empty a shard and to fill another one later costs two
    drains; while it drains it is paid for and does no good. So it pays once the shard stays away for two drains' time.
    After any change the counting starts anew.

Axes: K order params, T coming steps, R resources, S shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.words import in_words
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.load import LoadEstimate
    from plb_ray.settings import ElasticSettings

LARGE = 0.02  # of a shard: smaller order params are sand
LARGE_MOST = 400  # order params placed one by one per step; with more the larger grains make up for it
TOLERANCE = 1e-9
DRAINS_TO_PAY = 2.0  # one to empty the shard, one to fill its successor


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the policy looks at.

    Attributes:
        at_s: now.
        measured: (K, R) load of the last closed step.
        estimate: (K, T, R) load to come; None while nothing is foreseen. Its order params need not be those of `measured`.
        drain_s: how long emptying one shard is expected to take.
    """

    at_s: float
    measured: NDArray[np.float64]
    estimate: LoadEstimate | None = None
    drain_s: float = 0.0


@dataclass(frozen=True)
class ElasticMemory:
    """What is remembered from look to look; the empty one begins.

    Attributes:
        fewer_since_s: since when fewer shards would do, at every look; None: they would not at the last one.
        shards: how many there were at the last look; 0 before the first.
    """

    fewer_since_s: float | None = None
    shards: int = 0


@dataclass(frozen=True, eq=False)
class ElasticAdvice:
    """How many shards there should be.

    Attributes:
        target: shards that should take load; below the present number by one at most.
        reason: why, in words.
        needed: (T + 1,) shards that the load needs now and at each coming step, within [min_shards, max_shards].
        starts_s: (T + 1,) when these steps begin.
        short: how many shards above `max_shards` the highest need would be; 0 if there is room.
    """

    target: int
    reason: str
    needed: NDArray[np.int64]
    starts_s: NDArray[np.float64]
    short: int = 0


class ElasticPolicy:
    """See the module.

    Args:
        settings: limits and times.
        headroom: usable share of a shard's capacity, in (0, 1].

    Raises:
        BadInputError: `min_shards` is above `max_shards`.
    """

    def __init__(self, settings: ElasticSettings, headroom: float) -> None:
        if settings.min_shards > settings.max_shards:
            raise BadInputError(
                f"elastic.min_shards: {settings.min_shards} is above elastic.max_shards, {settings.max_shards}"
            )
        self._settings = settings
        self._headroom = headroom

    def advise(
        self, outlook: Outlook, capacity: NDArray[np.float64], shards_now: int, memory: ElasticMemory
    ) -> tuple[ElasticAdvice, ElasticMemory]:
        """Return how many shards there should be, and what to remember.

        Args:
            outlook: what is and what is foreseen.
            capacity: (R,) of one shard of the type that is added and removed; infinite or 0 where there is no limit.
            shards_now: shards that take load.
            memory: of the look before.
        """
        usable = np.where(capacity > 0, capacity, np.inf) * self._headroom
        starts_s, load = _all_steps(outlook)
        wanted = shards_needed(load, usable)
        needed = self._within(wanted)
        advice = self._out(outlook, starts_s, needed, shards_now)
        short = max(0, int(wanted.max(initial=0)) - self._settings.max_shards)
        if advice is not None:
            return ElasticAdvice(*advice, needed, starts_s, short), ElasticMemory(None, shards_now)
        fewer = self._within(shards_needed(load, usable * (1 - self._settings.inner_margin)))
        target, reason, since_s = self._in(outlook, starts_s, fewer, shards_now, memory)
        return ElasticAdvice(target, reason, needed, starts_s, short), ElasticMemory(since_s, shards_now)

    def _within(self, needed: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.clip(needed, self._settings.min_shards, self._settings.max_shards)

    def _out(
        self, outlook: Outlook, starts_s: NDArray[np.float64], needed: NDArray[np.int64], shards_now: int
    ) -> tuple[int, str] | None:
        """Return target and reason if more are needed within the lead time."""
        soon = starts_s <= outlook.at_s + self._settings.lead_s
        most = int(needed[soon].max())
        if most <= shards_now:
            return None
        after_s = max(0.0, float(starts_s[soon][int(needed[soon].argmax())]) - outlook.at_s)
        when = "now" if after_s == 0 else f"in {in_words(after_s)}"
        return (
            most,
            f"{most} shards are needed {when}; there are {shards_now}, and one more takes {in_words(self._settings.lead_s)}",
        )

    def _in(
        self,
        outlook: Outlook,
        starts_s: NDArray[np.float64],
        fewer: NDArray[np.int64],
        shards_now: int,
        memory: ElasticMemory,
    ) -> tuple[int, str, float | None]:
        """Return target, reason, and since when fewer would do."""
        dwell_s = max(self._settings.dwell_s, DRAINS_TO_PAY * outlook.drain_s)
        near = starts_s < outlook.at_s + dwell_s
        most = int(fewer[near].max())
        if most >= shards_now:
            return shards_now, f"{shards_now} shards are needed within {in_words(dwell_s)}", None
        changed = memory.shards != shards_now or memory.fewer_since_s is None
        since_s = outlook.at_s if changed or memory.fewer_since_s is None else memory.fewer_since_s
        waited_s = outlook.at_s - since_s
        if waited_s < dwell_s:
            return shards_now, f"{most} shards would do; waiting {in_words(dwell_s - waited_s)} more to be sure", since_s
        return shards_now - 1, f"{most} shards have sufficed for {in_words(waited_s)} and will for {in_words(dwell_s)}", None


def shards_needed(load: NDArray[np.float64], usable: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (T,) how many shards the load needs at each step, each step by itself; see the module.

    Args:
        load: (K, T, R) >= 0.
        usable: (R,) what one shard may carry; infinite where there is no limit.
    """
    share = load / usable  # (K, T, R) of a shard
    size = share.max(axis=2, initial=0.0)  # (K, T)
    order = np.argsort(-size, axis=0, kind="stable")[: LARGE_MOST + 1]
    large = np.minimum((size > LARGE).sum(axis=0), LARGE_MOST)  # (T,)
    placed = np.arange(len(order))[:, None] < large
    first = np.where(placed[..., None], np.take_along_axis(share, order[..., None], axis=0), 0.0)  # (L, T, R)
    room, opened = _first_fit(np.minimum(first, 1.0), large)
    sand = share.sum(axis=0) - first.sum(axis=0)  # (T, R)
    largest = np.take_along_axis(size, order, axis=0)
    grain = np.where(placed, 0.0, largest).max(axis=0, initial=0.0)  # (T,)
    in_gaps = np.maximum(0.0, room - grain[:, None, None]).sum(axis=1)  # (T, R)
    left = (sand - in_gaps).max(axis=1, initial=0.0)
    more = np.maximum(0.0, np.ceil(left / np.maximum(1.0 - grain, LARGE) - TOLERANCE))
    return (opened + np.where(sand.max(axis=1, initial=0.0) > TOLERANCE, more, 0.0)).astype(np.int64)


def least_loaded(load: NDArray[np.float64], capacity: NDArray[np.float64], may_go: NDArray[np.bool_]) -> int | None:
    """Return the index of the shard to empty first: with the least load in its scarcest resource; None if none may go.

    Args:
        load: (S, R) what each carries.
        capacity: (S, R), infinite or 0 where there is no limit.
        may_go: (S,) which may be chosen.
    """
    if not may_go.any():
        return None
    share = np.divide(load, capacity, out=np.zeros_like(load), where=capacity > 0).max(axis=1, initial=0.0)
    return int(np.where(may_go, share, np.inf).argmin())


def _all_steps(outlook: Outlook) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (T + 1,) starts and (K', T + 1, R) loads: what is measured, then what is foreseen.

    Rows are padded with zeros, since only sums over them count.
    """
    now = np.maximum(0.0, np.nan_to_num(outlook.measured))[:, None]
    estimate = outlook.estimate
    if estimate is None or not np.isfinite(estimate.target).all():
        return np.array([outlook.at_s]), now
    rows = max(now.shape[0], estimate.target.shape[0])
    padded = [np.pad(each, ((0, rows - each.shape[0]), (0, 0), (0, 0))) for each in (now, np.maximum(0.0, estimate.target))]
    return np.concatenate([[outlook.at_s], estimate.starts_s.astype(np.float64)]), np.concatenate(padded, axis=1)


def _first_fit(share: NDArray[np.float64], large: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Put the first `large` (T,) of (L, T, R) loads into the first shard with room, each step by itself.

    Returns:
        (T, S, R) the room that is left, 0 on shards that were not opened, and (T,) how many were.
    """
    most, steps, resources = share.shape
    room, opened, every = np.ones((steps, most, resources)), np.zeros(steps, dtype=np.int64), np.arange(steps)
    for rank in range(int(large.max(initial=0))):
        used = int(opened.max()) + 1  # the shard after the last one opened has room for anything
        shard = (room[:, :used] >= share[rank][:, None] - TOLERANCE).all(axis=2).argmax(axis=1)
        there = rank < large
        room[every[there], shard[there]] -= share[rank, there]
        opened = np.where(there, np.maximum(opened, shard + 1), opened)
    room[np.arange(most) >= opened[:, None]] = 0.0
    return room, opened
