"""What a message costs, learned online from what shards report: per order param and resource, with error bars.

Between two looks, over the shards that answered both times (`plb_ray.estimate.looks`):

    CPU     core-seconds used, over messages delivered.
    I/O     bytes of I/O, over messages appended; their payload's size is the covariate.
    memory  does not follow the rate: each order param has its waiting payload bytes, and an equal share of what the shards
            use beyond payloads.

In three layers, each refining the one before:

    group      one cost per message and one per payload byte for everybody   `plb_ray.estimate.group`
    size       an order param's own payload per message, a young one's shrunk to everybody's; the group's cost for that size
               is where its own cost begins, and what it goes back to when nothing is seen of it
    apart      its own cost, from how the shards' sums follow everybody's traffic   `plb_ray.estimate.apart`

Pooled evidence halves in `half_life_s`, so a busy hour outweighs an idle one and an old cost is forgotten; what tells order
params apart halves in APART_HALF_LIVES of it, since it takes longer to come by.

Times: a cost per second is in the seconds of `LoadSnapshot.at_s`. A replay in compressed time must report all of it in trace
seconds, as `plb_ray.simulation.scaled_queue` does. What a shard uses when idle counts as cost of its messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.estimate.alarms import alarms_of, believable, times_others
from plb_ray.estimate.apart import SPREAD, Apart, Look, learned
from plb_ray.estimate.group import APART, GroupSums, Ratio
from plb_ray.estimate.looks import CPU_ROW, IO_ROW, Interval, compared, per_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from plb_ray.domain.load import LoadSnapshot

HALF_LIFE_S = 6 * 3600.0  # long enough to hold a day's quiet hours, short enough to follow a release
APART_HALF_LIVES = 56.0  # of six hours are two weeks: sums tell little at a time; a change is found by its drift
SHRINK_MESSAGES = 20.0  # a young order param's payload counts as much as the pooled one after so many messages
BAND = 0.9  # how often a cost should lie between lower and upper
BAND_Z = 1.6449


@dataclass(frozen=True, eq=False)
class Table:
    """Payload per message of the K order params seen so far, and their backlog at the last look; rows only come.

    Attributes:
        index: row of each.
        size_bytes, size_messages: (K,) decayed payload bytes and messages appended.
        served: (K,) decayed messages delivered: the evidence.
        backlog_bytes: (K,).
    """

    index: Mapping[str, int] = field(default_factory=dict)
    size_bytes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    size_messages: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    served: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    backlog_bytes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def rows(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return (N,) rows, -1 for unknown names."""
        return np.array([self.index.get(name, -1) for name in names], dtype=np.int64)

    def plus(self, interval: Interval, decay: float) -> tuple[Table, NDArray[np.int64]]:
        """Return the table after an interval, and the row (N,) of each of its order params."""
        new = [name for name in interval.names if name not in self.index]
        index = {**self.index, **{name: len(self.index) + at for at, name in enumerate(new)}} if new else self.index
        rows = np.array([index[name] for name in interval.names], dtype=np.int64)
        grown = (
            np.concatenate([decay * old, np.zeros(len(new))]) for old in (self.size_bytes, self.size_messages, self.served)
        )
        size_bytes, size_messages, served = grown
        size_bytes[rows] += interval.appended_bytes
        size_messages[rows] += interval.appended
        served[rows] += interval.served
        backlog = np.concatenate([self.backlog_bytes, np.zeros(len(new))])
        backlog[rows] = interval.backlog_bytes
        return Table(index, size_bytes, size_messages, served, backlog), rows


@dataclass(frozen=True, eq=False)
class Bands:
    """Cost of a message of N order params.

    Attributes:
        cost, lower, upper: (N, R) in the order of `RESOURCES`: core-seconds, bytes held while it waits, bytes of I/O.
            The cost should lie between lower and upper BAND of the time.
        messages: (N,) decayed messages delivered that this stands on.
    """

    cost: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    messages: NDArray[np.float64]


_NOTHING = Apart(np.zeros(0), np.zeros(0))


