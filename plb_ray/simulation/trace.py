"""Traces: counts of messages per order param on a regular grid, read from files or from the packaged sample.

A trace file is parquet or CSV with the columns `order_param` (string), `ts` (start of the bin, UTC) and `messages` (count
in the bin); other columns are ignored. Bins without a row count as zero. Reading costs memory for the dense (K, T) grid:
4 bytes a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plb_ray.domain.rates import RateHistory
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("order_param", "ts", "messages")
MAX_CELLS = 400_000_000
SAMPLE_FILE = "nyc_departures_2013_10min.parquet"


@dataclass(frozen=True, eq=False)
class Trace:
    """Counts per bin.

    Attributes:
        name: for people.
        order_params: (K,) names.
        start_s: start of the first bin, seconds since the Unix epoch.
        step_s: bin length in seconds.
        counts: (K, T) float32, finite, >= 0.
    """

    name: str
    order_params: tuple[str, ...]
    start_s: int
    step_s: int
    counts: np.ndarray

    @property
    def bins(self) -> int:
        """T."""
        return int(self.counts.shape[1])

    def busiest(self, order_params: int) -> Trace:
        """Return only the busiest order params, in their present order."""
        if order_params >= len(self.order_params):
            return self
        rows = np.sort(np.argsort(-self.counts.sum(axis=1), kind="stable")[:order_params])
        names = tuple(self.order_params[row] for row in rows)
        return Trace(self.name, names, self.start_s, self.step_s, self.counts[rows])

    def scaled(self, factor: float) -> Trace:
        """Return the same trace with every count multiplied."""
        return Trace(self.name, self.order_params, self.start_s, self.step_s, self.counts * np.float32(factor))

    def led_by(self, bins: int) -> Trace:
        """Return the trace of messages that each event sends evenly over the `bins` bins that end with its own.

        A departure, for instance, is preceded by an hour of check-in, baggage and boarding messages. Totals are kept, but
        for the events whose lead starts before the trace.
        """
        padded = np.pad(self.counts, ((0, 0), (0, bins)))
        total = np.cumsum(padded, axis=1, dtype=np.float64)
        total = np.pad(total, ((0, 0), (1, 0)))
        spread = (total[:, bins : bins + self.bins] - total[:, : self.bins]) / bins
        return Trace(self.name, self.order_params, self.start_s, self.step_s, spread.astype(np.float32))

    def history(self, first_bin: int, end_bin: int) -> RateHistory:
        """Return bins `first_bin` .. `end_bin - 1` as arrival rates."""
        rates = self.counts[:, first_bin:end_bin] / np.float32(self.step_s)
        return RateHistory(self.order_params, self.start_s + first_bin * self.step_s, self.step_s, rates)


def packaged_sample() -> Trace:
    """Return the departures of 2013 from New York City's airports: 224 routes, 10-minute bins."""
    with as_file(files("plb_ray.simulation.sample") / SAMPLE_FILE) as path:
        trace = read_trace(path)
    return Trace("NYC departures 2013", trace.order_params, trace.start_s, trace.step_s, trace.counts)


def read_trace(path: Path) -> Trace:
    """Read a trace file.

    Raises:
        BadInputError: the file is missing or malformed; the text says what, where and what to do.
    """
    table = _checked_values(_read_table(path), path)
    seconds = table["ts"].to_numpy(dtype="datetime64[s]").astype(np.int64)
    names, rows = np.unique(table["order_param"].to_numpy(dtype=str), return_inverse=True)
    step_s = _step_s(seconds, path)
    start_s = int(seconds.min())
    columns = (seconds - start_s) // step_s
    bins = int(columns.max()) + 1
    if len(names) * bins > MAX_CELLS:
        raise BadInputError(
            f"trace {path}: {len(names)} order params x {bins} bins are too many to replay; cut it to a shorter span"
        )
    cells = rows * bins + columns
    if len(np.unique(cells)) < len(cells):
        repeated = int(np.flatnonzero(np.bincount(cells) > 1)[0])
        raise BadInputError(
            f"trace {path}: order param {names[repeated // bins]!r} has two rows for the same ts; sum them into one"
        )
    counts = np.zeros(len(names) * bins, dtype=np.float32)
    counts[cells] = table["messages"].to_numpy(dtype=np.float32)
    return Trace(path.stem, tuple(str(name) for name in names), start_s, step_s, counts.reshape(len(names), bins))


def _read_table(path: Path) -> pd.DataFrame:
    """Read the three columns by the file's ending."""
    if not path.is_file():
        raise BadInputError(f"trace {path}: no such file; give the path of a parquet or CSV file")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path, columns=list(COLUMNS))
        if path.name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, usecols=list(COLUMNS), dtype={"order_param": str})
    except (ValueError, OSError, KeyError) as error:
        first_line = str(error).splitlines()[0]
        raise BadInputError(
            f"trace {path}: cannot be read as a table with the columns {', '.join(COLUMNS)}: {first_line}"
        ) from error
    raise BadInputError(f"trace {path}: unknown ending {path.suffix!r}; use .parquet, .csv or .csv.gz")


def _checked_values(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the table with UTC timestamps and numeric counts, or refuse it naming the first bad row."""
    if table.empty:
        raise BadInputError(f"trace {path}: it has no rows")
    ts = pd.to_datetime(table["ts"], utc=True, errors="coerce")
    messages = pd.to_numeric(table["messages"], errors="coerce").astype("float64")
    for column, bad, wanted in (
        ("order_param", table["order_param"].isna(), "a name"),
        ("ts", ts.isna(), "a UTC time such as 2013-01-01T10:00:00Z"),
        ("messages", ~np.isfinite(messages) | (messages < 0), "a finite number >= 0"),
    ):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise BadInputError(
                f"trace {path}: row {row + 1}, column {column}: {str(table[column].iloc[row])!r} is not {wanted}"
            )
    return pd.DataFrame(
        {"order_param": table["order_param"].astype(str), "ts": ts.dt.tz_localize(None), "messages": messages}
    )


def _step_s(seconds: np.ndarray, path: Path) -> int:
    """Return the bin length: the greatest common divisor of the distances between the times that occur."""
    times = np.unique(seconds)
    if len(times) < 3:
        raise BadInputError(f"trace {path}: it covers {len(times)} bins; at least 3 are needed to know the bin length")
    step_s = int(np.gcd.reduce(np.diff(times)))
    if step_s < 60:
        raise BadInputError(f"trace {path}: its times are {step_s} s apart; bins from 1 minute to 1 hour are supported")
    if step_s > 3600:
        raise BadInputError(f"trace {path}: its bins are {step_s} s long; bins from 1 minute to 1 hour are supported")
    return step_s
