"""What a message costs, learned online from what shards report: one ratio per resource, exponentially forgetting.

Between two looks, over the shards that answered both times:

    CPU     core-seconds used / messages delivered, pooled over the shards. A shard has one CPU meter for all its order
            params, so the ratio is the same for each of them until somebody tells them apart by regression.
    I/O     payload bytes per message of the order param (its own counters) x write amplification, which is bytes of I/O /
            payload bytes appended, pooled. Size is what makes order params differ in I/O.
    memory  does not follow the rate: each order param has its waiting payload bytes, and an equal share of what the
            shards use beyond payloads.

Both sides of each ratio are decayed sums with one half-life, so a busy hour outweighs an idle one and an old cost is
forgotten. A ratio estimator of two totals is consistent whatever the traffic does and needs no regularisation: Cochran,
"Sampling Techniques", 3rd ed., ch. 6. A young order param's payload per message is shrunk towards the pooled one.

Times: a cost per second is in the seconds of `LoadSnapshot.at_s`. A replay in compressed time must report all of it in trace
seconds, as `plb_ray.simulation.scaled_queue` does.

What lives here is arithmetic on counters. Error bars, residual alarms and per order param regression do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ShardLoad

HALF_LIFE_S = 6 * 3600.0  # long enough to hold a day's quiet hours, short enough to follow a release
SHRINK_MESSAGES = 20.0  # a young order param's payload counts as much as the pooled one after so many messages


@dataclass(frozen=True)
class Ratio:
    """A quotient of two decayed sums; `weight` is the denominator."""

    amount: float = 0.0
    weight: float = 0.0

    @property
    def value(self) -> float:
        """The ratio; 0 without evidence."""
        return self.amount / self.weight if self.weight > 0 else 0.0

    def plus(self, amount: float, weight: float, decay: float = 1.0) -> Ratio:
        """Return the ratio with the old evidence decayed and the new added."""
        return Ratio(self.amount * decay + amount, self.weight * decay + weight)


@dataclass(frozen=True)
class Between:
    """What one shard did between two looks, if both are known and comparable."""

    cpu_core_s: float
    served: int
    io_bytes: float
    payload_bytes: int


@dataclass(frozen=True)
class CostModel:
    """Cost per message as known so far; immutable. Without evidence every cost is 0, so nothing is planned on a guess.

    Attributes:
        cpu: core-seconds per delivered message. Give it a start as `Ratio(cost x messages, messages)`.
        amplification: bytes of I/O per payload byte appended.
        payload: payload bytes per message, all order params together.
        payloads: the same by order param.
        memory_base_bytes: memory beyond payloads, per order param.
        backlog_bytes: waiting payload at the last look, by order param.
        half_life_s: time after which evidence counts half, > 0.
    """

    cpu: Ratio = Ratio()
    amplification: Ratio = Ratio()
    payload: Ratio = Ratio()
    payloads: Mapping[str, Ratio] = field(default_factory=dict)
    memory_base_bytes: float = 0.0
    backlog_bytes: Mapping[str, float] = field(default_factory=dict)
    half_life_s: float = HALF_LIFE_S

    def updated(self, previous: LoadSnapshot, snapshot: LoadSnapshot) -> CostModel:
        """Return the model with what happened between two looks added; the same model if no time passed between them."""
        elapsed_s = snapshot.at_s - previous.at_s
        if elapsed_s <= 0:
            return self
        decay = 0.5 ** (elapsed_s / self.half_life_s)
        known = {load.order_param: load for shard in previous.shards for load in shard.order_params}
        shards = tuple(_between(previous, snapshot, known, elapsed_s))
        appended = dict(_appended(snapshot, known))
        return replace(
            self,
            cpu=self.cpu.plus(sum(s.cpu_core_s for s in shards), sum(s.served for s in shards), decay),
            amplification=self.amplification.plus(
                sum(s.io_bytes for s in shards), sum(s.payload_bytes for s in shards), decay
            ),
            payload=self.payload.plus(*_sums(appended), decay),
            payloads=self._payloads(appended, decay),
            memory_base_bytes=_memory_base(snapshot, self.memory_base_bytes),
            backlog_bytes={**self.backlog_bytes, **{load.order_param: load.backlog_bytes for load in _loads(snapshot)}},
        )

    def load(self, order_params: tuple[str, ...], messages_per_s: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the load that these arrival rates are.

        Args:
            order_params: (K,) names; unknown ones cost what the others do on average.
            messages_per_s: (K, ...) rates.

        Returns:
            (K, ..., R) in the order of `RESOURCES`.
        """
        rates = np.asarray(messages_per_s, dtype=np.float64)
        shape = (len(order_params), *[1] * (rates.ndim - 1))
        io = self.payload_bytes(order_params).reshape(shape) * self.amplification.value
        waiting = np.array([self.backlog_bytes.get(name, 0.0) for name in order_params]).reshape(shape)
        memory = np.broadcast_to(waiting + self.memory_base_bytes, rates.shape)
        return np.stack([rates * self.cpu.value, memory, rates * io], axis=-1)

    def payload_bytes(self, order_params: tuple[str, ...]) -> NDArray[np.float64]:
        """Return (K,) payload bytes per message."""
        pooled = self.payload.value
        own = (self.payloads.get(name, Ratio()) for name in order_params)
        return np.array([ratio.plus(pooled * SHRINK_MESSAGES, SHRINK_MESSAGES).value for ratio in own], dtype=np.float64)

    def _payloads(self, appended: dict[str, tuple[int, int]], decay: float) -> dict[str, Ratio]:
        names = {*self.payloads, *appended}
        return {name: self.payloads.get(name, Ratio()).plus(*appended.get(name, (0, 0)), decay) for name in names}


