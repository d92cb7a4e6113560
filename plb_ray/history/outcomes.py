"""The Delta table of outcomes: what was foreseen of an order param in a step, beside what then came. No judging here.

    STATE_DIR/outcomes/pairs/            the table, partitioned by day
    STATE_DIR/outcomes/counts_from.json  per horizon the first cutoff that counts; what is older was a demoted champion's

One row per order param, cutoff and step ahead:

    day             date        UTC day on which the step ended
    horizon         string      short, medium
    cutoff          timestamp   end of the history that the forecast was made from
    ahead_s         int32       from the cutoff to the end of the step
    order_param     string
    observed        float       mean rate of the step, messages per second
    seasonal_naive  float       observed rate of the same step a day before; null if it is not known
    q025 .. q975    float       what was foreseen at KEPT_LEVELS
    pit_from        float       } the levels that `observed` stands for in the forecast, known from all its levels; see
    pit_upto        float       } `plb_ray.control.forecast_quality`
    source          string      which forecaster made it

Rows are only ever added. Other programs read it with any Delta reader, also while it is being written. One writer at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

from plb_ray.domain.outcomes import ForecastOutcome
from plb_ray.history.table import READERS_HAVE_HOURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

DAY_S = 86_400
KEPT_LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
"""The quantile levels that are kept: the median and the ends of the intervals of 80 % and 95 %."""

_RATES = ("observed", "seasonal_naive", "q025", "q10", "q50", "q90", "q975", "pit_from", "pit_upto")
_QUANTILES, _PIT = slice(2, 7), slice(7, 9)
_KEYS = ("horizon", "cutoff", "ahead_s", "source")
SCHEMA = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("horizon", pa.string(), nullable=False),
        pa.field("cutoff", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("ahead_s", pa.int32(), nullable=False),
        pa.field("order_param", pa.string(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=name == "seasonal_naive") for name in _RATES),
        pa.field("source", pa.string(), nullable=False),
    ]
)
ROWS_AT_ONCE = 65_536
"""Of a reading: bounds its memory to some megabytes beside one row group of one file."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """N forecasts of one order param and step each, beside what came. Rates in messages per second.

    Attributes:
        observed: (N,).
        seasonal_naive: (N,) the rate a day before, NaN where it is not known.
        quantiles: (N, 5) at KEPT_LEVELS.
        pit: (N, 2) the levels from which and up to which `observed` lies in the forecast.
    """

    observed: NDArray[np.float64]
    seasonal_naive: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    pit: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Return those that are `chosen` (N,)."""
        return Pairs(self.observed[chosen], self.seasonal_naive[chosen], self.quantiles[chosen], self.pit[chosen])


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The pairs of one cutoff and one step ahead of it.

    Attributes:
        horizon: its name.
        cutoff_s: end of the history that the forecast was made from.
        ahead_s: from there to the end of the step.
        order_params: (N,) names.
        sources: (N,) who foresaw it.
        pairs: (N,) rows.
    """

    horizon: str
    cutoff_s: int
    ahead_s: int
    order_params: tuple[str, ...]
    sources: tuple[str, ...]
    pairs: Pairs

    @property
    def end_s(self) -> int:
        """End of the step: when the outcome was known."""
        return self.cutoff_s + self.ahead_s

    def of(self, order_param: str) -> ForecastOutcome | None:
        """Return the one of an order param; None if it is not among them."""
        if order_param not in self.order_params:
            return None
        row, pairs = self.order_params.index(order_param), self.pairs
        quantiles, (low, high) = tuple(pairs.quantiles[row].tolist()), pairs.pit[row].tolist()
        observed, source = float(pairs.observed[row]), self.sources[row]
        return ForecastOutcome(self.cutoff_s, self.ahead_s, observed, quantiles, (low, high), source)


@dataclass(frozen=True, eq=False)
class StoredOutcomes:
    """N rows of the table, in no order.

    Attributes:
        horizons, sources: the words that the codes stand for.
        horizon, source: (N,) index into these.
        cutoffs_s: (N,).
        ends_s: (N,) end of the step.
        pairs: (N,) rows.
    """

    horizons: tuple[str, ...]
    sources: tuple[str, ...]
    horizon: NDArray[np.int64]
    source: NDArray[np.int64]
    cutoffs_s: NDArray[np.int64]
    ends_s: NDArray[np.int64]
    pairs: Pairs


class OutcomeStore:
    """The table in a folder, which need not exist. Every method blocks on the disk, and raises what the storage raises."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uri = str(folder / "pairs")

    def append(self, outcomes: Sequence[Outcomes]) -> None:
        """Commit outcomes in one transaction."""
        table = pa.concat_tables([_as_table(each) for each in outcomes])
        write_deltalake(self._uri, table, mode="append", partition_by=["day"])

    def read(self, since_s: int) -> Iterator[StoredOutcomes]:
        """See `read_outcomes`."""
        return read_outcomes(self._folder, since_s)

    def of_order_param(self, order_param: str, horizon: str, since_s: int) -> list[ForecastOutcome]:
        """See `outcomes_of_order_param`."""
        return outcomes_of_order_param(self._folder, order_param, horizon, since_s)

    def maintain(self, keep_from_s: int) -> None:
        """Drop the days before the one of `keep_from_s`, merge small files, and delete replaced ones after a grace time."""
        if not DeltaTable.is_deltatable(self._uri):
            return
        table = DeltaTable(self._uri)
        table.delete(f"day < '{_day_of(keep_from_s)}'")
        table.optimize.compact(max_concurrent_tasks=1)
        table.vacuum(retention_hours=READERS_HAVE_HOURS, dry_run=False, enforce_retention_duration=False)
        table.create_checkpoint()
        table.cleanup_metadata()

    def counts_from_s(self) -> dict[str, int]:
        """Return per horizon the first cutoff that counts, as far as one was noted."""
        path = self._folder / "counts_from.json"
        if not path.exists():
            return {}
        return {str(horizon): int(cutoff_s) for horizon, cutoff_s in json.loads(path.read_text(encoding="utf-8")).items()}

    def note_counts_from(self, counts_from_s: dict[str, int]) -> None:
        """Note it. A crash leaves the older note in place."""
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / "counts_from.json.new"
        beside.write_text(json.dumps(counts_from_s), encoding="utf-8")
        beside.replace(self._folder / "counts_from.json")


