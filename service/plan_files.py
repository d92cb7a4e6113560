"""A folder of `shards.csv`, `order_params.csv` and `loads.parquet`, read to a plan problem. docs/planning.md describes it.

Resources are the columns of `shards.csv` that have no other meaning. Reading is vectorised: a million order params take
seconds. What cannot be meant is refused here, with file, row and column; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from plb_ray.domain.plan import NOWHERE, PlanBudget, PlanMode, PlanProblem, PlanWords
from plb_ray.errors import BadInputError
from service.plan_cells import Sheet, flat, read_sheet
from service.plan_rules import read_rules

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHARD_TEXT = ("shard", "zone", "draining")
SHARD_COLUMNS = (*SHARD_TEXT, "headroom", "cost")
ORDER_PARAM_TEXT = ("order_param", "shard", "pinned", "spread_group", "zones", "forbidden")
ORDER_PARAM_COLUMNS = (*ORDER_PARAM_TEXT, "move_cost")
FOCUSED = (PlanMode.DRAIN, PlanMode.ADD)


@dataclass(frozen=True)
class PlanAsk:
    """What is asked of a folder, besides what its files say.

    Attributes:
        shards: names of the shards that DRAIN empties and ADD fills.
        headroom: usable share of capacity of shards that state none, > 0.
    """

    mode: PlanMode = PlanMode.RELIEF
    shards: tuple[str, ...] = ()
    headroom: float = 1.0
    band: float = 0.05
    segments: int = 1


@dataclass(frozen=True, eq=False)
class PlanFolder:
    """A folder, read.

    Attributes:
        problem: what a planner is given.
        notes: what a reader should know about how the files were understood, in words.
    """

    problem: PlanProblem
    notes: tuple[str, ...]


def read_folder(folder: Path, ask: PlanAsk, budget: PlanBudget) -> PlanFolder:
    """Read a plan folder.

    Raises:
        BadInputError: a file or column is missing, a cell cannot be meant, or rules contradict each other.
    """
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such folder; it must hold shards.csv and order_params.csv")
    shards = read_sheet(folder / "shards.csv", ("shard",), SHARD_TEXT)
    resources = tuple(column for column in shards.columns if column not in SHARD_COLUMNS)
    if not resources:
        raise BadInputError(f"{shards.path}, row 1: there is no column of capacity; add one per resource, such as cpu_cores")
    shard_names = shards.names("shard")
    capacity = [shards.numbers(each, empty=np.inf) for each in resources]
    headroom = shards.numbers("headroom", empty=ask.headroom, above_zero=True)
    draining = shards.flags("draining")
    shards.numbers("cost", empty=0.0)  # what shards cost matters to `optimizer.fleet`; here it is checked
    sheet = read_sheet(folder / "order_params.csv", ("order_param", "shard"), ORDER_PARAM_TEXT)
    names = sheet.names("order_param")
    current = sheet.positions("shard", shard_names, "shard", empty=NOWHERE)
    load, steps, notes = _loads(folder / "loads.parquet", sheet, names, resources)
    problem = PlanProblem(
        order_params=names,
        shards=shard_names,
        resources=resources,
        load=load,
        capacity=np.stack(capacity, axis=1),
        headroom=headroom,
        current=current,
        move_cost=sheet.numbers("move_cost", empty=1.0),
        rules=read_rules(shards, sheet, shard_names, current, draining),
        overload_weight=np.ones((len(shard_names), len(resources))),
        mode=ask.mode,
        focus=_focus(ask, shard_names),
        band=ask.band,
        segments=ask.segments,
        budget=budget,
        words=PlanWords(steps=steps),
    )
    return PlanFolder(problem, notes)


def _focus(ask: PlanAsk, shards: tuple[str, ...]) -> tuple[int, ...]:
    if ask.mode in FOCUSED and not ask.shards:
        raise BadInputError(f"--mode {ask.mode} needs --shards, the shards to {ask.mode}, separated by commas")
    if ask.mode not in FOCUSED and ask.shards:
        raise BadInputError(f"--shards is for --mode drain and --mode add, not for --mode {ask.mode}; leave it out")
    for name in ask.shards:
        if name not in shards:
            raise BadInputError(f"--shards names the unknown shard {name!r}; shards.csv lists the known ones")
    return tuple(sorted({shards.index(name) for name in ask.shards}))


def _loads(
    parquet: Path, sheet: Sheet, names: tuple[str, ...], resources: tuple[str, ...]
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...]]:
    """Return (K, T, R) loads, names of the T steps, and notes."""
    for column in sheet.columns:
        if column not in (*ORDER_PARAM_COLUMNS, *resources):
            hint = f"shards.csv has no capacity of that name; add it there (empty cells: no limit) or remove {column!r} here"
            raise BadInputError(f"{sheet.path}, row 1, column {column}: is neither a known column nor a resource; {hint}")
    series = _Series.read(parquet, names, resources) if parquet.exists() else None
    steps = series.steps if series else ("now",)
    load = np.zeros((len(names), len(steps), len(resources)))
    for position, resource in enumerate(resources):
        if series and resource in series.load:
            load[:, :, position] = series.load[resource]
        elif resource in sheet.columns:
            load[:, :, position] = sheet.numbers(resource, empty=None)[:, None]
        else:
            where = f"{sheet.path}, row 1" + (f" (nor has {parquet})" if series else "")
            raise BadInputError(f"{where}: there is no column {resource!r}, of which shards.csv states a capacity; add it")
    return load, steps, series.notes if series else ()


@dataclass(frozen=True, eq=False)
class _Series:
    """`loads.parquet`: (K, T) load by resource, and names of the T steps."""

    steps: tuple[str, ...]
    load: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, names: tuple[str, ...], resources: tuple[str, ...]) -> _Series:
        table = _parquet(path)
        _refuse_columns(path, table, resources)
        row_of = _known(path, table["order_param"], names)
        step_of, steps = _steps(path, table["step"])
        cell = row_of * len(steps) + step_of
        _refuse_twice(path, table, cell, len(names) * len(steps))
        load = {}
        for resource in (each for each in resources if each in table.column_names):
            dense = np.zeros(len(names) * len(steps))
            dense[cell] = _amounts(path, table, resource)
            load[resource] = dense.reshape(len(names), len(steps))
        silent = len(names) - np.unique(row_of).size
        note = f"{silent} of {len(names)} order params have no row in {path.name} and count as load 0 there"
        return cls(steps, load, (note,) if silent and load else ())


def _parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"{path}: is not a parquet file ({error}); write it anew or remove it") from None


def _refuse_columns(path: Path, table: pa.Table, resources: tuple[str, ...]) -> None:
    for column in ("order_param", "step"):
        if column not in table.column_names:
            raise BadInputError(f"{path}: there is no column {column!r}; it has {', '.join(table.column_names)}; add it")
    for column in table.column_names:
        if column not in ("order_param", "step", *resources):
            raise BadInputError(
                f"{path}, column {column}: shards.csv has no capacity of that name; add it there or remove it here"
            )
    if not table.num_rows:
        raise BadInputError(f"{path}: has no rows; remove it to use the loads of order_params.csv")


def _known(path: Path, cells: pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.int64]:
    found = flat(pc.fill_null(pc.index_in(pc.cast(cells, pa.string()), value_set=pa.array(names, pa.string())), -1))
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        raise BadInputError(
            f"{path}, row {row + 1}, column order_param: names the unknown order param {cells[row].as_py()!r}; "
            "add it to order_params.csv or remove the row"
        )
    return found.astype(np.int64)


def _steps(path: Path, cells: pa.ChunkedArray) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the position of each row's step, and the steps' names, in order of time."""
    kind = cells.type
    if not (pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise BadInputError(f"{path}, column step: is of type {kind}; it must hold whole numbers or timestamps")
    if cells.null_count:
        row = int(np.argmax(flat(pc.is_null(cells))))
        raise BadInputError(f"{path}, row {row + 1}, column step: is empty; every row needs its step")
    if pa.types.is_integer(kind):
        times, step_of = np.unique(flat(cells), return_inverse=True)
        return step_of, tuple(f"step {each}" for each in times.tolist())
    seconds = flat(pc.cast(cells, pa.timestamp("s"), safe=False)).astype("datetime64[s]")
    times, step_of = np.unique(seconds, return_inverse=True)
    several_days = np.unique(times.astype("datetime64[D]")).size > 1
    shown = [str(each.astype("datetime64[m]")).replace("T", " ") for each in times]
    return step_of, tuple(each if several_days else each[-5:] for each in shown)


def _refuse_twice(path: Path, table: pa.Table, cell: NDArray[np.int64], cells: int) -> None:
    if np.bincount(cell, minlength=cells).max(initial=0) <= 1:
        return
    order = np.argsort(cell, kind="stable")
    row = int(order[1:][np.diff(cell[order]) == 0].min())
    what = f"order param {table['order_param'][row].as_py()!r} has step {table['step'][row].as_py()} twice"
    raise BadInputError(f"{path}, row {row + 1}, column step: {what}; keep one row per order param and step")


def _amounts(path: Path, table: pa.Table, resource: str) -> NDArray[np.float64]:
    cells = table[resource]
    if not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type) or pa.types.is_decimal(cells.type)):
        raise BadInputError(f"{path}, column {resource}: is of type {cells.type}; loads must be numbers")
    values: NDArray[np.float64] = flat(pc.fill_null(pc.cast(cells, pa.float64()), np.nan))
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        what = f"is {cells[row].as_py()}; it must be a finite number, 0 or more"
        raise BadInputError(f"{path}, row {row + 1}, column {resource}: {what}")
    return values
