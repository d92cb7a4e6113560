"""The covering knapsack against enumeration of every subset."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.cover import cover, cover_split

NODES = 100_000


def least(cost, load, excess):
    """Return the cost of the cheapest subset that covers; inf if none does."""
    chosen = ((np.arange(2 ** len(cost))[:, None] >> np.arange(len(cost))) & 1).astype(bool)
    covers = (chosen @ load >= excess).all(axis=1)
    return float((chosen @ cost)[covers].min(initial=np.inf))


@st.composite
def knapsacks(draw):
    count, rows = draw(st.integers(1, 9)), draw(st.integers(1, 3))
    whole = st.lists(st.integers(0, 30).map(float), min_size=count * rows, max_size=count * rows)
    costs = draw(st.sampled_from([st.integers(0, 20).map(float), st.floats(0.0, 5.0)]))
    cost = np.array(draw(st.lists(costs, min_size=count, max_size=count)))
    excess = np.array(draw(st.lists(st.integers(-5, 60).map(float), min_size=rows, max_size=rows)))
    return cost, np.array(draw(whole)).reshape(count, rows), excess


def grain_of(cost):
    return 1.0 if (cost == np.rint(cost)).all() else 0.0


@settings(max_examples=400, deadline=None, derandomize=True)
@given(knapsacks())
def test_the_cover_is_the_cheapest_and_proven(knapsack):
    """Cost and bound are the least over all subsets, the chosen items cover, and no cover is said to be none."""
    cost, load, excess = knapsack
    chosen = np.zeros(cost.size, dtype=np.bool_)
    value, bound = cover(cost, load, excess, NODES, grain_of(cost), chosen)
    truth = least(cost, load, excess)
    if np.isinf(truth):
        assert value < 0
    else:
        assert value == pytest.approx(truth, abs=1e-6)
        assert truth - 1e-6 <= bound <= truth + 1e-9
        assert (load[chosen].sum(axis=0) >= excess).all()
        assert cost[chosen].sum() == pytest.approx(value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(knapsacks(), st.integers(1, 12))
def test_a_search_cut_short_never_claims_too_much(knapsack, nodes):
    """With almost no nodes the bound stays below the optimum and the cover covers; splitting closes what is open."""
    cost, load, excess = knapsack
    chosen = np.zeros(cost.size, dtype=np.bool_)
    value, bound = cover(cost, load, excess, nodes, grain_of(cost), chosen)
    truth = least(cost, load, excess)
    if np.isfinite(truth):
        assert bound <= truth + 1e-9 <= value + 2e-9
        assert (load[chosen].sum(axis=0) >= excess).all()
        split, split_bound, split_chosen = cover_split(cost, load, excess, nodes, grain_of(cost))
        assert bound - 1e-9 <= split_bound <= truth + 1e-9 <= split + 2e-9
        assert (load[split_chosen].sum(axis=0) >= excess).all()
