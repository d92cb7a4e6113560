"""Networks that a retraining job writes are served by the pools without a restart; no Ray is started here."""

import asyncio

import numpy as np
import pytest

from models.baseline import seasonal_naive
from models.pool import LocalForecasterPool
from plb_ray.cluster.forecaster_actor import ForecasterActor
from plb_ray.cluster.late_artifacts import LOOK_EVERY_S, LateArtifacts
from plb_ray.cluster.retrain_files import training_lock
from tests.forecast.synthetic import SHORT, FlatForecaster, seasonal_history

HISTORY = seasonal_history(order_params=2, days=3)


class Time:
    """A clock that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def write_artifact(folder) -> None:
    """Write what a job would."""
    forecaster = FlatForecaster()
    forecaster.fit(HISTORY, SHORT)
    forecaster.save(folder)


@pytest.fixture
def time():
    return Time()


def test_a_folder_is_looked_at_now_and_then(tmp_path, time):
    """Not more often than the time between looks, and again only when something has changed in it."""
    late = LateArtifacts(time, every_s=10.0)
    folder = tmp_path / "short"
    assert not late.worth_loading(folder)
    folder.mkdir()
    time.now_s += 9.9
    assert not late.worth_loading(folder)
    time.now_s += 0.1
    assert late.worth_loading(folder)
    time.now_s += 10.0
    assert not late.worth_loading(folder)
    (folder / "new").touch()
    time.now_s += 10.0
    assert late.worth_loading(folder)


def asked(actor):
    return [forecast.sources for forecast in actor.forecast({"group-0": HISTORY}, SHORT)]


def test_an_actor_serves_what_a_job_has_trained(tmp_path, time):
    """A group without a network gets the one that appears in its folder, at the next look."""
    actor = ForecasterActor(FlatForecaster, tmp_path, 0, 1, 0, time)
    assert asked(actor) == []
    write_artifact(tmp_path / "group-0" / "short")
    assert asked(actor) == []
    time.now_s += LOOK_EVERY_S
    assert asked(actor) == [("flat", "flat")]
    assert actor.progress()["group-0", "short"].ready


def test_an_actor_says_once_that_an_artifact_cannot_be_read(tmp_path, time, caplog):
    """A damaged artifact costs one line of the log, not one per look; when it is written anew it serves."""
    folder = tmp_path / "group-0" / "short"
    actor = ForecasterActor(FlatForecaster, tmp_path, 0, 1, 0, time)
    folder.mkdir(parents=True)
    for _ in range(3):
        time.now_s += LOOK_EVERY_S
        assert asked(actor) == []
    assert len(caplog.records) == 1
    folder.rmdir()
    write_artifact(folder)
    time.now_s += LOOK_EVERY_S
    assert asked(actor) == [("flat", "flat")]


def test_files_of_retrainings_are_not_taken_for_networks(tmp_path, time):
    """An actor that starts beside them loads the groups and nothing else."""
    write_artifact(tmp_path / "hot-0" / "short")
    with training_lock(tmp_path, "group-0", "short"):
        actor = ForecasterActor(FlatForecaster, tmp_path, 0, 1, 0, time)
    assert list(actor.progress()) == [("hot-0", "short")]


def test_an_actor_leaves_to_a_job_what_that_is_training(tmp_path, time):
    """What a job trains is not trained here at once, is no failure, and says so; afterwards it is trained."""
    actor = ForecasterActor(FlatForecaster, tmp_path, 0, 1, 0, time)
    with training_lock(tmp_path, "group-0", "short"):
        actor.train("group-0", 1, HISTORY, SHORT)
    left = actor.progress()["group-0", "short"]
    assert (left.ready, left.failure, left.elsewhere, left.fraction) == (False, "", True, 1.0)
    actor.train("group-0", 1, HISTORY, SHORT)
    assert actor.progress()["group-0", "short"].ready


async def test_the_pool_in_this_process_does_the_same(tmp_path, time):
    """Without Ray, too, a network that another process has written is served at the next look."""
    pool = LocalForecasterPool(FlatForecaster, seasonal_naive, tmp_path, now_s=time)
    assert set((await pool.forecast(HISTORY, SHORT)).sources) == {"seasonal_naive"}
    await asyncio.to_thread(write_artifact, tmp_path / "short")
    time.now_s += LOOK_EVERY_S
    forecast = await pool.forecast(HISTORY, SHORT)
    assert set(forecast.sources) == {"flat"}
    assert np.isfinite(forecast.messages_per_s).all()
    await pool.close()
