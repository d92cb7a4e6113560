"""A scenario as arrays: messages per bin, the calendar, and which shards there are and answer at each bin. Pure.

Axes: K order params, T bins of history and replay, N replayed bins, S shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.events import Event, EventCalendar
from plb_ray.simulation.scenarios.scenario import DAY_S
from plb_ray.simulation.stage import hashed
from plb_ray.simulation.trace import Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.simulation.scenarios.scenario import Group, Scenario, Times

BEGIN_S = 1_700_006_400
"""Beginning of the replay: midnight UTC, a Wednesday."""

SWING = 4.0
GOLDEN = 0.6180339887498949
"""Multiples of it, without their whole part, lie evenly over [0, 1) however many there are."""


@dataclass(frozen=True, eq=False)
class Built:
    """See the module.

    Attributes:
        scenario: what it is built from.
        trace: (K, T) messages.
        calendar: what was announced.
        owner: (K,) shard of each order param at the beginning, an index of `shard_ids`.
        shard_ids: S names.
        rates: (S,) messages each serves per second.
        present, answers: (N, S) whether a shard is there at a bin, and answers.
    """

    scenario: Scenario
    trace: Trace
    calendar: EventCalendar
    owner: NDArray[np.int64]
    shard_ids: tuple[str, ...]
    rates: NDArray[np.float64]
    present: NDArray[np.bool_]
    answers: NDArray[np.bool_]


def build(scenario: Scenario) -> Built:
    """Return the arrays of a scenario; the same each time."""
    rng = np.random.default_rng(scenario.seed)
    names = tuple(name for group in scenario.groups for name in group.order_params)
    starts_s = (np.arange(scenario.first_bin + scenario.bins) - scenario.first_bin) * scenario.step_s  # (T,)
    per_s = np.concatenate([_rates(group, starts_s, scenario.step_s, rng) for group in scenario.groups])
    for each in scenario.times:
        rows = np.array([each.concerns(name) for name in names])
        per_s[rows] *= 1 + (each.factor - 1) * _covered(each, starts_s, scenario.step_s)
    start_s = BEGIN_S - scenario.first_bin * scenario.step_s
    counts = (per_s * scenario.step_s).astype(np.float32)
    trace = Trace(scenario.title, names, start_s, scenario.step_s, counts)
    present, answers = _shards(scenario)
    return Built(
        scenario=scenario,
        trace=trace,
        calendar=_calendar(scenario),
        owner=_owner(scenario, names),
        shard_ids=tuple(shard.shard_id for shard in scenario.shards),
        rates=np.array([shard.per_s for shard in scenario.shards]),
        present=present,
        answers=answers,
    )


def _rates(group: Group, starts_s: NDArray[np.int64], step_s: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (count, T) messages per second of a group."""
    numbers = np.arange(group.count)
    share = 1.0 / (numbers + 1.0) ** group.zipf
    size = group.per_s * share * group.count / share.sum()
    middle_s = starts_s + step_s / 2
    phase_s = numbers * GOLDEN % 1.0 * DAY_S if group.peak_s is None else np.full(group.count, group.peak_s)
    angle = (middle_s - phase_s[:, None]) * 2 * np.pi / DAY_S  # (count, T)
    rates = size[:, None] * (1 + group.daily * np.cos(angle))
    rates *= 1 + group.drift_per_day * np.maximum(0.0, middle_s) / DAY_S
    if group.swing_s:
        turn = (middle_s // group.swing_s + numbers[:, None]) % 2
        rates *= np.where(turn == 0, SWING, 1.0) * 2 / (SWING + 1)
    return np.asarray(rates * rng.lognormal(-(group.noise**2) / 2, group.noise, rates.shape))


def _covered(each: Times, starts_s: NDArray[np.int64], step_s: int) -> NDArray[np.float64]:
    """Return (T,) the share of each bin within [start_s, end_s)."""
    within = np.minimum(starts_s + step_s, each.end_s) - np.maximum(starts_s, each.start_s)
    return np.clip(within / step_s, 0.0, 1.0)


def _calendar(scenario: Scenario) -> EventCalendar:
    last_s = float(scenario.length_s)
    events = [
        Event(f"event-{number}", each.kind, "", BEGIN_S + each.start_s, BEGIN_S + min(each.end_s, last_s), (each.pattern,))
        for number, each in enumerate(scenario.times)
        if each.kind
    ]
    return EventCalendar(tuple(events))


def _owner(scenario: Scenario, names: tuple[str, ...]) -> NDArray[np.int64]:
    ids = tuple(shard.shard_id for shard in scenario.shards)
    there = tuple(shard.shard_id for shard in scenario.shards if shard.start_s <= 0)
    position = {shard_id: index for index, shard_id in enumerate(ids)}
    placed = np.array([position[there[index]] for index in hashed(names, there)], dtype=np.int64)
    stated = [group.on for group in scenario.groups for _ in group.order_params]
    return np.array([position[on] if on else at for on, at in zip(stated, placed, strict=True)], dtype=np.int64)


def _shards(scenario: Scenario) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    starts_s = np.arange(scenario.bins) * scenario.step_s
    present = starts_s[:, None] >= np.array([shard.start_s for shard in scenario.shards])  # (N, S)
    answers = present.copy()
    for each in scenario.lost:
        column = next(at for at, shard in enumerate(scenario.shards) if shard.shard_id == each.shard_id)
        answers[(starts_s >= each.start_s) & (starts_s < each.end_s), column] = False
    return present, answers
