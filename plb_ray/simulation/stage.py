"""The stage of a replay: which window of a trace, at which scale, on shards of which capacity.

Nothing here looks at what a balancer will do. The rules, the same for every trace:

    scale     messages per event: stated, or such that the window's mean rate is `rate_messages_per_s`
    capacity  per shard, the larger of
                  (peak of the total rate in the window) / (shards x utilisation)
                  (largest rate of one order param in the window) / LARGEST_SHARE
              so the cluster as a whole has room, and every order param fits one shard: what congests is the mapping
    window    in the last quarter of the trace (so that there is history before it), of the windows with at least half the
              quarter's mean traffic the one in which hashing puts shards over capacity for the longest: a window without
              congestion has nothing to foresee, and one without traffic has nothing to show
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plb_ray.domain.mapping import rendezvous_shard
from plb_ray.errors import BadInputError
from plb_ray.simulation.trace import Trace  # noqa: TC001  dataclass field, kept importable for tools

LARGEST_SHARE = 0.87
LAST_PART = 0.75
LEAST_TRAFFIC = 0.5
WINDOW_STEP_BINS = 6


@dataclass(frozen=True)
class StageRules:
    """How to set the stage.

    Attributes:
        shards: number of shards, at least 2.
        bins: length of the window.
        utilisation: share of the cluster's capacity that the window's peak needs, in (0, 1).
        rate_messages_per_s: mean rate of the replay, wall time; not used when `messages_per_event` is given.
        messages_per_event: how many messages one count of the trace stands for; None: what the rate asks for.
        seconds_per_bin: wall time of one bin.
        start_s: start of the window; None lets the rule choose.
    """

    shards: int = 4
    bins: int = 96
    utilisation: float = 0.8
    rate_messages_per_s: float = 250.0
    messages_per_event: float | None = None
    seconds_per_bin: float = 0.8
    start_s: int | None = None

    def __post_init__(self) -> None:
        for name, ok, want in (
            ("shards", self.shards >= 2, "at least 2"),
            ("bins", self.bins >= 4, "at least 4"),
            ("utilisation", 0 < self.utilisation < 1, "between 0 and 1"),
            ("rate", self.rate_messages_per_s > 0, "above 0"),
            ("seconds-per-bin", self.seconds_per_bin > 0, "above 0"),
        ):
            if not ok:
                raise BadInputError(f"option {name}: must be {want}")


@dataclass(frozen=True, eq=False)
class Stage:
    """A replay ready to run.

    Attributes:
        trace: the whole trace, scaled to messages.
        first_bin, bins: the window; everything before it is history.
        messages_per_event: the scale that was applied.
        shard_ids: names of the shards.
        service_rate_per_s: messages each shard delivers per second at most, wall time.
        seconds_per_bin: wall time of one bin.
    """

    trace: Trace
    first_bin: int
    bins: int
    messages_per_event: float
    shard_ids: tuple[str, ...]
    service_rate_per_s: float
    seconds_per_bin: float

    @property
    def window(self) -> np.ndarray:
        """(K, bins) messages per bin."""
        return self.trace.counts[:, self.first_bin : self.first_bin + self.bins]

    @property
    def start_s(self) -> int:
        """Start of the window, trace time."""
        return self.trace.start_s + self.first_bin * self.trace.step_s

    @property
    def speed(self) -> float:
        """Trace seconds per wall second."""
        return self.trace.step_s / self.seconds_per_bin


def hashed(order_params: tuple[str, ...], shard_ids: tuple[str, ...]) -> np.ndarray:
    """Return (K,) the index of the shard that hashing gives each order param."""
    position = {shard_id: index for index, shard_id in enumerate(shard_ids)}
    return np.array([position[rendezvous_shard(name, shard_ids)] for name in order_params])


def set_stage(trace: Trace, rules: StageRules) -> Stage:
    """Choose window, scale and capacity by the rules of this module.

    Raises:
        BadInputError: the trace is too short, or has no traffic where it should be replayed.
    """
    if trace.bins < 2 * rules.bins:
        raise BadInputError(
            f"trace {trace.name}: it has {trace.bins} bins; a replay of {rules.bins} bins needs {2 * rules.bins} "
            "(as much again as history); give fewer --bins"
        )
    shard_ids = tuple(f"shard-{index}" for index in range(rules.shards))
    owner = hashed(trace.order_params, shard_ids)
    first = _chosen_window(trace, rules, owner) if rules.start_s is None else _given_window(trace, rules)
    window = trace.counts[:, first : first + rules.bins]
    events = float(window.sum())
    if events == 0:
        raise BadInputError(f"trace {trace.name}: no messages in the window to replay; choose another --start")
    scale = rules.messages_per_event or rules.rate_messages_per_s * rules.seconds_per_bin * rules.bins / events
    capacity_per_bin = _capacity_per_bin(window, rules) * scale
    return Stage(
        trace=trace.scaled(scale),
        first_bin=first,
        bins=rules.bins,
        messages_per_event=scale,
        shard_ids=shard_ids,
        service_rate_per_s=capacity_per_bin / rules.seconds_per_bin,
        seconds_per_bin=rules.seconds_per_bin,
    )


def _capacity_per_bin(window: np.ndarray, rules: StageRules) -> float:
    """Return one shard's capacity in events per bin."""
    peak_total = float(window.sum(axis=0).max())
    return max(peak_total / (rules.shards * rules.utilisation), float(window.max()) / LARGEST_SHARE)


def _given_window(trace: Trace, rules: StageRules) -> int:
    """Return the first bin of the window the user asked for."""
    first = (int(rules.start_s or 0) - trace.start_s) // trace.step_s
    if not rules.bins <= first <= trace.bins - rules.bins:
        raise BadInputError(
            f"option start: the window must begin after {rules.bins} bins of history and end within trace {trace.name}"
        )
    return first


def _chosen_window(trace: Trace, rules: StageRules, owner: np.ndarray) -> int:
    """Return the first bin of the window in which hashing congests for the longest (the first of equals)."""
    lowest = max(rules.bins, int(trace.bins * LAST_PART))
    per_shard = np.stack([trace.counts[owner == shard].sum(axis=0) for shard in range(rules.shards)])  # (S, T)
    enough = float(trace.counts[:, lowest:].sum(axis=0).mean()) * rules.bins * LEAST_TRAFFIC
    best, best_overload = lowest, -1
    for first in range(lowest, trace.bins - rules.bins + 1, WINDOW_STEP_BINS):
        window = trace.counts[:, first : first + rules.bins]
        if window.sum() < enough:
            continue
        overload = int((per_shard[:, first : first + rules.bins] > _capacity_per_bin(window, rules)).sum())
        if overload > best_overload:
            best, best_overload = first, overload
    return best
