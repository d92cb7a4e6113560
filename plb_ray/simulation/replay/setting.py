"""The field of a replay: which bins, on how many shards of which rate. Looks at nothing that a balancer will do.

Capacity, unless it is given: the same rate for every shard, the larger of

    (peak of the total rate) / (shards x utilisation)              the fleet has room for the peak, however spread
    (peak of the largest rate of one order param) / LARGEST_SHARE  every order param fits one shard

so what congests is the mapping. A peak is what PEAK of the replayed bins do not exceed: one bin of one order param would
else make the shards of a fortnight so large that nothing ever happens on them. What one order param alone brings beyond its
shard's rate no mapping takes away; it is the same in all arms, and told apart (`unavoidable`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError
from plb_ray.simulation.replay.arm import Field
from plb_ray.simulation.stage import LARGEST_SHARE, hashed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.simulation.replay.physics import PhysicsParams
    from plb_ray.simulation.trace import Trace

PEAK = 0.99
WARM_UP = 0.25
"""Share of a trace that is history from the start, unless it is said otherwise."""

BINS_MIN = 8
PEAK_SHARDS_MAX = 64
"""Times as many shards as asked for are tried at most to find those that hashing never congests."""


def field_of(
    trace: Trace,
    shards: int,
    utilisation: float,
    physics: PhysicsParams,
    rates: NDArray[np.float64] | None = None,
    first_bin: int | None = None,
) -> Field:
    """Return the field.

    Args:
        trace: what is replayed.
        shards: >= 2.
        utilisation: (0, 1), share of the fleet that the peak needs, where no rates are given.
        physics: of the shards.
        rates: (S,) messages each shard serves per second; None: by the rule of this module.
        first_bin: where the replay begins; None: after WARM_UP of the trace.

    Raises:
        BadInputError: the trace is too short or silent, or an option is out of its range.
    """
    if shards < 2:
        raise BadInputError("option shards: must be at least 2; with one there is nothing to balance")
    if not 0 < utilisation < 1:
        raise BadInputError("option utilisation: must be between 0 and 1")
    first = int(trace.bins * WARM_UP) if first_bin is None else first_bin
    if trace.bins - first < BINS_MIN:
        raise BadInputError(f"trace {trace.name}: {trace.bins} bins, of which {first} are history, leave too few to replay")
    given = rates if rates is not None else np.full(shards, capacity_per_s(trace, first, shards, utilisation))
    if not given.any():
        raise BadInputError(f"trace {trace.name}: hardly a bin to replay has messages; nothing can be learnt from it")
    ids = tuple(f"shard-{number}" for number in range(len(given)))
    return Field(trace, first, trace.bins - first, ids, given, hashed(trace.order_params, ids), physics)


def capacity_per_s(trace: Trace, first_bin: int, shards: int, utilisation: float) -> float:
    """Return messages per second of one shard by the rule of this module."""
    replayed = trace.counts[:, first_bin:]
    total = float(np.quantile(replayed.sum(axis=0, dtype=np.float64), PEAK))
    largest = float(np.quantile(replayed.max(axis=0), PEAK))
    return max(total / (shards * utilisation), largest / LARGEST_SHARE) / trace.step_s


def unavoidable(field: Field) -> float:
    """Return the messages that order params bring beyond the rate of the largest shard, each by itself."""
    most = float(field.rates.max()) * field.trace.step_s
    return float(np.maximum(0.0, field.trace.counts[:, field.first_bin :].astype(np.float64) - most).sum())


def static_peak(field: Field) -> Field | None:
    """Return the field with the fewest shards of the same rate of which hashing congests none; None if there is none.

    What an order param brings in bins in which it is larger than a shard by itself is left out: no number of shards helps.
    """
    rate = float(field.rates.max())
    replayed = field.trace.counts[:, field.first_bin :] / field.trace.step_s
    replayed = np.where(replayed > rate, 0.0, replayed)
    if not replayed.any():
        return None
    for count in range(2, len(field.rates) * PEAK_SHARDS_MAX + 1):
        ids = tuple(f"shard-{number}" for number in range(count))
        owner = hashed(field.trace.order_params, ids)
        peak = max(float(replayed[owner == shard].sum(axis=0).max(initial=0.0)) for shard in range(count))
        if peak <= rate:
            return Field(field.trace, field.first_bin, field.bins, ids, np.full(count, rate), owner, field.physics)
    return None


def elastic_field(field: Field, most: int) -> Field:
    """Return the field with places for so many shards; in the beginning everything is where it is in the given one."""
    ids = tuple(f"shard-{number}" for number in range(max(most, len(field.rates))))
    rates = np.full(len(ids), float(field.rates.max()))
    return Field(field.trace, field.first_bin, field.bins, ids, rates, field.owner, field.physics)
