"""What the arms of a replay are told of the future: forecasts by the real forecasters, or the future itself.

    |<- history ->|<----------------------- replayed ----------------------->|
    0         first_bin           1/3                 2/3                     T
                  train               train               train
                  o o o o o o o o o o o o o o o o o o o o o o o o o o o        a forecast at every bin

At each point of training an ensemble learns what lies before it, and then forecasts at every bin of its segment at once, its
calibration following bin by bin (`models.calibration`); no forecast knows a bin that has not passed. The forecasts are the
same for every setting of the decider, so they are made once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from models.base import LEVELS, on_grid, truncated
from models.factory import calibrated_ensemble, candidates_for
from plb_ray.control.common_errors import CommonErrors
from plb_ray.control.joint_errors import JointErrors
from plb_ray.control.pairing import kept_steps, outcomes_of
from plb_ray.control.past_loads import MOMENTS_MAX, with_surges
from plb_ray.domain.load import LoadEstimate
from plb_ray.domain.rates import Forecast, short_horizon
from plb_ray.domain.words import DAY_S
from plb_ray.errors import NoForecastError
from plb_ray.estimate.cost import CostModel, Ratio
from plb_ray.estimate.load import estimate_load
from plb_ray.simulation.replay.arm import CPU

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.candidate import Candidate
    from plb_ray.control.past_loads import PastLoads
    from plb_ray.domain.events import EventCalendar
    from plb_ray.domain.rates import Horizon, RateHistory
    from plb_ray.simulation.replay.arm import Field

SEGMENTS = 3
DRAWS_SEED = 1
NO_GAPS = np.zeros(0, dtype=np.int64)
CHUNK = 48
"""Origins that are forecast in one go, for the progress."""

COST = CostModel(cpu=Ratio(1.0, 1.0))
"""CPU in messages per second: what a message costs is the unit."""


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Quantiles at every replayed bin.

    Attributes:
        order_params: (K,) names.
        horizon: H steps of a bin.
        start_s: end of the bin before the first, the cutoff of the first forecast.
        quantiles: (bins, K, H, Q) messages per second.
        source: who made them in the last segment.
    """

    order_params: tuple[str, ...]
    horizon: Horizon
    start_s: int
    quantiles: NDArray[np.float32]
    source: str

    def at(self, number: int) -> Forecast:
        """Return the forecast made when so many replayed bins have passed."""
        cutoff_s = self.start_s + number * self.horizon.step_s
        sources = (self.source,) * len(self.order_params)
        return Forecast(self.order_params, self.horizon, cutoff_s, LEVELS, self.quantiles[number], sources)


