"""Builders and stand-ins for the tests of retraining: a place with two groups, a crew and a job server without Ray."""

from __future__ import annotations

import json
from dataclasses import replace

from plb_ray.cluster.retrain_files import RetrainFiles
from plb_ray.cluster.retrain_run import Ended, Progress
from plb_ray.cluster.retraining import JobReport, PartState, RetrainPlace, State, planned
from plb_ray.errors import JobServerUnavailableError, UnknownRetrainingError

DAY_S = 86_400
NOW_S = 20_000 * DAY_S + 3600.0
GROUPS = {"op-0": "group-0", "op-1": "group-1", "op-2": "group-0", "op-3": "hot-0"}


def a_place(folder, period_s=float(DAY_S)) -> RetrainPlace:
    """Return a place whose balancer has made its groups."""
    place = RetrainPlace(folder, seed=1, period_s=period_s)
    place.networks.mkdir(parents=True, exist_ok=True)
    (place.networks / "groups.json").write_text(json.dumps(GROUPS))
    return place


class ScriptedCrew:
    """Ends what it is given as the script says: part's name -> outcomes, one per try; what is not in it is done."""

    def __init__(self, size=2, **script) -> None:
        self.size = size
        self.begun: list[tuple[str, int]] = []
        self.most_at_once = 0
        self._script = {name.replace("_", "-"): list(ends) for name, ends in script.items()}
        self._busy = []
        self._progress = {}

    def start(self, part) -> None:
        self.begun.append((part.name, part.attempts))
        self._busy.append(part)
        self.most_at_once = max(self.most_at_once, len(self._busy))
        self._progress[part.key] = Progress(0.5, f"node:{len(self.begun)}", part.attempts)

    def wait(self, _timeout_s) -> list[Ended]:
        part = self._busy.pop(0)
        state, note = (self._script.get(part.group) or [(PartState.DONE, "")]).pop(0)
        return [Ended(part.key, state, note, 2.0 if state is PartState.DONE else None)]

    def progress(self):
        return self._progress


class JobServerHere:
    """A job server in memory. Jobs run until a test ends them."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobReport] = {}
        self.entrypoints: list[str] = []
        self.away = False

    def _check(self) -> None:
        if self.away:
            raise JobServerUnavailableError("the job server does not answer")

    def submit(self, job_id, entrypoint) -> None:
        self._check()
        if job_id not in self.jobs:
            self.entrypoints.append(entrypoint)
            self.jobs[job_id] = JobReport(over=False)

    def report(self, job_id):
        self._check()
        return self.jobs.get(job_id)

    def log(self, job_id) -> str:
        self._check()
        return f"first of {job_id}\nsecond\n" if job_id in self.jobs else ""

    def stop(self, job_id) -> None:
        self._check()
        self.jobs[job_id] = JobReport(over=True, stopped=True)


class RetrainingsHere:
    """Implements `Retrainings` in memory; a test moves its one retraining on by `record`."""

    def __init__(self, place) -> None:
        self._place = place
        self.record = None
        self.asked = []
        self.lines: list[str] = []
        self.away = False

    def start(self, request):
        if self.away:
            raise JobServerUnavailableError("the job server does not answer")
        self.asked.append(request)
        if self.record is None or request.again:
            self.record = planned(request, set(GROUPS.values()), self._place, NOW_S)
        return self.record

    def recent(self):
        return () if self.record is None else (self.record,)

    def find(self, retraining_id):
        if self.record is None or self.record.retraining_id != retraining_id:
            raise UnknownRetrainingError(retraining_id)
        return self.record

    def log(self, retraining_id):
        self.find(retraining_id)
        return tuple(self.lines)

    def cancel(self, retraining_id):
        self.record = self.find(retraining_id).ended(State.CANCELLED, NOW_S + 9)
        return self.record


def work_done(record, state=PartState.DONE):
    """Return a retraining as its job leaves it when all parts end so."""
    for part in record.parts:
        record = record.with_part(replace(part, state=state, fraction=1.0, attempts=1, took_s=2.0))
    return record.ended(State.FAILED if state is PartState.FAILED else State.DONE, NOW_S + 60)


def finish(place, record) -> None:
    """Let a retraining be done, as its job would."""
    RetrainFiles(place.networks).write(work_done(record))
