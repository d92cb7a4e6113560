"""A retraining as a real Ray job on a real cluster of two nodes: one dies, the job dies, a job is cancelled."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from retrainings_here import GROUPS, a_place

from plb_ray.clock import monotonic_s
from plb_ray.cluster.jobs import JobServer, RayRetrainings
from plb_ray.cluster.retraining import PartState, RetrainRequest, State
from plb_ray.history.store import HistoryLimits, HistoryStore
from tests.forecast.synthetic import STEP_S, seasonal_history

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
SHORT = RetrainRequest(horizons=("short",))
AGAIN = RetrainRequest(horizons=("short",), again=True)


@pytest.fixture(scope="module")
def cluster():
    """Yield a process that prints the URL of its job server, and whose second node dies at the first line it reads."""
    command = [sys.executable, str(HERE / "two_nodes.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def eventually(condition, seconds=60.0):
    """Return what a condition returns once it is true."""
    deadline_s = monotonic_s() + seconds
    while not (value := condition()):
        assert monotonic_s() < deadline_s, "it did not happen in time"
        threading.Event().wait(0.1)
    return value


def a_state(folder: Path) -> Path:
    """Return a state folder with three days of history, whose balancer has made its groups."""
    store = HistoryStore.open(folder / "history", STEP_S, HistoryLimits())
    store.import_history(seasonal_history(order_params=len(GROUPS), days=3))
    store.close()
    return folder


def test_the_life_of_a_retraining(cluster, tmp_path):
    """Parts are trained in niced processes on both nodes; what a dying node took along is trained on the other one.

    Asked again it is joined, and done it is done; anew it runs, can be cancelled, goes on, survives the death of its job.
    """
    state = a_state(tmp_path)
    place = a_place(state)
    server = JobServer(cluster.stdout.readline().strip())
    retrainings = RayRetrainings(place, server, (sys.executable, str(HERE / "fake_job.py")))

    def begun():
        return [line.split() for line in (state / "begun").read_text().splitlines()] if (state / "begun").exists() else []

    def found():
        return retrainings.find(record.retraining_id)

    def said():
        """Return the job's own lines; Ray writes into the same log."""
        return [line for line in retrainings.log(record.retraining_id) if f"id={record.retraining_id}" in line]

    record = retrainings.start(SHORT)
    assert retrainings.start(SHORT).job_id == record.job_id
    eventually(lambda: len(begun()) == 2)
    assert {niceness for _, _, niceness in begun()} == {"19"}
    assert len({pid for _, pid, _ in begun()}) == 2
    seen = eventually(lambda: (now := found()).fraction > 0 and now)
    assert seen.state is State.RUNNING

    cluster.stdin.write("lose a node\n")
    cluster.stdin.flush()
    eventually(lambda: sum(psutil.pid_exists(int(pid)) for _, pid, _ in begun()) == 1)
    (state / "go").touch()
    done = eventually(lambda: (now := found()).state.over and now)
    assert (done.state, done.complete, done.error) == (State.DONE, True, "")
    assert sorted(part.attempts for part in done.parts) == [1, 1, 2]
    assert all((place.networks / part.group / "short" / "flat.json").is_file() for part in done.parts)
    eventually(lambda: said()[-1].endswith("state=done failed=0 skipped=0"))  # said after the record is kept
    assert any("state=waiting attempt=1 note=" in line for line in said())
    assert retrainings.start(SHORT) == done

    (state / "go").unlink()
    (state / "begun").unlink()
    assert retrainings.start(AGAIN).run == 2
    eventually(begun)
    cancelled = retrainings.cancel(record.retraining_id)
    assert (cancelled.state, {part.state for part in cancelled.parts}) == (State.CANCELLED, {PartState.WAITING})

    (state / "begun").unlink()
    assert retrainings.start(SHORT).run == 3
    eventually(begun)
    (job,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if record.retraining_id in (process.info["cmdline"] or ()) and "fake_job.py" in process.info["cmdline"][1]
    )
    os.kill(job.pid, signal.SIGKILL)
    died = eventually(lambda: (now := found()).state.over and now)
    assert (died.state, "ask for it again" in died.error) == (State.FAILED, True)

    (state / "go").touch()
    assert retrainings.start(SHORT).run == 4
    again = eventually(lambda: (now := found()).state.over and now)
    assert (again.state, again.complete, again.span_s) == (State.DONE, True, died.span_s)
    assert np.diff(again.span_s) == [3 * 86_400]
