"""Retrainings as jobs, over a job server in memory: asked twice is once, broken off goes on, cancelled ends."""

import pytest
from retrainings_here import NOW_S, JobServerHere, a_place, finish

from plb_ray.cluster.jobs import JobServer, RayRetrainings
from plb_ray.cluster.retrain_files import RetrainFiles
from plb_ray.cluster.retraining import JobReport, PartState, RetrainRequest, State
from plb_ray.errors import BadInputError, JobServerUnavailableError, UnknownRetrainingError

SHORT = RetrainRequest(horizons=("short",))
AGAIN = RetrainRequest(horizons=("short",), again=True)


@pytest.fixture
def place(tmp_path):
    return a_place(tmp_path / "a state folder")


@pytest.fixture
def server():
    return JobServerHere()


@pytest.fixture
def clock():
    return [NOW_S]


@pytest.fixture
def retrainings(place, server, clock):
    return RayRetrainings(place, server, ("py thon", "-m", "job"), lambda: clock[0], lambda _s: None)


def test_a_request_becomes_a_job(retrainings, server, place):
    """The job is told the state folder and the id, quoted for the shell that runs it."""
    record = retrainings.start(SHORT)
    assert (record.state, record.run, record.fraction) == (State.WAITING, 1, 0.0)
    assert server.entrypoints == [f"'py thon' -m job --state '{place.state_dir}' --id {record.retraining_id}"]
    assert retrainings.find(record.retraining_id) == record


def test_asking_again_joins_the_job_that_runs(retrainings, server):
    """The same request starts nothing while its job lives, not even with `again`."""
    first = retrainings.start(SHORT)
    assert retrainings.start(SHORT) == first
    assert retrainings.start(AGAIN) == first
    assert len(server.jobs) == 1


def test_asking_again_returns_what_is_done(retrainings, server, place):
    """The same request starts nothing when all is done; `again` trains anew, as a job of another name."""
    record = retrainings.start(SHORT)
    finish(place, record)
    assert retrainings.start(SHORT).state is State.DONE
    anew = retrainings.start(AGAIN)
    assert (anew.state, anew.run) == (State.WAITING, 2)
    assert list(server.jobs) == [record.job_id, anew.job_id]
    assert {part.state for part in anew.parts} == {PartState.WAITING}


def test_what_broke_off_goes_on(retrainings, server, place):
    """After the death of its job the same request starts another one; what was done is still done in it."""
    record = retrainings.start(SHORT)
    done = record.started(NOW_S, (0, 600)).with_part(
        type(record.parts[0])("group-0", "short", PartState.DONE, 1.0, attempts=1)
    )
    RetrainFiles(place.networks).write(done)
    server.jobs[record.job_id] = JobReport(over=True, message="Killed")
    assert retrainings.find(record.retraining_id).state is State.FAILED
    onward = retrainings.start(SHORT)
    assert (onward.run, onward.span_s) == (2, (0, 600))
    assert [part.state for part in onward.parts] == [PartState.DONE, PartState.WAITING, PartState.WAITING]


def test_a_restarted_ray_has_forgotten_the_job(retrainings, server, clock):
    """A job that Ray does not know is over; asking again starts another one."""
    record = retrainings.start(SHORT)
    server.jobs.clear()
    clock[0] += 60
    assert "Ray does not know it" in retrainings.find(record.retraining_id).error
    assert retrainings.log(record.retraining_id) == ()
    assert retrainings.start(SHORT).run == 2


def test_cancelling(retrainings, server):
    """A cancelled job is stopped at the server; again it is harmless, and asking for it goes on."""
    record = retrainings.start(SHORT)
    assert retrainings.cancel(record.retraining_id).state is State.CANCELLED
    assert retrainings.cancel(record.retraining_id).state is State.CANCELLED
    assert server.jobs[record.job_id].stopped
    assert retrainings.start(SHORT).run == 2


def test_the_newest_come_first(retrainings, place):
    """All retrainings are listed; a damaged file is left out."""
    first = retrainings.start(SHORT)
    second = RayRetrainings(place, JobServerHere(), now_s=lambda: NOW_S + 60).start(RetrainRequest(horizons=("medium",)))
    (place.networks / "retrain" / "retrain-0.json").write_text("{")
    finish(place, second)
    assert [record.retraining_id for record in retrainings.recent()] == [second.retraining_id, first.retraining_id]


def test_the_log_is_that_of_the_present_run(retrainings):
    """Lines come from the job server, by the name of the run."""
    record = retrainings.start(SHORT)
    assert retrainings.log(record.retraining_id) == (f"first of {record.job_id}", "second")


def test_without_a_job_server(retrainings, server):
    """The refusal is one that is worth repeating, and repeating it works once the server is back."""
    server.away = True
    with pytest.raises(JobServerUnavailableError):
        retrainings.start(SHORT)
    server.away = False
    record = retrainings.start(SHORT)
    assert (record.run, record.state) == (2, State.WAITING)


def test_unknown_names(retrainings):
    """Neither looking, nor the log, nor cancelling knows a name that was never given."""
    for call in (retrainings.find, retrainings.log, retrainings.cancel):
        with pytest.raises(UnknownRetrainingError):
            call("retrain-0")


def test_an_unknown_group_starts_nothing(retrainings, server):
    """A refusal leaves nothing behind."""
    with pytest.raises(BadInputError, match="known are group-0, group-1, hot-0"):
        retrainings.start(RetrainRequest(groups=("nobody",)))
    assert (retrainings.recent(), server.jobs) == ((), {})


def test_nobody_at_the_address():
    """An address where nothing listens is told with what to do; one that is none at all is bad input."""
    with pytest.raises(JobServerUnavailableError, match=r"http://127\.0\.0\.1:9 does not answer .*job_server"):
        JobServer("http://127.0.0.1:9").report("x")
