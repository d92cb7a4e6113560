"""The Delta table of steps: the one door to deltalake. Knows nothing of what is hot, late or pending.

One row per step, so that a step is stored whole or not at all, and readers see whole commits only:

    start_s         int64           start of the step
    order_params    list<string>    those with arrivals in the step, and those that are new in it
    messages_per_s  list<float>     their rates
    revision        int64           0 or null: the step as it was observed, whole. Higher: cells that were pushed, by the
                                    order in which they came; zeros are named, and what is not named is not known

Nothing is ever changed in place: of one order param in one step the row with the highest revision counts. In rows of
revision 0 rates of 0 are left out, since most order params are idle most of the time. Other programs read it with any Delta
reader, also while it is being written (in DuckDB `unnest(order_params), unnest(messages_per_s)`, then of each order param
and step `arg_max(rate, revision)`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
        pa.field("revision", pa.int64(), nullable=True),  # tables of version 0.1.0 do not have it
    ]
)
READERS_HAVE_HOURS = 1  # how long a reader may hold on to files that compaction has replaced


@dataclass(frozen=True)
class Step:
    """One closed step, or cells of it that were pushed.

    Attributes:
        start_s: start of the step.
        messages_per_s: rates by order param.
        revision: 0 for the step as it was observed: who is not named had no arrivals. Above 0 for pushed cells: who is not
            named is not known; of two rows for the same cell the one with the higher revision counts.
    """

    start_s: int
    messages_per_s: Mapping[str, float]
    revision: int = 0


@dataclass(frozen=True, eq=False)
class StoredSteps:
    """What a table holds, ready for a window.

    Attributes:
        starts_s: (T,) ascending.
        names: (K,) in the order of their first step.
        rates: (T, K).
        observed: (T,) whether the step was observed as a whole.
        pushed: (T, K) which cells were pushed.
        revision: the highest there is.
    """

    starts_s: NDArray[np.int64]
    names: tuple[str, ...]
    rates: NDArray[np.float32]
    observed: NDArray[np.bool_]
    pushed: NDArray[np.bool_]
    revision: int


class StepTable:
    """Append-only table in a folder; made by the first append. One writer at a time."""

    def __init__(self, folder: Path) -> None:
        self._uri = str(folder)

    def append(self, steps: Sequence[Step]) -> None:
        """Commit steps in one transaction."""
        names = [list(step.messages_per_s) for step in steps]
        rates = [list(step.messages_per_s.values()) for step in steps]
        revisions = pa.array([step.revision for step in steps], pa.int64())
        self._write([pa.array([step.start_s for step in steps], pa.int64()), names, rates, revisions])

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
                pa.array(np.zeros(starts_s.size, dtype=np.int64)),
            ]
        )

    def read(self, since_s: int | None = None) -> StoredSteps:
        """Return what is stored of steps that start at `since_s` or later (None: all). Needs no lock; sees whole commits."""
        if not DeltaTable.is_deltatable(self._uri):
            return _dense(SCHEMA.empty_table())
        filters = None if since_s is None else [("start_s", ">=", since_s)]
        return _dense(_with_revisions(DeltaTable(self._uri).to_pyarrow_table(filters=filters)))

    def observed_starts_s(self) -> NDArray[np.int64]:
        """Return the starts of the steps that were observed as a whole, without reading their rates."""
        if not DeltaTable.is_deltatable(self._uri):
            return np.zeros(0, dtype=np.int64)
        table = DeltaTable(self._uri)
        there = [field.name for field in table.schema().fields if field.name in ("start_s", "revision")]
        stored = _with_revisions(table.to_pyarrow_table(columns=there))
        return np.unique(stored["start_s"].to_numpy()[stored["revision"].to_numpy() == 0])

    def maintain(self, keep_from_s: int) -> None:
        """Drop steps that start before `keep_from_s`, merge small files, and delete replaced ones after a grace time."""
        table = DeltaTable(self._uri)
        table.delete(f"start_s < {keep_from_s}")
        table.optimize.compact()
        table.vacuum(retention_hours=READERS_HAVE_HOURS, dry_run=False, enforce_retention_duration=False)
        table.create_checkpoint()
        table.cleanup_metadata()

    def _write(self, columns: list[object]) -> None:
        write_deltalake(self._uri, pa.table(columns, schema=SCHEMA), mode="append", schema_mode="merge")


def _with_revisions(stored: pa.Table) -> pa.Table:
    """Return rows whose revision is a number, also where they were written without one."""
    if "revision" not in stored.schema.names:
        return stored.append_column("revision", pa.array(np.zeros(stored.num_rows, dtype=np.int64)))
    at = stored.schema.get_field_index("revision")
    return stored.set_column(at, "revision", pc.fill_null(stored["revision"], 0))


def _dense(stored: pa.Table) -> StoredSteps:
    """Return rows of the table as arrays; of a step that was stored twice as a whole only one counts."""
    stored = stored.sort_by([("start_s", "ascending"), ("revision", "ascending")]).combine_chunks()
    revisions = stored["revision"].to_numpy()
    starts_s, row_of = np.unique(np.asarray(stored["start_s"].to_numpy(), dtype=np.int64), return_inverse=True)
    whole = revisions == 0
    first = np.zeros(row_of.size, dtype=np.bool_)
    first[np.unique(row_of, return_index=True)[1]] = True
    names, counts, columns, flat = _flat(stored)
    rates = np.zeros((starts_s.size, len(names)), dtype=np.float32)
    pushed = np.zeros(rates.shape, dtype=np.bool_)
    rows = np.repeat(row_of, counts)
    taken = np.repeat(first | ~whole, counts)
    rates[rows[taken], columns[taken]] = flat[taken]  # of a cell that is there twice the last one, with the higher revision
    told = np.repeat(~whole, counts)
    pushed[rows[told], columns[told]] = True
    observed = np.zeros(starts_s.size, dtype=np.bool_)
    observed[row_of[whole]] = True
    return StoredSteps(starts_s, names, rates, observed, pushed, int(revisions.max(initial=0)))


def _flat(stored: pa.Table) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return (K,) names, (rows,) cells in each row, and column and rate of each cell, row after row."""
    lists = stored["order_params"].combine_chunks()
    coded = lists.flatten().dictionary_encode()
    counts = lists.value_lengths().to_numpy(zero_copy_only=False)
    columns = coded.indices.to_numpy(zero_copy_only=False)
    rates = stored["messages_per_s"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return tuple(coded.dictionary.to_pylist()), counts, columns, rates
