"""Histories of a state folder and trace files: what `plb history` does, without its words.

A trace file holds counts per order param and bin (`plb_ray.simulation.trace`), a history rates per order param and step.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from plb_ray.domain.samples import SAMPLES_MAX
from plb_ray.errors import BadInputError, NotTheOwnerError
from plb_ray.history.store import HistoryLimits, HistoryStore
from plb_ray.journal.owner_lock import OwnerLock
from plb_ray.simulation.trace import COLUMNS, read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plb_ray.domain.rates import RateHistory
    from plb_ray.history.reader import HistoryPicture
    from plb_ray.settings import Settings

DAY_S = 86_400.0
BUSIEST = 5


@dataclass(frozen=True)
class Imported:
    """What became of the steps of a file.

    Attributes:
        new_steps: taken into the history.
        known_steps: left out, because they were observed already.
        steps, order_params: that the history holds in memory now.
    """

    new_steps: int
    known_steps: int
    steps: int
    order_params: int


def history_of(path: Path, step_s: int) -> RateHistory:
    """Return the rates of a trace file in steps of this length.

    Raises:
        BadInputError: the file is malformed, its bins do not make up whole steps, or they do not lie on the grid.
    """
    trace = read_trace(path)
    if step_s % trace.step_s:
        raise BadInputError(
            f"trace {path}: its bins of {trace.step_s} s do not make up the history's steps of {step_s} s; "
            f"balancer.step_s = {trace.step_s} would fit a new history"
        )
    if trace.start_s % trace.step_s:
        raise BadInputError(f"trace {path}: its bins start at {trace.start_s}, which is no multiple of {trace.step_s} s")
    history = trace.history(0, trace.bins).coarser(step_s)
    if history.messages_per_s.shape[1] == 0:
        raise BadInputError(f"trace {path}: it does not cover one whole step of {step_s} s")
    return history


def step_of(settings: Settings) -> int:
    """Return the step of the history in the state folder, or the one that a new history would have."""
    path = settings.state_dir / "history" / "step_s"
    return int(path.read_text()) if path.is_file() else settings.balancer.step_s


def import_file(path: Path, settings: Settings) -> Imported:
    """Take a trace file into the history of a state folder on which no balancer runs.

    Raises:
        BadInputError: the file does not fit; see `history_of`.
        NotTheOwnerError: a balancer runs on the folder.
    """
    step_s = step_of(settings)
    history = history_of(path, step_s)
    limits = HistoryLimits(keep_s=settings.history.keep_days * DAY_S)
    with _owned(settings.state_dir, path):
        store = HistoryStore.open(settings.state_dir / "history", step_s, limits)
        try:
            new = store.import_history(history)
            known = history.messages_per_s.shape[1] - new
            return Imported(new, known, store.steps, len(store.order_params))
        finally:
            store.close()


@contextmanager
def _owned(state_dir: Path, path: Path) -> Iterator[None]:
    """Keep balancers away while the block runs."""
    state_dir.mkdir(parents=True, exist_ok=True)
    try:
        lock = OwnerLock(state_dir / "journal.sqlite.lock")
    except NotTheOwnerError as error:
        raise NotTheOwnerError(
            f"a balancer runs on {state_dir}; push to it instead: `plb history push {path}`, or stop it first"
        ) from error
    try:
        yield
    finally:
        lock.release()


def export_file(history: RateHistory, path: Path) -> int:
    """Write a history as a trace file, whole or not at all; return how many rows it has.

    Bins without arrivals are left out, but for the first order param's and each one's first, so that reading the file gives
    the same history.

    Raises:
        BadInputError: the ending is unknown, or the file cannot be written.
    """
    if not path.name.endswith((".parquet", ".csv", ".csv.gz")):
        raise BadInputError(f"export {path}: unknown ending {path.suffix!r}; use .parquet, .csv or .csv.gz")
    counts = history.messages_per_s * history.step_s
    kept = counts > 0
    kept[:1] = True
    kept[:, :1] = True
    rows, columns = np.nonzero(kept)
    ts = pd.to_datetime(history.start_s + columns * history.step_s, unit="s", utc=True)
    names = pd.Categorical.from_codes(rows, list(history.order_params))
    table = pd.DataFrame(dict(zip(COLUMNS, (names, ts, counts[rows, columns]), strict=True)))
    part = path.with_name(f".part-{path.name}")
    try:
        _write(table, part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadInputError(f"export {path}: cannot be written: {error.strerror or error}") from error
    return len(table)


def _write(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.astype({"order_param": str}).to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")


def pushes(history: RateHistory) -> Iterator[dict[str, Any]]:
    """Yield the bodies of the requests that push a history, oldest steps first."""
    steps_at_once = max(1, SAMPLES_MAX // max(1, len(history.order_params)))
    for first in range(0, history.messages_per_s.shape[1], steps_at_once):
        samples = list(_samples(history, first, first + steps_at_once))
        for start in range(0, len(samples), SAMPLES_MAX):
            yield {"kind": "rate", "samples": samples[start : start + SAMPLES_MAX]}


def _samples(history: RateHistory, first: int, end: int) -> Iterator[dict[str, Any]]:
    for column, rates in enumerate(history.messages_per_s[:, first:end].T.tolist(), start=first):
        at_s = history.start_s + column * history.step_s
        for order_param, rate in zip(history.order_params, rates, strict=True):
            yield {"order_param": order_param, "at": at_s, "value": rate}


def described(picture: HistoryPicture) -> dict[str, Any]:
    """Return what a history holds, as JSON values."""
    history = picture.history
    steps = history.messages_per_s.shape[1]
    mean = history.messages_per_s.mean(axis=1) if steps else np.zeros(len(history.order_params))
    busiest = np.argsort(-mean, kind="stable")[:BUSIEST].tolist()
    return {
        "step_s": history.step_s,
        "steps": steps,
        "start": _utc(history.start_s) if steps else None,
        "end": _utc(history.end_s) if steps else None,
        "order_params": len(history.order_params),
        "gap_steps": picture.gap_steps,
        "pushed_cells": picture.pushed_cells,
        "busiest": [{"order_param": history.order_params[row], "messages_per_s": float(mean[row])} for row in busiest],
    }


def _utc(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
