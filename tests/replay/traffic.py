"""Synthetic traffic for replays, and foresights of it with a known fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.deciding import Decider
from plb_ray.control.past_loads import PastLoads, with_surges
from plb_ray.domain.load import RESOURCES, LoadEstimate
from plb_ray.settings import BalancerSettings
from plb_ray.simulation.replay.arm import Field
from plb_ray.simulation.replay.physics import PhysicsParams
from plb_ray.simulation.stage import hashed
from plb_ray.simulation.trace import Trace

STEP_S = 600
DAY = 144
START_S = 1_700_006_400
SETTINGS = BalancerSettings(step_s=STEP_S, solver_budget_s=0.05)


def trace_of(counts) -> Trace:
    """Wrap (K, T) messages per bin."""
    counts = np.asarray(counts, dtype=np.float32)
    return Trace("synthetic", tuple(f"op-{row}" for row in range(len(counts))), START_S, STEP_S, counts)


def shifted_days(order_params=40, days=3, seed=0, noise=0.05):
    """(K, T) messages: sizes by Zipf, each with a rush at its own time of day: shards are full at different times."""
    rng = np.random.default_rng(seed)
    size = 6e4 / np.arange(1, order_params + 1) ** 0.6
    phase, time = rng.uniform(0, DAY, order_params), np.arange(days * DAY)
    curve = 0.35 + 0.65 * np.exp(3 * (np.cos((time[None] - phase[:, None]) * 2 * np.pi / DAY) - 1))
    return size[:, None] * curve * rng.lognormal(0, noise, curve.shape)


def field(counts, shards=4, utilisation=0.85, first_bin=1, physics=None) -> Field:
    """A field on which the fleet has room for everything at all times."""
    trace, ids = trace_of(counts), tuple(f"shard-{number}" for number in range(shards))
    rate = float(trace.counts.sum(axis=0).max()) / STEP_S / shards / utilisation
    owner, rates = hashed(trace.order_params, ids), np.full(shards, rate)
    return Field(trace, first_bin, trace.bins - first_bin, ids, rates, owner, physics or PhysicsParams())


class Steady:
    """The planner, ended by its work and not by the clock, so that a busy machine plans the same."""

    def __init__(self) -> None:
        self._planner = CompositePlanner()

    def plan(self, problem):
        return self._planner.plan(replace(problem, budget=replace(problem.budget, work=20, wall_s=2.0)))

    def restated(self, problem, moves):
        return self._planner.restated(problem, moves)


def decider(settings=SETTINGS, planner=None, **changed) -> Decider:
    return Decider(planner or CompositePlanner(), PlanVerifier(), replace(settings, **changed))


class Told:
    """The true rates of the next steps, after `spoil`(rates (K, H), bin) has had its way with them."""

    def __init__(self, on: Field, spoil=lambda rates, _: rates, steps=2, stale_bins=0) -> None:
        self._trace, self._spoil, self._steps, self._stale = on.trace, spoil, steps, stale_bins

    def estimate(self, at_bin, _owner) -> LoadEstimate:
        ahead = np.arange(at_bin, at_bin + self._steps)
        rates = self._trace.counts[:, np.minimum(ahead, self._trace.bins - 1)].astype(float) / STEP_S
        load = np.zeros((*rates.shape, len(RESOURCES)))
        load[..., 0] = self._spoil(rates, at_bin)
        starts_s = START_S + STEP_S * (ahead - self._stale)
        return LoadEstimate(self._trace.order_params, starts_s, load, load, 0.9)


class Recalled:
    """The bins of the last two days."""

    def __init__(self, on: Field) -> None:
        self._rates = (on.trace.counts / STEP_S).astype(np.float32)[:, :, None]

    def past(self, at_bin) -> PastLoads:
        return with_surges(self._rates[:, max(0, at_bin - 2 * DAY) : at_bin], (0,), float(STEP_S))
