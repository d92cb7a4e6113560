"""Fleets of a size where only the bound can judge: closeness, prices, determinism, and what knowing the hours saves."""

import numpy as np
import pytest
from fleet_builders import fleet_problem, plan, three_zones, zipf_fleet
from ortools.sat.python import cp_model

from optimizer.fleet import FleetStatus


@pytest.mark.parametrize(("skew", "split"), [(0.4, 0.5), (1.0, 0.25)])
def test_a_mid_size_fleet_is_one_shard_from_its_bound(skew, split):
    """5,000 Zipf order params of 150 shards' load, giants split: at most one shard above the proven least number."""
    found = plan(zipf_fleet(5000, 150, skew=skew, split=split), wall_s=10.0, gap=0.0067)
    assert found.status in (FleetStatus.OPTIMAL, FleetStatus.FEASIBLE)
    assert found.shards_lower_bound <= found.shards <= found.shards_lower_bound + 1


def exact_price(problem):
    """Return the least price by a plain model of its own: a boolean per order param and shard, in ten-thousandths."""
    model, most = cp_model.CpModel(), len(problem.order_params)
    load = np.rint(problem.load[:, 0] * 10_000).astype(int)
    used = [[model.new_bool_var("") for _ in range(most)] for _ in problem.types]
    put = [[[model.new_bool_var("") for _ in range(most)] for _ in problem.types] for _ in problem.order_params]
    for row in put:
        model.add_exactly_one(here for kind in row for here in kind)
    for y, kind in enumerate(problem.types):
        for s in range(most):
            for r, capacity in enumerate(kind.capacity):
                total = sum(int(load[k, r]) * put[k][y][s] for k in range(most))
                model.add(total <= round(capacity * 10_000) * used[y][s])
            if s:
                model.add_implication(used[y][s], used[y][s - 1])
    model.minimize(sum(round(kind.price * 100) * sum(row) for kind, row in zip(problem.types, used, strict=True)))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL
    return solver.objective_value / 100


@pytest.mark.parametrize("seed", range(6))
def test_prices_are_the_least_for_different_types(seed):
    """Nine order params, three types with prices: the price of an exact model, proven."""
    rng = np.random.default_rng(seed)
    load = np.rint(rng.uniform(0.05, 0.9, (9, 2)) * 1000) / 1000
    problem = fleet_problem(load, (((1.0, 1.0), 1.0), ((2.0, 1.5), 1.7), ((1.0, 3.0), 1.9)))
    found = plan(problem, wall_s=20.0)
    assert found.status == FleetStatus.OPTIMAL
    assert found.price == pytest.approx(exact_price(problem))


def test_many_order_params_of_different_types_are_near_their_bound():
    """400 order params, three types of which the best may be had five times only: within 2 % of the proven price."""
    load = np.random.default_rng(1).uniform(0.05, 0.6, (400, 3))
    kinds = (((1.0, 1.0, 1.0), 1.0), ((2.0, 2.0, 2.0), 1.9), ((4.0, 4.0, 4.0), 3.1, 5))
    found = plan(fleet_problem(load, kinds), wall_s=5.0, gap=0.005)
    assert found.status in (FleetStatus.OPTIMAL, FleetStatus.FEASIBLE)
    assert found.counts[2] == 5
    assert found.gap <= 0.02


def test_the_same_seed_and_work_give_the_same_fleet():
    """With a work budget, problem and seed decide alone, and the budget is kept."""
    problem = zipf_fleet(2000, 80)
    one, two = (plan(problem, work=400_000, seed=3, wall_s=60.0) for _ in range(2))
    assert one.work <= 400_000
    assert one.counts == two.counts
    assert (one.shard_of == two.shard_of).all()
    assert (plan(problem, work=400_000, seed=4, wall_s=60.0).shard_of != one.shard_of).any()


def test_without_time_there_is_still_a_fleet():
    """A budget that is over at once gives the first fit, verified."""
    found = plan(zipf_fleet(2000, 80), wall_s=0.0)
    assert (found.status, found.termination) == (FleetStatus.FEASIBLE, "deadline")


def test_order_params_that_peak_at_different_hours_share_shards():
    """On days in three time zones, sums per step need at least 30 % fewer shards than the sum of peaks is proven to need."""
    problem = three_zones(1500, 24, steps=12, exponent=0.8)
    aware = plan(problem, wall_s=6.0, gap=0.05)
    peaks = plan(problem.peaks_only(), wall_s=3.0, gap=0.05)
    assert aware.shards <= 0.7 * peaks.shards_lower_bound