def read_outcomes(folder: Path, since_s: int) -> Iterator[StoredOutcomes]:
    """Return what the table in `folder` has of steps that ended on the UTC day of `since_s` or later, in batches.

    Needs no lock, sees whole commits, and has one batch of `ROWS_AT_ONCE` rows in memory at a time. No table is no rows.
    """
    uri = str(folder / "pairs")
    if not DeltaTable.is_deltatable(uri):
        return
    batches = (
        DeltaTable(uri)
        .to_pyarrow_dataset()
        .to_batches(
            columns=[*_KEYS, *_RATES],
            filter=ds.field("day") >= _day_of(since_s),
            batch_size=ROWS_AT_ONCE,
            batch_readahead=1,
            fragment_readahead=1,
        )
    )
    for batch in batches:
        if batch.num_rows:
            yield _from_batch(batch)


def outcomes_of_order_param(folder: Path, order_param: str, horizon: str, since_s: int) -> list[ForecastOutcome]:
    """Return what the table in `folder` has of one order param, of steps that ended at `since_s` or later, in no order."""
    uri = str(folder / "pairs")
    if not DeltaTable.is_deltatable(uri):
        return []
    same_name = (ds.field("order_param") == order_param) & (ds.field("horizon") == horizon)
    wanted = (ds.field("day") >= _day_of(since_s)) & same_name
    found = DeltaTable(uri).to_pyarrow_dataset().to_table(columns=[*_KEYS, *_RATES], filter=wanted)
    outcomes = [_as_outcome(row) for row in found.to_pylist()]
    return [each for each in outcomes if each.end_s >= since_s]


def _as_outcome(row: dict[str, Any]) -> ForecastOutcome:
    quantiles = tuple(row[name] for name in _RATES[_QUANTILES])
    low, high = (row[name] for name in _RATES[_PIT])
    cutoff_s = int(row["cutoff"].timestamp())
    return ForecastOutcome(cutoff_s, row["ahead_s"], row["observed"], quantiles, (low, high), row["source"])


def _day_of(at_s: int) -> date:
    return datetime.fromtimestamp(at_s, UTC).date()


def _as_table(outcomes: Outcomes) -> pa.Table:
    rows, pairs = len(outcomes.order_params), outcomes.pairs
    rates = np.column_stack([pairs.observed, pairs.seasonal_naive, pairs.quantiles, pairs.pit]).astype(np.float32)
    cutoff = datetime.fromtimestamp(outcomes.cutoff_s, UTC)
    columns = {
        "day": pa.repeat(pa.scalar(_day_of(outcomes.end_s), pa.date32()), rows),
        "horizon": pa.repeat(outcomes.horizon, rows),
        "cutoff": pa.repeat(pa.scalar(cutoff, pa.timestamp("us", tz="UTC")), rows),
        "ahead_s": pa.repeat(pa.scalar(outcomes.ahead_s, pa.int32()), rows),
        "order_param": pa.array(outcomes.order_params, pa.string()),
        **{name: pa.array(rates[:, at], mask=np.isnan(rates[:, at])) for at, name in enumerate(_RATES)},
        "source": pa.array(outcomes.sources, pa.string()),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _from_batch(batch: pa.RecordBatch) -> StoredOutcomes:
    horizon, source = (batch[name].dictionary_encode() for name in ("horizon", "source"))
    cutoffs_s = batch["cutoff"].cast(pa.int64()).to_numpy() // 1_000_000
    ahead_s = batch["ahead_s"].to_numpy().astype(np.int64)
    rates = np.column_stack([batch[name].to_numpy(zero_copy_only=False) for name in _RATES]).astype(np.float64)
    return StoredOutcomes(
        horizons=tuple(horizon.dictionary.to_pylist()),
        sources=tuple(source.dictionary.to_pylist()),
        horizon=horizon.indices.to_numpy().astype(np.int64),
        source=source.indices.to_numpy().astype(np.int64),
        cutoffs_s=cutoffs_s,
        ends_s=cutoffs_s + ahead_s,
        pairs=Pairs(rates[:, 0], rates[:, 1], rates[:, _QUANTILES], rates[:, _PIT]),
    )
