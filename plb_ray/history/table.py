"""The Delta table of steps: the one door to deltalake. Knows nothing of what is hot, late or pending.

One row per step, so that a step is stored whole or not at all, and readers see whole commits only:

    start_s         int64           start of the step
    order_params    list<string>    those with arrivals in the step, and those that are new in it
    messages_per_s  list<float>     their rates

Rates of 0 are left out: most order params are idle most of the time. Other programs read it with any Delta reader
(`unnest(order_params), unnest(messages_per_s)` in DuckDB), also while it is being written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from plb_ray.domain.rates import RateHistory

SCHEMA = pa.schema(
    [
        pa.field("start_s", pa.int64(), nullable=False),
        pa.field("order_params", pa.list_(pa.string()), nullable=False),
        pa.field("messages_per_s", pa.list_(pa.float32()), nullable=False),
    ]
)
READERS_HAVE_HOURS = 1  # how long a reader may hold on to files that compaction has replaced


@dataclass(frozen=True)
class Step:
    """One closed step: rates by order param; those that are not named had no arrivals."""

    start_s: int
    messages_per_s: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class StoredSteps:
    """What a table holds, ready for a window: (T,) ascending starts, K names, (T, K) rates."""

    starts_s: NDArray[np.int64]
    names: tuple[str, ...]
    rates: NDArray[np.float32]


class StepTable:
    """Append-only table in a folder; made by the first append. One writer at a time."""

    def __init__(self, folder: Path) -> None:
        self._uri = str(folder)

    def append(self, steps: Sequence[Step]) -> None:
        """Commit steps in one transaction."""
        names = [list(step.messages_per_s) for step in steps]
        rates = [list(step.messages_per_s.values()) for step in steps]
        self._write([pa.array([step.start_s for step in steps], pa.int64()), names, rates])

    def append_history(self, history: RateHistory, chosen: NDArray[np.bool_]) -> None:
        """Commit those steps of a history that are `chosen` (T,), in one transaction; all its names go with the first."""
        starts_s = (history.start_s + history.step_s * np.arange(chosen.size, dtype=np.int64))[chosen]
        rates = np.ascontiguousarray(history.messages_per_s.T[chosen], dtype=np.float32)  # (T', K)
        named = rates > 0
        named[0] = True
        columns = np.nonzero(named)[1].astype(np.int32)
        offsets = pa.array(np.concatenate([[0], np.cumsum(named.sum(axis=1))]), pa.int32())
        order_params = pa.DictionaryArray.from_arrays(columns, pa.array(history.order_params, pa.string()))
        self._write(
            [
                pa.array(starts_s),
                pa.ListArray.from_arrays(offsets, order_params.cast(pa.string())),
                pa.ListArray.from_arrays(offsets, pa.array(rates[named])),
            ]
        )

    def read(self) -> StoredSteps:
        """Return all that is stored, names in the order of their first step; of a step stored twice only one."""
        if not DeltaTable.is_deltatable(self._uri):
            return StoredSteps(np.zeros(0, np.int64), (), np.zeros((0, 0), np.float32))
        stored = DeltaTable(self._uri).to_pyarrow_table().sort_by("start_s").combine_chunks()
        every = np.asarray(stored["start_s"].to_numpy(), dtype=np.int64)
        starts_s, row_of = np.unique(every, return_inverse=True)
        return _dense(stored, starts_s, row_of)

    def maintain(self, keep_from_s: int) -> None:
        """Drop steps that start before `keep_from_s`, merge small files, and delete replaced ones after a grace time."""
        table = DeltaTable(self._uri)
        table.delete(f"start_s < {keep_from_s}")
        table.optimize.compact()
        table.vacuum(retention_hours=READERS_HAVE_HOURS, dry_run=False, enforce_retention_duration=False)
        table.create_checkpoint()
        table.cleanup_metadata()

    def _write(self, columns: list[object]) -> None:
        write_deltalake(self._uri, pa.table(columns, schema=SCHEMA), mode="append")


def _dense(stored: pa.Table, starts_s: NDArray[np.int64], row_of: NDArray[np.int64]) -> StoredSteps:
    lists = stored["order_params"].combine_chunks()
    coded = lists.flatten().dictionary_encode()
    counts = lists.value_lengths().to_numpy(zero_copy_only=False)
    rates = np.zeros((starts_s.size, len(coded.dictionary)), dtype=np.float32)
    flat = stored["messages_per_s"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    rows = np.repeat(row_of, counts)
    columns = coded.indices.to_numpy(zero_copy_only=False)
    first = np.zeros(row_of.size, dtype=np.bool_)
    first[np.unique(row_of, return_index=True)[1]] = True
    taken = np.repeat(first, counts)
    rates[rows[taken], columns[taken]] = flat[taken]
    return StoredSteps(starts_s, tuple(coded.dictionary.to_pylist()), rates)