@dataclass(frozen=True, eq=False)
class CostModel:
    """Cost per message as known so far; immutable. Without evidence every cost is 0, so nothing is planned on a guess.

    Attributes:
        cpu: core-seconds per delivered message. Give it a start as `Ratio(cost x messages, messages)`.
        amplification: bytes of I/O per payload byte appended.
        payload: payload bytes per message, all order params together.
        memory_base_bytes: memory beyond payloads, per order param.
        half_life_s: time after which pooled evidence counts half, > 0.
        table: what is known by order param.
        groups: the group's sums: CPU, I/O.
        apart: what each order param costs: CPU, I/O.
        notes: what is odd in the last interval, in sentences for the operator: units, drift.
    """

    cpu: Ratio = field(default_factory=Ratio)
    amplification: Ratio = field(default_factory=Ratio)
    payload: Ratio = field(default_factory=Ratio)
    memory_base_bytes: float = 0.0
    half_life_s: float = HALF_LIFE_S
    table: Table = field(default_factory=Table)
    groups: tuple[GroupSums, GroupSums] = (GroupSums(), GroupSums())
    apart: tuple[Apart, Apart] = (_NOTHING, _NOTHING)
    notes: tuple[str, ...] = ()

    def updated(self, previous: LoadSnapshot, snapshot: LoadSnapshot, cores: Mapping[str, float] | None = None) -> CostModel:
        """Return the model with what happened between two looks added; the same model if no time passed between them.

        Args:
            previous: the earlier look.
            snapshot: the later one.
            cores: CPU capacity by shard, to notice use that cannot be; 0 or missing: not known.
        """
        elapsed_s = snapshot.at_s - previous.at_s
        if elapsed_s <= 0:
            return self
        decay = 0.5 ** (elapsed_s / self.half_life_s)
        interval = compared(previous, snapshot)
        table, rows = self.table.plus(interval, decay)
        off = times_others(interval)  # (2, S)
        believed = believable(interval, off, cores or {})
        pooled = self._pooled(interval, believed & (off < APART) & (off > 1 / APART), decay, table)
        fade = 0.5 ** (elapsed_s / (self.half_life_s * APART_HALF_LIVES))
        apart = pooled.told_apart(interval, rows, believed, fade)
        return replace(pooled, apart=apart, notes=alarms_of(interval, off, apart, cores or {}))

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
        rows = self.table.rows(order_params)
        cpu, io = (self._costs(rows, resource).reshape(shape) for resource in (CPU_ROW, IO_ROW))
        waiting = _at(self.table.backlog_bytes, rows, np.zeros(len(rows))).reshape(shape)
        memory = np.broadcast_to(waiting + self.memory_base_bytes, rates.shape)
        return np.stack([rates * cpu, memory, rates * io], axis=-1)

    def payload_bytes(self, order_params: tuple[str, ...]) -> NDArray[np.float64]:
        """Return (K,) payload bytes per message."""
        return _at(self._sizes, self.table.rows(order_params), np.full(len(order_params), self.payload.value))

    def bands(self, order_params: tuple[str, ...]) -> Bands:
        """Return what a message of each costs, and between what that should lie; a new one's band is wide."""
        rows = self.table.rows(order_params)
        nothing = np.zeros(len(rows))
        size = self.payload_bytes(order_params)
        messages = _at(self.table.size_messages, rows, nothing)
        spread = size * np.sqrt(SHRINK_MESSAGES / (SHRINK_MESSAGES + messages))  # the prior's is the size itself
        cpu, io = (self._costs(rows, resource) for resource in (CPU_ROW, IO_ROW))
        cost = np.column_stack([cpu, size, io])
        deviation = np.column_stack([self._deviations(rows, CPU_ROW), spread, self._deviations(rows, IO_ROW)])
        lower, upper = np.maximum(0.0, cost - BAND_Z * deviation), cost + BAND_Z * deviation
        return Bands(cost, lower, upper, _at(self.table.served, rows, nothing))

    # ---- learning

    def _pooled(self, interval: Interval, near: NDArray[np.bool_], decay: float, table: Table) -> CostModel:
        """Add what the shards that are `near` (2, S) each other did to what is known of everybody together."""
        counts, sizes = interval.shard_of, interval.appended_bytes
        appended = per_place(interval.appended, counts, len(interval.shard_ids))
        own = _at(self._sizes, self.table.rows(interval.names), np.full(len(sizes), self.payload.value))
        delivered_bytes = per_place(interval.served * own, counts, len(interval.shard_ids))
        bases = ((interval.delivered, delivered_bytes), (appended, interval.payload_bytes))
        sums = []
        for resource, (n, b) in enumerate(bases):
            sound = near[resource] & (n > 0)
            sums.append(self.groups[resource].plus(interval.spent[resource][sound], n[sound], b[sound], decay))
        cpu, io = near
        return replace(
            self,
            cpu=self.cpu.plus(float(interval.spent[CPU_ROW][cpu].sum()), float(interval.delivered[cpu].sum()), decay),
            amplification=self.amplification.plus(
                float(interval.spent[IO_ROW][io].sum()), float(interval.payload_bytes[io].sum()), decay
            ),
            payload=self.payload.plus(float(sizes.sum()), float(interval.appended.sum()), decay),
            memory_base_bytes=_memory_base(interval, self.memory_base_bytes),
            table=table,
            groups=(sums[0], sums[1]),
        )

    def told_apart(
        self, interval: Interval, rows: NDArray[np.int64], believed: NDArray[np.bool_], fade: float
    ) -> tuple[Apart, Apart]:
        """Return what each settled shard's sum says of what its order params cost; a part of `updated`."""
        order = np.argsort(interval.shard_of, kind="stable")
        begins = np.searchsorted(interval.shard_of[order], np.arange(len(interval.shard_ids) + 1))
        members = [order[begin:end] for begin, end in pairwise(begins.tolist())]
        found = []
        for resource, counts in enumerate((interval.served, interval.appended)):
            used = np.flatnonzero(interval.settled & believed[resource] & (interval.spent[resource] > 0))
            look = Look(
                [interval.shard_ids[at] for at in used],
                [rows[members[at]] for at in used],
                [counts[members[at]] for at in used],
                interval.spent[resource][used],
            )
            group = self._group_costs(resource)
            found.append(learned(self.apart[resource].aged(group, fade), look, group, fade))
        return found[0], found[1]

    # ---- costs by row

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        """(K,) payload bytes per message."""
        table = self.table
        pooled = self.payload.value * SHRINK_MESSAGES
        return np.asarray((table.size_bytes + pooled) / (table.size_messages + SHRINK_MESSAGES))

    def _per_message_and_byte(self, resource: int) -> tuple[float, float]:
        starts = ((self.cpu.value, 0.0), (0.0, self.amplification.value))
        return self.groups[resource].solve(starts[resource])

    def _group_costs(self, resource: int) -> NDArray[np.float64]:
        per_message, per_byte = self._per_message_and_byte(resource)
        return np.asarray(per_message + per_byte * self._sizes)

    def _costs(self, rows: NDArray[np.int64], resource: int) -> NDArray[np.float64]:
        per_message, per_byte = self._per_message_and_byte(resource)
        otherwise = np.full(len(rows), per_message + per_byte * self.payload.value)
        return _at(self.apart[resource].cost, rows, otherwise)

    def _deviations(self, rows: NDArray[np.int64], resource: int) -> NDArray[np.float64]:
        return np.sqrt(_at(self.apart[resource].variance, rows, (SPREAD * self._costs(rows, resource)) ** 2))


def _at(values: NDArray[np.float64], rows: NDArray[np.int64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) the values of the rows, and `otherwise` (N,) for those at -1."""
    if not len(values):
        return otherwise
    return np.where(rows >= 0, values[np.maximum(rows, 0)], otherwise)


def _memory_base(interval: Interval, otherwise: float) -> float:
    """Return the memory beyond payloads per order param, over all shards that answered."""
    beyond = interval.memory_beyond_bytes
    return max(0.0, beyond) / len(interval.names) if interval.names and np.isfinite(beyond) else otherwise
