"""What every `Balancer` must hold that is asked for many order params at once; a part of `balancer_contract`."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

UNKNOWN = "no such order param"


class LooksContract:
    async def test_the_look_stays_until_the_next_one(self, balancer):
        """Asking changes nothing about which look the pictures come from, and the table is of it."""
        look = await balancer.look()
        assert look.at_s == (await balancer.order_params()).at_s
        assert await balancer.look() == look
        assert pickle.loads(pickle.dumps(look)) == look

    async def test_histories_are_those_of_each(self, balancer):
        """A row of many is what is answered for one alone; unknown names are left out."""
        names = (*sorted((await balancer.mapping()).placements)[:3], UNKNOWN)
        found = await balancer.histories(names, 5)
        assert UNKNOWN not in found.index
        assert found.order_params
        for name, row in found.index.items():
            times_s = range(found.start_s, found.end_s, found.step_s)
            assert tuple(zip(times_s, found.messages_per_s[row].tolist(), strict=True)) == await balancer.history(name, 5)

    @pytest.mark.parametrize("horizon", ["short", "medium"])
    async def test_forecasts_are_those_of_each(self, balancer, horizon):
        """A row of many is what is answered for one alone; unknown names are left out."""
        names = (UNKNOWN, *sorted((await balancer.mapping()).placements)[:3])
        found = await balancer.forecasts(names, horizon)
        assert UNKNOWN not in found.index
        assert found.order_params
        for name in found.order_params:
            one, alone = found.of(name), await balancer.forecast(name, horizon)
            assert (one.source, one.forecast.start_s, one.forecast.step_s) == (
                alone.source,
                alone.forecast.start_s,
                alone.forecast.step_s,
            )
            assert np.array_equal(one.forecast.values, alone.forecast.values)

    async def test_costs_are_those_of_each(self, balancer):
        """Many are what is answered for each alone, in their order; unknown names are left out."""
        names = sorted((await balancer.mapping()).placements)[:3]
        found = await balancer.costs_of((names[2], UNKNOWN, names[0]))
        assert found == (await balancer.cost(names[2]), await balancer.cost(names[0]))