class Foretold:
    """Implements `plb_ray.simulation.replay.arm.Foresight` with forecasts, learning how their errors come together.

    As the control loop does: each step that has passed is held against what was foreseen of it, and tells of the correlation
    of errors and of joint scenarios. Asked bin by bin, in order.

    Args:
        forecasts: at every replayed bin.
        field: what is replayed.
        levels: (R,) quantile level of each resource.
    """

    def __init__(self, forecasts: Forecasts, field: Field, levels: tuple[float, ...]) -> None:
        self._forecasts, self._field, self._levels = forecasts, field, levels
        self._common, self._joint = CommonErrors(), JointErrors(np.random.default_rng(DRAWS_SEED))

    def estimate(self, at_bin: int, owner: NDArray[np.int64]) -> LoadEstimate:
        """See `Foresight`."""
        number = at_bin - self._field.first_bin
        self._learn(number, at_bin)
        return estimate_load(
            self._forecasts.at(number),
            COST,
            self._levels,
            owner,
            correlation=self._common.correlation,
            scenarios=self._joint.scenarios(),
        )

    def _learn(self, number: int, at_bin: int) -> None:
        """Hold what the last bin brought against what was foreseen of it."""
        step_s = self._forecasts.horizon.step_s
        history = self._field.trace.history(max(0, at_bin - int(DAY_S) // step_s - 1), at_bin)
        for column in kept_steps(self._forecasts.horizon):
            if number <= column:
                continue
            made = self._forecasts.at(number - 1 - column)
            outcomes = outcomes_of(made, column, (column + 1) * step_s, history, NO_GAPS)
            if outcomes is not None:
                self._joint.add(outcomes)
                if column == 0:
                    self._common.add(outcomes)


@dataclass(frozen=True, eq=False)
class Oracle:
    """Implements `Foresight` with what will come."""

    field: Field

    def estimate(self, at_bin: int, _owner: NDArray[np.int64]) -> LoadEstimate:
        """See `Foresight`; past the end of the trace the last bin goes on."""
        trace, horizon = self.field.trace, short_horizon(self.field.trace.step_s)
        ahead = np.minimum(at_bin + np.arange(horizon.steps), trace.bins - 1)
        rates = trace.counts[:, ahead].astype(np.float64) / trace.step_s  # (K, H)
        load = COST.load(trace.order_params, rates)
        starts_s = trace.start_s + trace.step_s * (at_bin + np.arange(horizon.steps, dtype=np.int64))
        return LoadEstimate(trace.order_params, starts_s, load, load, 0.5)


class LookBack:
    """Implements `plb_ray.simulation.replay.arm.Hindsight`: the bins of the last days.

    Args:
        field: what is replayed.
        days: how far back.
    """

    def __init__(self, field: Field, days: float) -> None:
        trace = field.trace
        self._bins = min(int(days * DAY_S / trace.step_s), MOMENTS_MAX)
        self._first = max(0, field.first_bin - self._bins)
        self._load = (trace.counts[:, self._first :] / np.float32(trace.step_s))[:, :, None]
        self._step_s = float(trace.step_s)

    def past(self, at_bin: int) -> PastLoads | None:
        """See `Hindsight`."""
        begin = max(self._first, at_bin - self._bins)
        if begin >= at_bin:
            return None
        return with_surges(self._load[:, begin - self._first : at_bin - self._first], (CPU,), self._step_s)


def forecasts_of(field: Field, calendar: EventCalendar, seed: int, on_progress: Callable[[float], None]) -> Forecasts:
    """Train on what lies before each segment, and forecast at each of its bins.

    Args:
        field: what is replayed.
        calendar: events known ahead.
        seed: of all training.
        on_progress: told the fraction done, rising to 1.
    """
    trace, horizon = field.trace, short_horizon(field.trace.step_s)
    grid = replace(on_grid(trace.history(0, trace.bins), horizon), calendar=calendar)
    bounds = np.linspace(field.first_bin, trace.bins, SEGMENTS + 1).astype(int)
    values = np.zeros((field.bins, len(trace.order_params), horizon.steps, len(LEVELS)), dtype=np.float32)
    source = ""
    for number, (first, end) in enumerate(pairwise(bounds.tolist())):
        begin, share = number / SEGMENTS, 1 / SEGMENTS
        model = _trained(grid, horizon, first, seed, lambda done, b=begin, s=share: on_progress(b + s * done / 2))
        source = model.name
        for at in range(first, end, CHUNK):
            origins = np.arange(at, min(at + CHUNK, end))
            values[origins - field.first_bin] = model.quantiles(grid, origins)
            on_progress(begin + share * (0.5 + 0.5 * (origins[-1] + 1 - first) / (end - first)))
    start_s = trace.start_s + field.first_bin * trace.step_s
    return Forecasts(trace.order_params, horizon, start_s, values, source)


def _trained(grid: RateHistory, horizon: Horizon, steps: int, seed: int, on_progress: Callable[[float], None]) -> Candidate:
    """Return what has learnt the first steps of a grid; the baseline if they are too few for anything else."""
    model: Candidate = calibrated_ensemble(seed)
    try:
        model.fit(truncated(grid, max(1, steps)), horizon, on_progress)
    except NoForecastError:
        (model,) = candidates_for(["baseline"], seed)
        model.fit(truncated(grid, max(1, steps)), horizon, on_progress)
    return model
