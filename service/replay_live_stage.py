"""Which part of a replay is run on real shard processes, how fast, and how many messages one real one stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError
from plb_ray.simulation.stage import Stage

if TYPE_CHECKING:
    from plb_ray.simulation.replay.arm import Field

LEAST_BINS = 8
LEAST_BIN_S = 0.5
"""In less a decision and its migrations do not come to an end."""

MESSAGES_PER_S = 250.0
"""Mean rate on the real shards: what two cores send, serve, consume and check beside everything else."""

OVERHEAD_S = 8.0
"""Of an arm: to start and stop its shards, and to consume what is left."""


@dataclass(frozen=True, eq=False)
class Staged:
    """A field on real shards: `scale` real messages for one of the trace, `speed` trace seconds in a second."""

    on: Field
    stage: Stage

    @property
    def scale(self) -> float:
        """Real messages for one of the trace."""
        return self.stage.messages_per_event


def staged(on: Field, arms: int, minutes: float) -> Staged:
    """Return the part of a field that fits so many minutes, all arms together.

    Of the parts that long it is the one in which shards are over capacity for the longest if nothing is moved (the first of
    equals), as `plb demo` chooses its window.

    Raises:
        BadInputError: it does not fit, is silent, or its shards differ.
    """
    seconds = minutes * 60 / arms - OVERHEAD_S
    bins = min(on.bins, int(max(0.0, seconds) / LEAST_BIN_S))
    if bins < LEAST_BINS:
        raise BadInputError(f"option minutes: {minutes:g} are too few for {arms} arms; give {arms} or more")
    if len(set(on.rates.tolist())) > 1:
        raise BadInputError("option live: the shards must all have the same rate")
    on = _most_congested(on, bins)
    total = float(on.trace.counts[:, on.first_bin : on.first_bin + bins].sum())
    if total <= 0:
        raise BadInputError(f"trace {on.trace.name}: no messages in the part that is replayed")
    bin_s = seconds / bins
    scale = min(1.0, MESSAGES_PER_S * bin_s * bins / total)
    rate_per_s = float(on.rates[0]) * on.trace.step_s * scale / bin_s
    stage = Stage(on.trace.scaled(scale), on.first_bin, bins, scale, on.shard_ids, rate_per_s, bin_s)
    return Staged(on, stage)


def _most_congested(on: Field, bins: int) -> Field:
    replayed = on.trace.counts[:, on.first_bin : on.first_bin + on.bins]
    arrived = np.stack([replayed[on.owner == shard].sum(axis=0) for shard in range(len(on.rates))])  # (S, bins of all)
    over = (arrived > on.rates[:, None] * on.trace.step_s).sum(axis=0)
    within = np.convolve(over, np.ones(bins), mode="valid")
    first = on.first_bin + int(within.argmax())
    trace = replace(on.trace, counts=on.trace.counts[:, : first + bins])  # a field ends where its trace does
    return replace(on, trace=trace, first_bin=first, bins=bins)
