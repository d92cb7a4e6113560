"""Retrainings as Ray Jobs: submitted to a cluster's job server, which runs each as a process of its own on the head node.

The record of a retraining is its file (`retrain_files`), written by its job; the job server is asked only whether the job of
one that is not over still lives, and for its log. It takes each job name once and forgets all when Ray is restarted; the
files do not.
"""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

from ray.job_submission import JobStatus, JobSubmissionClient

from plb_ray.clock import wall_time_s
from plb_ray.cluster.assignment import members, read_assignment
from plb_ray.cluster.retrain_files import RetrainFiles
from plb_ray.cluster.retraining import JobReport, State, as_seen, planned
from plb_ray.errors import BadInputError, JobServerUnavailableError, UnknownRetrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plb_ray.cluster.retraining import Retraining, RetrainPlace, RetrainRequest

COMMAND = (sys.executable, "-P", "-m", "service.retrain_job")
"""What a job runs, with `--state` and `--id` behind it. -P: a folder `models` where Ray happens to be must not hide ours."""

NO_AGENT = "No available agent"
ANOTHER_RAY = "another Ray on this machine may hold the port of its agent, 52365; docs/retraining.md says how both can run"
NO_DASHBOARD = "see that it runs with its dashboard ([ray] job_server, `ray start --include-dashboard true`), then try again"
REQUEST_TIMEOUT_S = 20.0
CANCEL_POLL_S = 0.2
CANCEL_POLLS = 50


class RayRetrainings:
    """Implements `plb_ray.cluster.retrain_port.Retrainings`.

    Args:
        place: see `RetrainPlace`.
        server: the job server.
        command: what a job runs; for clusters where Python lies elsewhere, and for tests.
        now_s: wall time.
        sleep: waits so many seconds between two looks at a job that is to end.
    """

    def __init__(
        self,
        place: RetrainPlace,
        server: JobServer,
        command: tuple[str, ...] = COMMAND,
        now_s: Callable[[], float] = wall_time_s,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._place = place
        self._server = server
        self._command = command
        self._now_s = now_s
        self._sleep = sleep
        self._files = RetrainFiles(place.networks)

    def start(self, request: RetrainRequest) -> Retraining:
        """See `Retrainings`."""
        known = members(read_assignment(self._place.networks))
        asked = planned(request, known, self._place, self._now_s())
        with self._files.starting():
            record = self._to_submit(asked, again=request.again)
            if record is None:
                return self.find(asked.retraining_id)
            self._files.write(record)
            try:
                self._server.submit(record.job_id, self._entrypoint(record.retraining_id))
            except JobServerUnavailableError as error:
                self._files.write(record.ended(State.FAILED, self._now_s(), str(error)))
                raise
            self._files.forget_old()
            return record

    def recent(self) -> tuple[Retraining, ...]:
        """See `Retrainings`. A damaged file is left out."""
        return tuple(sorted(self._all(), key=lambda record: record.submitted_s, reverse=True))

    def find(self, retraining_id: str) -> Retraining:
        """See `Retrainings`."""
        record = self._files.read(retraining_id)
        if record.state.over:
            return record
        job = self._server.report(record.job_id)  # first: a job writes its last word before it ends
        return as_seen(self._files.read(retraining_id), job, self._now_s())

    def recorded(self, retraining_id: str) -> Retraining:
        """Return one as its job has last told, which may have died since; cheap. Raises UnknownRetrainingError."""
        return self._files.read(retraining_id)

    def log(self, retraining_id: str) -> tuple[str, ...]:
        """See `Retrainings`."""
        return tuple(self._server.log(self._files.read(retraining_id).job_id).splitlines())

    def cancel(self, retraining_id: str) -> Retraining:
        """See `Retrainings`."""
        record = self.find(retraining_id)
        if record.state.over:
            return record
        self._server.stop(record.job_id)
        for _ in range(CANCEL_POLLS):
            record = self.find(retraining_id)
            if record.state.over:
                break
            self._sleep(CANCEL_POLL_S)
        return record

    def _to_submit(self, asked: Retraining, *, again: bool) -> Retraining | None:
        """Return the run to submit; None if one runs, or if there is nothing left to do."""
        try:
            before = self.find(asked.retraining_id)
        except UnknownRetrainingError:
            return asked
        if not before.state.over or (before.complete and not again):
            return None
        return before.next_run(self._now_s(), again=again)

    def _all(self) -> Iterator[Retraining]:
        for retraining_id in self._files.ids():
            try:
                yield self.find(retraining_id)
            except (BadInputError, UnknownRetrainingError):
                continue

    def _entrypoint(self, retraining_id: str) -> str:
        return shlex.join((*self._command, "--state", str(self._place.state_dir), "--id", retraining_id))


class JobServer:
    """Ray's job server, with its errors in our words.

    Args:
        address: of the cluster (HOST:PORT, "auto") or of its dashboard (http://HOST:8265).
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connected: JobSubmissionClient | None = None

    def submit(self, job_id: str, entrypoint: str) -> None:
        """Start a job; returns at once. Submitting a name twice is submitting it once."""
        try:
            self._client().submit_job(entrypoint=entrypoint, submission_id=job_id, metadata={"plb": "retraining"})
        except (OSError, RuntimeError) as error:
            if "already exists" not in str(error):
                raise self._in_words(error) from error

    def report(self, job_id: str) -> JobReport | None:
        """Return how a job is; None if the server does not know it."""
        try:
            found = self._client().get_job_info(job_id)
        except (OSError, RuntimeError) as error:
            if _is_unknown(error):
                return None
            raise self._in_words(error) from error
        status = JobStatus(found.status)
        return JobReport(status.is_terminal(), status is JobStatus.STOPPED, _last_words(found.message))

    def log(self, job_id: str) -> str:
        """Return all that a job has written; empty if the server does not know it."""
        try:
            return str(self._client().get_job_logs(job_id))
        except (OSError, RuntimeError) as error:
            if _is_unknown(error):
                return ""
            raise self._in_words(error) from error

    def stop(self, job_id: str) -> None:
        """Let a job end; returns at once. Harmless if it has ended."""
        try:
            self._client().stop_job(job_id)
        except (OSError, RuntimeError) as error:
            if not _is_unknown(error):
                raise self._in_words(error) from error

    def _client(self) -> JobSubmissionClient:
        if self._connected is None:
            try:
                self._connected = _Client(self._address)
            except ValueError as error:
                raise BadInputError(f"{self._address!r} is no address of a Ray cluster: {error}") from error
        return self._connected

    def _in_words(self, error: Exception) -> JobServerUnavailableError:
        self._connected = None  # the next call looks for it again
        remedy = ANOTHER_RAY if NO_AGENT in str(error) else NO_DASHBOARD
        return JobServerUnavailableError(
            f"the job server of Ray at {self._address} does not answer ({_last_words(str(error))}); {remedy}"
        )


class _Client(JobSubmissionClient):
    """Gives up on a server that is silent; Ray's own client waits for ever."""

    def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": REQUEST_TIMEOUT_S, **more})


def _is_unknown(error: Exception) -> bool:
    return "status code 404" in str(error)


def _last_words(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[-1].strip()[:500] if lines else ""
