"""The job of a retraining: `python -m service.retrain_job --state DIR --id ID`, as Ray's job server starts it.

It reads what to do from the retraining's file, the history from its table without a lock, while the balancer writes it, and
trains the parts that are not done yet on the workers of the cluster. Its log is standard output: a line of key=value each.
Started by hand, outside of a Ray job, it does the same on a Ray of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.factory import make_forecaster
from plb_ray.clock import wall_time_s
from plb_ray.cluster.assignment import members, read_assignment
from plb_ray.cluster.retrain_crew import RayCrew, yield_to_others
from plb_ray.cluster.retrain_files import RetrainFiles
from plb_ray.cluster.retrain_run import RetrainRun
from plb_ray.cluster.retraining import Retraining, State
from plb_ray.cluster.runtime import start_ray, stop_ray
from plb_ray.cluster.since import Since, span_or_moment
from plb_ray.domain.rates import medium_horizon, short_horizon
from plb_ray.errors import BadInputError, PlbError
from plb_ray.history.reader import read_history
from plb_ray.ingest.calendar_store import CalendarStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plb_ray.control.ports import Forecaster
    from plb_ray.domain.rates import RateHistory


def main(arguments: Sequence[str] | None = None, make: Callable[[int], Forecaster] = make_forecaster) -> int:
    """Work on one retraining; returns the exit code, 0 only if nothing failed."""
    parser = argparse.ArgumentParser(prog="service.retrain_job", description="Work on a retraining that was asked for.")
    parser.add_argument("--state", type=Path, required=True, help="state folder of the balancer")
    parser.add_argument("--id", required=True, help="of the retraining")
    given = parser.parse_args(arguments)
    files = RetrainFiles(given.state / "networks")
    yield_to_others()
    with files.working_on(given.id) as alone:
        if not alone:
            _say(given.id, "another job works on it; this one leaves it alone")
            return 0
        try:
            return _work(given.state, files, files.read(given.id), make)
        except PlbError as error:
            _say(given.id, f"state=failed error={str(error)!r}")
            return 1


def _work(state: Path, files: RetrainFiles, record: Retraining, make: Callable[[int], Forecaster]) -> int:
    run: RetrainRun | None = None
    try:
        start_ray(os.environ.get("RAY_ADDRESS"))
        history = history_to_learn(state, record, make(record.seed).training_s, wall_time_s())
        record = record.started(wall_time_s(), (history.start_s, history.end_s))
        files.write(record)
        crew = _crew(state, record, history, make)
        run = RetrainRun(record, crew, files.write, lambda words: _say(record.retraining_id, words), wall_time_s)
        return int(run.work().state is not State.DONE)
    except PlbError as error:
        files.write(record.ended(State.FAILED, wall_time_s(), str(error)))
        raise
    except (SystemExit, KeyboardInterrupt):  # how Ray and people end a job
        files.write((run.record if run else record).ended(State.CANCELLED, wall_time_s()))
        _say(record.retraining_id, "state=cancelled")
        raise
    finally:
        stop_ray()


def history_to_learn(state: Path, record: Retraining, training_s: int, now_s: float) -> RateHistory:
    """Return the span of the history that a retraining learns from, with the event calendar; later runs get the same.

    Raises:
        BadInputError: there is nothing to learn from, or the calendar is damaged.
        RetryableError: it cannot be read now.
    """
    folder = state / "history"
    if record.span_s is not None:
        start_s, end_s = record.span_s
        history = read_history(folder, start_s)
        history = replace(history, messages_per_s=history.messages_per_s[:, : (end_s - history.start_s) // history.step_s])
    else:
        since = span_or_moment(record.since) if record.since else Since(span_s=training_s)
        history = _latest(folder, since, now_s)
    if not history.messages_per_s.size:
        raise BadInputError(f"history in {folder}: it holds nothing since {record.since or 'the beginning'} to learn from")
    rates = history.messages_per_s.astype(np.float32)
    return replace(history, messages_per_s=rates, calendar=CalendarStore(state).read())


def _latest(folder: Path, since: Since, now_s: float) -> RateHistory:
    """Return so much of it before its end, which may be long ago if it was imported."""
    if since.span_s is None:
        return read_history(folder, since.start_s(0))
    slack_s = since.span_s // 10  # the history may end a little before now
    history = read_history(folder, since.start_s(int(now_s)) - slack_s)
    if not history.messages_per_s.size:
        history = read_history(folder)
    elif history.end_s < now_s - slack_s:
        history = read_history(folder, since.start_s(history.end_s))
    return history.last(since.span_s // history.step_s)


def _crew(state: Path, record: Retraining, history: RateHistory, make: Callable[[int], Forecaster]) -> RayCrew:
    by_group = members(read_assignment(state / "networks"))
    seeds = {group: record.seed + number for number, group in enumerate(by_group)}
    horizons = {horizon.name: horizon for horizon in (short_horizon(history.step_s), medium_horizon(history.step_s))}
    histories = {}
    for group in record.groups:
        seen = tuple(name for name in by_group.get(group, ()) if name in history.index)
        if seen:
            histories[group] = history.rows(seen)
    return RayCrew(make, (state / "networks").resolve(), histories, horizons, seeds)


def _say(retraining_id: str, words: str) -> None:
    at = datetime.fromtimestamp(wall_time_s(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    sys.stdout.write(f"{at} id={retraining_id} {words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
