"""The part of the fake balancer that answers for many order params at once; see `fake_balancer`."""

from __future__ import annotations

import numpy as np

from plb_ray.control.looks_port import Look
from plb_ray.domain.rates import Forecast, Horizon, RateHistory


class FakeLooks:
    """A base of `FakeBalancer`: each answer is made of the single ones, whatever a test has put in their place."""

    ticks: int = 85

    async def look(self):
        self._maybe_fail("look")
        return Look(0, self.ticks, self.status_now.at_s)

    async def histories(self, order_params, steps):
        self._maybe_fail("histories")
        known = self._placed(order_params)
        rows = [await type(self).history(self, name, steps) for name in known]
        starts_s = [at_s for at_s, _ in rows[0]] if rows else [0.0, 1.0]
        rates = np.array([[rate for _, rate in row] for row in rows]).reshape(len(known), -1)  # (K, T)
        return RateHistory(known, int(starts_s[0]), int(starts_s[1] - starts_s[0]), rates)

    async def forecasts(self, order_params, horizon):
        self._maybe_fail("forecasts")
        known = self._placed(order_params)
        found = [await type(self).forecast(self, name, horizon) for name in known]
        series = found[0].forecast
        values = np.array([each.forecast.values for each in found])  # (K, H, Q)
        ahead = Horizon(horizon, series.step_s, values.shape[1])
        return Forecast(known, ahead, series.start_s, series.levels, values, tuple(each.source for each in found))

    async def costs_of(self, order_params):
        self._maybe_fail("costs_of")
        return tuple([await type(self).cost(self, name) for name in self._placed(order_params)])

    def _placed(self, order_params):
        return tuple(name for name in order_params if name in self.placements.placements)
