"""Seeded instances over several steps: loads that follow the time of day, and forecasts that have drifted since the mapping.

Profiles
    uniform   the peak of each order param is at a random time
    3zones    peaks at three times, 8 h apart, of half, three tenths and a fifth of the order params
    1zone     all peak together
Every tenth order param is a batch job instead: four times its mean for a twelfth of the day. The pieces of a giant share a
profile, and giants are no batch jobs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.bench.instances import BASE, WHOLE, Recipe, loads_of, old_mapping, problem_of, shards_of, with_pairs, zone_limits

UNITS = 1e6  # a shard's capacity in each column, for instances whose shards are alike


@dataclass(frozen=True)
class Day:
    """What an instance over several steps is made of.

    Attributes:
        order_params, shards, steps: sizes.
        profile: uniform, 3zones or 1zone.
        swing: mean amplitude of the daily wave, as a share of the mean load.
        fullness: load of the whole fleet at its fullest step, as a share of the limits.
        drift: standard deviation of ln(load now / load when the mapping was made).
        surging: share of the shards of which 30 % of the order params grow by 80 % for an eighth of the day.
    """

    order_params: int
    shards: int
    steps: int = 24
    profile: str = "3zones"
    swing: float = 0.5
    fullness: float = 0.84
    drift: float = 0.22
    surging: float = 0.05


def day(recipe: Day, seed: int, budget=None):
    """Make an instance of `steps` steps on shards that are alike."""
    rng = np.random.default_rng(seed)
    plain = Recipe(recipe.order_params, recipe.shards, utilisation=0.55)
    capacity = np.tile(shards_of(plain, rng)[0].mean(axis=0), (recipe.shards, 1))
    load, group = loads_of(plain, capacity, rng)
    load, group = load / capacity[0], with_pairs(group, plain.pairs, rng)  # load in shards
    wave = profiles(_lead(group), _giants(load), recipe, rng)
    columns = (load[:, None, :] * wave[:, :, None]).reshape(len(load), -1)  # (K, T x R)
    columns *= recipe.shards / columns.sum(axis=0).max()
    limit = np.ones((recipe.shards, columns.shape[1]))
    zone, zone_set = rng.integers(0, 3, recipe.shards), zone_limits(group, plain.zone_limited, rng)
    current = old_mapping(columns, limit, zone, zone_set, group, 8, rng, peak=False)
    pinned = rng.random(len(load)) < plain.pinned
    now = _forecast(columns.reshape(len(load), recipe.steps, -1), current, pinned, recipe, rng)
    now *= recipe.fullness * plain.headroom * recipe.shards / now.sum(axis=0).max()
    now = np.minimum(now, WHOLE * plain.headroom)
    cost = 100 + np.ceil(now[:, :, -1].mean(axis=1) * BASE[-1] * np.exp(rng.normal(0, 0.6, len(now))) * 0.05)
    whole = np.ceil(now * UNITS)
    capacity = np.full((recipe.shards, 3), UNITS)
    return problem_of(whole, capacity, plain.headroom, current, cost, pinned, zone, zone_set, group, seed, budget)


@dataclass(frozen=True)
class Cargo:
    """What order params that are to be packed into shards of capacity 1 are made of.

    Attributes:
        order_params, steps, profile, swing: as of `Day`.
        shards: what the fullest column adds up to.
        piece: giants are cut into pieces whose mean load is at most that.
        skew: standard deviation of ln(need of one resource / need of another).
    """

    order_params: int
    shards: int
    steps: int = 1
    profile: str = "3zones"
    swing: float = 0.0
    piece: float = 0.5
    skew: float = 0.4


def cargo(recipe: Cargo, seed: int):
    """Return load (K, T, R) and group (K,)."""
    rng, count = np.random.default_rng(seed), recipe.order_params
    weight = np.arange(1, count + 1, dtype=np.float64) ** -1.05
    ratio = np.exp(rng.normal(0, recipe.skew, (count, 2)))
    load = np.stack([weight, weight**0.85 * ratio[:, 0], weight * ratio[:, 1]], axis=1)
    load *= recipe.shards * np.array([1.0, 0.95, 0.9]) / load.sum(axis=0)
    pieces = np.maximum(1, np.ceil(load.max(axis=1) / recipe.piece)).astype(np.int64)
    giant = np.where(pieces > 1, np.cumsum(pieces > 1) - 1, -1)
    load, group = np.repeat(load / pieces[:, None], pieces, axis=0), np.repeat(giant, pieces)
    wave = profiles(_lead(group), np.zeros(len(group), dtype=bool), recipe, rng)
    load = load[:, None, :] * wave[:, :, None]
    return load * (recipe.shards / load.sum(axis=0).max()), group


def profiles(lead, giant, recipe: Day | Cargo, rng):
    """Return (K, T), mean 1 per row; row k is that of `lead[k]`, so that pieces of one giant share it."""
    count, times = len(lead), np.arange(recipe.steps) / recipe.steps
    if recipe.steps == 1:
        return np.ones((count, 1))
    swing = np.clip(rng.normal(recipe.swing, 0.1, count), 0, 0.95)
    wave = 1 + swing[:, None] * np.cos(2 * np.pi * (times - _peak_at(recipe.profile, count, rng)[:, None]))
    batch = np.flatnonzero((rng.random(count) < 0.1) & ~giant)
    width = max(1, recipe.steps // 12)
    begin = rng.integers(0, recipe.steps, count)
    wave[batch] = 0.7
    for step in range(width):
        wave[batch, (begin[batch] + step) % recipe.steps] = 4.0
    wave *= np.exp(rng.normal(0, 0.05, wave.shape))
    return (wave / wave.mean(axis=1, keepdims=True))[lead]


def _peak_at(profile, count, rng):
    """Return (K,): the time of each peak, as a share of the day."""
    if profile == "uniform":
        return rng.random(count)
    if profile == "1zone":
        return rng.normal(0, 0.06, count)
    return rng.choice([0.0, 1 / 3, 2 / 3], count, p=[0.5, 0.3, 0.2]) + rng.normal(0, 0.04, count)


def _lead(group):
    """Return (K,): the first member of each order param's group, itself if it is in none."""
    key = np.where(group >= 0, group, -1 - np.arange(len(group)))
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    return first[place]


def _giants(load):
    """Return (K,): above 4 % of a shard."""
    return (load > 0.04).any(axis=1)


def _forecast(load, current, pinned, recipe: Day, rng):
    """Return loads (K, T, R) drifted, with surges on some shards, of what is not pinned."""
    now = load * np.exp(rng.normal(0, recipe.drift, len(load)))[:, None, None]
    shards = rng.choice(recipe.shards, max(1, round(recipe.surging * recipe.shards)), replace=False)
    grown = np.flatnonzero(~pinned & np.isin(current, shards) & (rng.random(len(load)) < 0.3))
    begin = rng.integers(0, recipe.steps, grown.size)
    for step in range(max(1, recipe.steps // 8)):
        now[grown, (begin + step) % recipe.steps] *= 1.8
    return now
