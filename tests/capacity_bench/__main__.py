"""Measure it: `python -m tests.capacity_bench [--order-params N] [--shards N] [--days N]`.

A queue of Zipf order params with days in their own phase, on shards that are each two thirds full, is asked at each horizon,
with a growth and a campaign. State cores and load beside the figures (the output does).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace

import numpy as np

from plb_ray.clock import monotonic_s
from plb_ray.control.capacity_basis import basis_of_rates
from plb_ray.domain.rates import RateHistory
from service.capacity import capacity
from service.capacity_ask import Campaign, CapacityAsk, Growth, HorizonName

SEED, STEP_S, DAY_S = 1, 600, 86_400


def basis_of(order_params, shards, days):
    rng = np.random.default_rng(SEED)
    size = rng.permutation(np.arange(1, order_params + 1) ** -0.7)
    hour = np.arange(days * DAY_S // STEP_S) * STEP_S / 3600
    wave = 1 + 0.6 * np.sin((hour - rng.uniform(0, 24, (order_params, 1))) / 24 * 2 * np.pi)
    rates = (size[:, None] * wave * rng.gamma(20, 1 / 20, wave.shape)).astype(np.float32)
    basis = basis_of_rates(RateHistory(tuple(f"op-{row}" for row in range(order_params)), 345_600, STEP_S, rates))
    full = float(rates.sum(axis=0).max()) / shards / 0.66
    owner = rng.integers(0, shards, order_params)
    names = tuple(f"shard-{each}" for each in range(shards))
    return replace(basis, shards=names, capacity=np.full((shards, 1), full), owner=owner)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order-params", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--days", type=int, default=28)
    options = parser.parse_args()
    basis = basis_of(options.order_params, options.shards, options.days)
    capacity(basis, CapacityAsk(horizon=HorizonName.HOUR), monotonic_s)  # loads the solvers
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed {SEED}"
    sys.stdout.write(f"{machine}; {options.order_params} order params\n")
    for horizon in HorizonName:
        ask = CapacityAsk(horizon=horizon, growths=(Growth(("op-1*",), 40.0),), campaigns=(Campaign(1.0),))
        began_s = time.process_time()
        found = capacity(basis, ask, monotonic_s)
        cpu_s = time.process_time() - began_s
        way = found.realisation
        sys.stdout.write(
            f"{horizon.value:5} {found.took_s:6.2f} s, {cpu_s:.2f} s of CPU  "
            f"{found.shards} shards, at least {found.shards_bound}; "
            f"{len(way.moves) if way else 0} moves ({way.words if way else 'no way'})\n"
        )


if __name__ == "__main__":
    main()
