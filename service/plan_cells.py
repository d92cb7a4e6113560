"""Tables of a plan folder as checked columns: text, numbers, flags. Every refusal names file, row, column, and what to do.

A row is the line of the file that it begins on; the header is line 1. What the columns mean is in `service.plan_files`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

FLAGS = {"": False, "0": False, "false": False, "no": False, "n": False, "f": False} | dict.fromkeys(
    ("1", "true", "yes", "y", "t"), True
)


@dataclass(frozen=True, eq=False)
class Sheet:
    """One CSV file, read. Rows are counted from 0 here and shown as lines of the file.

    Attributes:
        columns: names of the header, in its order.
        table: the cells; columns not declared as text have the type that their cells allow.
    """

    path: Path
    columns: tuple[str, ...]
    table: pa.Table

    @property
    def rows(self) -> int:
        """How many, without the header."""
        return int(self.table.num_rows)

    def text(self, column: str) -> pa.ChunkedArray:
        """Return a column as trimmed text; all empty where the file has no such column."""
        if column not in self.columns:
            return pa.chunked_array([pa.repeat("", self.rows)])
        cells = self.table[column]
        return pc.utf8_trim_whitespace(cells if pa.types.is_string(cells.type) else self._as_text(column))

    def names(self, column: str) -> tuple[str, ...]:
        """Return a column of names: none empty, none twice."""
        cells = self.text(column)
        empty = np.flatnonzero(flat(pc.equal(cells, "")))
        if empty.size:
            self.refuse(int(empty[0]), column, "is empty; every row needs a name")
        names = tuple(cells.to_pylist())
        if len(set(names)) < len(names):
            first: dict[str, int] = {}
            row = next(row for row, name in enumerate(names) if first.setdefault(name, row) != row)
            self.refuse(
                row, column, f"names {names[row]!r} again (also in row {self.line(first[names[row]])}); keep one of them"
            )
        return names

    def numbers(self, column: str, *, empty: float | None, above_zero: bool = False) -> NDArray[np.float64]:
        """Return (rows,) finite numbers >= 0.

        Args:
            column: its name; a column that the file does not have is all empty.
            empty: what an empty cell stands for; None refuses it.
            above_zero: refuse 0 too.
        """
        values = self._numbers(column)
        missing = np.isnan(values)
        if missing.any() and empty is None:
            self.refuse(int(np.argmax(missing)), column, "is empty; write a number, 0 for none")
        wrong = ~missing & ~(np.isfinite(values) & ((values > 0) if above_zero else (values >= 0)))
        if wrong.any():
            row = int(np.argmax(wrong))
            wanted = "a finite number above 0" if above_zero else "a finite number, 0 or more"
            hint = "; leave the cell empty for no limit" if empty == np.inf and values[row] == np.inf else ""
            self.refuse(row, column, f"is {values[row]:g}; it must be {wanted}{hint}")
        return np.where(missing, 0.0 if empty is None else empty, values)

    def flags(self, column: str) -> NDArray[np.bool_]:
        """Return (rows,): true/false, yes/no or 1/0; an empty cell is false."""
        coded = pc.dictionary_encode(pc.utf8_lower(self.text(column))).combine_chunks()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.chunk(0) if coded.num_chunks else pa.array([], pa.string()).dictionary_encode()
        words, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)
        for code, word in enumerate(words):
            if word not in FLAGS:
                self.refuse(int(np.argmax(codes == code)), column, f"is {word!r}; write true or false (or leave it empty)")
        meaning = np.array([FLAGS[word] for word in words] or [False], dtype=np.bool_)
        return meaning[codes] if codes.size else np.zeros(0, dtype=np.bool_)

    def positions(self, column: str, names: tuple[str, ...], what: str, *, empty: int) -> NDArray[np.int64]:
        """Return (rows,): the position of each cell in `names`; `empty` where the cell is empty."""
        cells = self.text(column)
        found = flat(pc.fill_null(pc.index_in(cells, value_set=pa.array(names, pa.string())), -1)).astype(np.int64)
        blank = flat(pc.equal(cells, ""))
        unknown = (found < 0) & ~blank
        if unknown.any():
            row = int(np.argmax(unknown))
            self.refuse(row, column, f"names the unknown {what} {cells[row].as_py()!r}; add it to shards.csv or correct it")
        return np.where(blank, empty, found)

    def lists(self, column: str) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
        """Return (rows,) code of each cell and, by code, the names that a cell separates by |."""
        coded = pc.dictionary_encode(self.text(column))
        coded = pa.concat_arrays(coded.unify_dictionaries().chunks) if coded.num_chunks else None
        if coded is None:
            return np.zeros(0, dtype=np.int64), []
        lists = [tuple(part.strip() for part in cell.split("|") if part.strip()) for cell in coded.dictionary.to_pylist()]
        return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), lists

    def line(self, row: int) -> int:
        """Return the line of the file that a row begins on. Reads the file again: for refusals only."""
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            reader, seen, begins = csv.reader(file), -2, 1
            for cells in reader:
                seen += bool(cells)
                if cells and seen == row:
                    return begins
                begins = reader.line_num + 1
        return row + 2

    def refuse(self, row: int, column: str, what: str) -> NoReturn:
        """Raise what is wrong with one cell."""
        raise BadInputError(f"{self.path}, row {self.line(row)}, column {column}: {what}")

    def _numbers(self, column: str) -> NDArray[np.float64]:
        if column not in self.columns:
            return np.full(self.rows, np.nan)
        cells = self.table[column]
        if pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type):
            values = flat(pc.fill_null(pc.cast(cells, pa.float64()), np.nan))
            self._refuse_nan(column, cells, values)
            return values
        if pa.types.is_null(cells.type):
            return np.full(self.rows, np.nan)
        return np.array([self._number(row, column, cell) for row, cell in enumerate(self.text(column).to_pylist())])

    def _refuse_nan(self, column: str, cells: pa.ChunkedArray, values: NDArray[np.float64]) -> None:
        stated = np.isnan(values) & flat(pc.is_valid(cells))
        if stated.any():
            self.refuse(int(np.argmax(stated)), column, "is not a number (nan); write a number")

    def _number(self, row: int, column: str, cell: str) -> float:
        if not cell:
            return np.nan
        try:
            value = float(cell.replace("_", "x"))
        except ValueError:
            value = np.nan
        if np.isnan(value):
            self.refuse(row, column, f"is {cell!r}, which is not a number; write a number such as 12.5")
        return value

    def _as_text(self, column: str) -> pa.ChunkedArray:
        return _read(self.path, self.columns, (column,))[column]


def read_sheet(path: Path, required: Iterable[str], text: Iterable[str]) -> Sheet:
    """Read a CSV file.

    Args:
        path: the file; UTF-8, comma-separated, with a header.
        required: columns that must be there.
        text: columns to read as text whatever they hold.

    Raises:
        BadInputError: no such file, not CSV, a missing or repeated column, a row of another length.
    """
    columns = _header(path)
    for column in required:
        if column not in columns:
            hint = "; columns are separated by commas" if any(mark in columns[0] for mark in ";\t") else ""
            raise BadInputError(f"{path}, row 1: there is no column {column!r}; it has {', '.join(columns)}; add it{hint}")
    return Sheet(path, columns, _read(path, columns, tuple(each for each in text if each in columns)))


def flat(cells: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """Return a column without nulls as numpy."""
    return np.asarray(cells.to_numpy(zero_copy_only=False) if isinstance(cells, pa.Array) else cells.to_numpy())


def _header(path: Path) -> tuple[str, ...]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            cells = next(csv.reader(file), [])
    except FileNotFoundError:
        raise BadInputError(f"{path}: no such file; docs/planning.md says what a plan folder holds") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); it must be a CSV file in UTF-8") from None
    columns = tuple(cell.strip() for cell in cells)
    if not any(columns):
        raise BadInputError(f"{path}, row 1: there is no header; the first row must name the columns")
    for position, column in enumerate(columns):
        if not column or column in columns[:position]:
            what = f"names {column!r} twice" if column else f"leaves column {position + 1} without a name"
            raise BadInputError(f"{path}, row 1: the header {what}; every column needs a name of its own")
    return columns


def _read(path: Path, columns: tuple[str, ...], text: tuple[str, ...]) -> pa.Table:
    try:
        return pv.read_csv(
            path,
            read_options=pv.ReadOptions(column_names=list(columns), skip_rows=1),
            parse_options=pv.ParseOptions(newlines_in_values=True),
            convert_options=pv.ConvertOptions(
                column_types=dict.fromkeys(text, pa.string()), null_values=[""], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):  # a header and nothing else
            return pa.table({name: pa.array([], pa.string() if name in text else pa.null()) for name in columns})
        _refuse_ragged(path, len(columns))
        raise BadInputError(f"{path}: is not a CSV file in UTF-8 ({error}); save it as one") from None


def _refuse_ragged(path: Path, width: int) -> None:
    """Say which row has too few or too many cells, if one has."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader, begins = csv.reader(file), 1
        for cells in reader:
            if cells and len(cells) != width:
                what = f"has {len(cells)} cells, the header names {width} columns"
                raise BadInputError(f"{path}, row {begins}: {what}; add or remove commas, or put text with commas in quotes")
            begins = reader.line_num + 1