def _loads(snapshot: LoadSnapshot) -> Iterator[OrderParamLoad]:
    return (load for shard in snapshot.shards for load in shard.order_params)


def _appended(snapshot: LoadSnapshot, known: dict[str, OrderParamLoad]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield (order param, (bytes, messages)) appended since the look before, wherever it lived then."""
    for load in _loads(snapshot):
        before = known.get(load.order_param)
        if before is not None and load.messages_total > before.messages_total and load.bytes_total >= before.bytes_total:
            yield load.order_param, (load.bytes_total - before.bytes_total, load.messages_total - before.messages_total)


def _sums(appended: dict[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(size for size, _ in appended.values()), sum(count for _, count in appended.values())


def _between(
    previous: LoadSnapshot, snapshot: LoadSnapshot, known: dict[str, OrderParamLoad], elapsed_s: float
) -> Iterator[Between]:
    """Yield what each shard did; a shard that is new, restarted or reports nonsense is left out."""
    before = {shard.shard_id: shard for shard in previous.shards}
    for shard in snapshot.shards:
        earlier = before.get(shard.shard_id)
        sound = isfinite(shard.use.cpu_cores) and isfinite(shard.use.io_bytes_per_s)
        if earlier is None or shard.served_total < earlier.served_total or not sound:
            continue
        yield Between(
            cpu_core_s=_spent(earlier.cpu_core_s_total, shard.cpu_core_s_total, shard.use.cpu_cores * elapsed_s),
            served=shard.served_total - earlier.served_total,
            io_bytes=_spent(earlier.io_bytes_total, shard.io_bytes_total, shard.use.io_bytes_per_s * elapsed_s),
            payload_bytes=_payload_appended(shard, known),
        )


def _spent(before: float, now: float, sampled: float) -> float:
    """Return what a counter says was spent; a shard that keeps none is believed its sample for the whole time."""
    return max(0.0, now - before if now > 0 else sampled)


def _payload_appended(shard: ShardLoad, known: dict[str, OrderParamLoad]) -> int:
    pairs = ((load, known.get(load.order_param)) for load in shard.order_params)
    return sum(max(0, load.bytes_total - before.bytes_total) for load, before in pairs if before is not None)


def _memory_base(snapshot: LoadSnapshot, otherwise: float) -> float:
    """Return the memory beyond payloads per order param, over all shards that answered."""
    count = sum(len(shard.order_params) for shard in snapshot.shards)
    use = sum(shard.use.memory_bytes for shard in snapshot.shards)
    waiting = sum(load.backlog_bytes for load in _loads(snapshot))
    return max(0.0, use - waiting) / count if count and isfinite(use) else otherwise
