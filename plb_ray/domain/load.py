"""Load as a vector over resources: what shards have, what they use, and what order params are expected to need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESOURCES = ("cpu_cores", "memory_bytes", "io_bytes_per_s")
RESOURCE_WORDS = {"cpu_cores": "CPU", "memory_bytes": "memory", "io_bytes_per_s": "I/O"}


@dataclass(frozen=True)
class ResourceVector:
    """An amount of each resource: of use, of capacity, or of cost per message."""

    cpu_cores: float = 0.0
    memory_bytes: float = 0.0
    io_bytes_per_s: float = 0.0

    def array(self) -> NDArray[np.float64]:
        """Return (R,) in the order of `RESOURCES`."""
        return np.array([self.cpu_cores, self.memory_bytes, self.io_bytes_per_s])


@dataclass(frozen=True)
class Shard:
    """A queue server. `capacity` is what it can give, 0 where it states no limit; `draining` shards take no order params."""

    shard_id: str
    endpoint: str
    capacity: ResourceVector
    draining: bool = False


@dataclass(frozen=True)
class OrderParamLoad:
    """Counters of one order param on its owning shard. The totals never fall, and move with the order param.

    Attributes:
        messages_total: messages appended since the order param exists (= its last sequence number).
        bytes_total: payload bytes appended.
        consumed_total: messages acknowledged.
        backlog: messages waiting or in flight.
        backlog_bytes: payload bytes of the backlog.
        oldest_age_s: age of the oldest message not yet acknowledged; 0 with no backlog.
    """

    order_param: str
    epoch: int
    messages_total: int
    bytes_total: int
    consumed_total: int
    backlog: int
    backlog_bytes: int
    oldest_age_s: float


@dataclass(frozen=True)
class ShardLoad:
    """What one shard reports. `use` is over the time since the previous report to the same reader.

    Attributes:
        use: resources in use; CPU is the share of the shard's service capacity (see `plb_ray.queues.embedded`).
        process_cpu_cores: CPU of the shard's process as the operating system counts it.
        served_total: messages delivered since the process started.
        cpu_core_s_total, io_bytes_total: the work behind `use.cpu_cores` and `use.io_bytes_per_s` since the process started;
            0 = not told, then `use` stands for the time since the look before.
        order_params: only those that the shard owns.
        segments: trailing segments: backlog that is consumed here, though its order param's appends go elsewhere.
    """

    shard_id: str
    at_s: float
    use: ResourceVector
    process_cpu_cores: float
    served_total: int
    latency_p99_ms: float
    order_params: tuple[OrderParamLoad, ...] = ()
    cpu_core_s_total: float = 0.0
    io_bytes_total: float = 0.0
    segments: tuple[OrderParamLoad, ...] = ()


@dataclass(frozen=True)
class LoadSnapshot:
    """One look at all shards. A shard that does not answer is in `missing` with the reason, not in `shards`."""

    at_s: float
    shards: tuple[ShardLoad, ...]
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LoadEstimate:
    """The load expected of each order param at each coming step.

    Attributes:
        order_params: (K,) names.
        starts_s: (T,) start of each step; the steps may differ in length (short horizon first, then medium).
        target: (K, T, R) load to plan with; sums over order params are the shard's quantile `level`.
        expected: (K, T, R) mean load, so that it adds up over order params.
        level: the quantile level that `target` stands for; the highest, if resources differ.
        lower, upper: (K, T, R) between which each order param's own load should lie; they do not add up over a shard.
            None where nobody has said.
    """

    order_params: tuple[str, ...]
    starts_s: NDArray[np.int64]
    target: NDArray[np.float64]
    expected: NDArray[np.float64]
    level: float
    lower: NDArray[np.floating] | None = None
    upper: NDArray[np.floating] | None = None
