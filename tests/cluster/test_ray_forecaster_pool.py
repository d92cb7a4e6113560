import asyncio
import os
import signal
import threading
from functools import partial

import numpy as np
import pytest
import ray

from models.baseline import seasonal_naive
from models.factory import make_forecaster
from models.params import NetworkParams
from models.registry import VersionFolder
from plb_ray.cluster.forecasters import PoolSettings, RayForecasterPool, merge
from plb_ray.domain.rates import medium_horizon
from plb_ray.errors import NoForecastError
from tests.forecast.synthetic import DAY, SHORT, STEP_S, FlatForecaster, history_of, seasonal_history

pytestmark = pytest.mark.ray

MEDIUM = medium_horizon(STEP_S)
QUICK = NetworkParams(lookback=12, margin=2, hidden=16, steps=15, batch=64, budget_s=60.0)
SETTINGS = PoolSettings(actors=2, dedicated_hot=1, timeout_s=10.0)


async def eventually(condition, seconds=300):
    """Poll an async condition until it holds; return what it returned."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.05)
    return value


async def ready(pool, horizons):
    """Return the statuses once every group of every horizon has ended its training."""
    status = await pool.training()
    ended = all(one.done + one.failed >= one.total and one.fraction == 1.0 for one in status)
    return status if len(status) == horizons and ended else ()


async def pid_of(pool, index):
    return await asyncio.wrap_future(pool._links[index].handle.hello.remote().future())


class Sleepy(FlatForecaster):
    """Predicts only after far longer than any timeout here."""

    def predict(self, _):
        os.read(os.pipe()[0], 1)  # never written to: blocks until the actor is ended


class Unteachable(FlatForecaster):
    """Fails to train in the group with the odd seed."""

    def fit(self, history, horizon, on_progress=None, parent=None):
        if self.seed % 2:
            raise ZeroDivisionError("no lesson today")
        super().fit(history, horizon, on_progress, parent)


@pytest.mark.timeout(900)  # two processes import torch, one of them twice
async def test_networks_are_trained_serve_and_survive_the_death_of_their_actor(ray_with_fakes, tmp_path):
    """The whole life of the pool with real networks.

    The baseline answers at once; both horizons are trained, the hottest order param apart; the forecasts are then the
    networks'; after SIGKILL of an actor every order param still has a forecast, and the actor comes back from its artifacts
    with the same networks.
    """
    history = seasonal_history(days=21)
    pool = RayForecasterPool(partial(make_forecaster, params=QUICK), seasonal_naive, tmp_path, seed=1, settings=SETTINGS)
    pool.start_training(history, (SHORT, MEDIUM))
    assert set((await pool.forecast(history, SHORT)).sources) == {"seasonal_naive"}

    status = await eventually(lambda: ready(pool, 2))
    assert [(one.horizon, one.done, one.total, one.failed) for one in status] == [("short", 3, 3, 0), ("medium", 3, 3, 0)]
    before = {horizon: await pool.forecast(history, horizon) for horizon in (SHORT, MEDIUM)}
    for horizon, forecast in before.items():
        assert (forecast.order_params, forecast.horizon) == (history.order_params, horizon)
        assert np.isfinite(forecast.messages_per_s).all()
    assert VersionFolder(tmp_path / "hot-0" / "short", lambda: 0.0).versions() == ("v0001",)

    old_pid = await pid_of(pool, 0)
    os.kill(old_pid, signal.SIGKILL)
    during = await pool.forecast(history, SHORT)
    assert during.order_params == history.order_params
    assert np.isfinite(during.messages_per_s).all()

    async def same_as_before():
        forecast = await pool.forecast(history, SHORT)
        same = forecast.sources == before[SHORT].sources
        return same and np.array_equal(forecast.messages_per_s, before[SHORT].messages_per_s)

    async def is_back():
        return pool._links[0]._is_up() and await same_as_before()

    await eventually(is_back)
    assert await pid_of(pool, 0) != old_pid
    await pool.close()


class Persevering(FlatForecaster):
    """Writes its process id, then trains once there is a file named "go" beside it."""

    folder = None

    def fit(self, history, horizon, on_progress=None, parent=None):
        with (self.folder / "pids").open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not (self.folder / "go").exists():
            threading.Event().wait(0.02)
        super().fit(history, horizon, on_progress, parent)


async def test_a_training_whose_actor_dies_is_begun_again(ray_with_fakes, tmp_path):
    """SIGKILL in the middle of training: the actor comes back, trains what it was told to, and serves it."""
    Persevering.folder = tmp_path
    history = seasonal_history(order_params=4, days=3)
    pool = RayForecasterPool(Persevering, seasonal_naive, tmp_path / "a", settings=PoolSettings(actors=1, timeout_s=10.0))
    pool.start_training(history, (SHORT,))

    def pids():
        return (tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else []

    async def begun(times):
        await pool.training()  # as the control loop does at every tick; it is what notices the death
        return len(pids()) == times

    await eventually(lambda: begun(1))
    os.kill(int(pids()[0]), signal.SIGKILL)
    await eventually(lambda: begun(2))
    assert pids()[0] != pids()[1]
    (tmp_path / "go").touch()
    (status,) = await eventually(lambda: ready(pool, 1))
    assert (status.done, status.failed) == (1, 0)
    assert set((await pool.forecast(history, SHORT)).sources) == {"flat"}
    await pool.close()


async def test_a_new_pool_serves_the_artifacts_of_an_older_one(ray_with_fakes, tmp_path):
    """What was trained is served without training, with the same groups, dedicated one included."""
    history = seasonal_history(order_params=5, days=3)
    pool = RayForecasterPool(FlatForecaster, seasonal_naive, tmp_path, settings=SETTINGS)
    pool.start_training(history, (SHORT,))
    await eventually(lambda: ready(pool, 1))
    before = await pool.forecast(history, SHORT)
    await pool.close()
    again = RayForecasterPool(FlatForecaster, seasonal_naive, tmp_path, settings=SETTINGS)

    async def served():
        return set((await again.forecast(history, SHORT)).sources) == {"flat"}

    await eventually(served)
    np.testing.assert_array_equal((await again.forecast(history, SHORT)).messages_per_s, before.messages_per_s)
    await again.close()


async def test_rows_come_back_in_the_order_asked_for(ray_with_fakes, tmp_path):
    """Groups, actors and newcomers do not mix up rows: each order param's forecast is its own mean."""
    rates = np.arange(1, 9)[:, None] * np.ones((8, 3 * DAY))
    pool = RayForecasterPool(FlatForecaster, seasonal_naive, tmp_path, settings=SETTINGS)
    pool.start_training(history_of(rates[:7]), (SHORT,))
    await eventually(lambda: ready(pool, 1))
    forecast = await pool.forecast(history_of(rates), SHORT)
    assert set(forecast.sources) == {"flat"}
    np.testing.assert_allclose(forecast.messages_per_s[:, 0, 0], np.arange(1, 9))
    await pool.close()


async def test_a_late_actor_is_waited_for_once(ray_with_fakes, tmp_path):
    """An actor that never answers costs one timeout; the next call does not wait, and the baseline answers both."""
    history = seasonal_history(order_params=4, days=3)
    pool = RayForecasterPool(Sleepy, seasonal_naive, tmp_path, settings=PoolSettings(actors=1, timeout_s=0.3))
    pool.start_training(history, (SHORT,))
    await eventually(lambda: ready(pool, 1))
    assert set((await pool.forecast(history, SHORT)).sources) == {"seasonal_naive"}
    async with asyncio.timeout(0.25):
        assert set((await pool.forecast(history, SHORT)).sources) == {"seasonal_naive"}
    await pool.close()


async def test_one_groups_failure_is_told_and_costs_only_its_rows(ray_with_fakes, tmp_path):
    """A group whose training raises is counted as failed and served by the baseline; the other has its network."""
    history = seasonal_history(order_params=4, days=3)
    pool = RayForecasterPool(Unteachable, seasonal_naive, tmp_path, settings=PoolSettings(actors=2, timeout_s=10.0))
    pool.start_training(history, (SHORT,))
    (status,) = await eventually(lambda: ready(pool, 1))
    assert (status.done, status.failed, status.message) == (1, 1, "failed: no lesson today")
    sources = (await pool.forecast(history, SHORT)).sources
    assert sorted(sources) == ["flat", "flat", "seasonal_naive", "seasonal_naive"]
    await pool.close()


class Unmakeable(FlatForecaster):
    """Cannot be made in an actor, only here."""

    home = os.getpid()

    def __init__(self, seed: int = 0) -> None:
        if os.getpid() != self.home:
            raise ZeroDivisionError("not on this machine")
        super().__init__(seed)


async def test_an_actor_that_cannot_start_is_told(ray_with_fakes, tmp_path):
    """If the actors die in their constructor, the status counts their groups as failed and says why; the baseline serves."""
    history = seasonal_history(order_params=4, days=3)
    (tmp_path / "group-0" / "short").mkdir(parents=True)  # something to load, for which a forecaster is made
    pool = RayForecasterPool(Unmakeable, seasonal_naive, tmp_path, settings=PoolSettings(actors=1, timeout_s=10.0))
    pool.start_training(history, (SHORT,))

    async def told():
        (status,) = await pool.training()
        return status if status.failed else None

    status = await eventually(told)
    assert (status.done, status.failed) == (0, 1)
    assert "not on this machine" in status.message
    assert set((await pool.forecast(history, SHORT)).sources) == {"seasonal_naive"}
    await pool.close()


async def test_no_history_is_no_forecast(ray_with_fakes, tmp_path):
    """An empty history is refused with the error of the port."""
    pool = RayForecasterPool(FlatForecaster, seasonal_naive, tmp_path, settings=PoolSettings(actors=1))
    with pytest.raises(NoForecastError):
        await pool.forecast(history_of(np.zeros((2, 0))), SHORT)
    await pool.close()


async def test_a_damaged_assignment_is_made_anew(ray_with_fakes, tmp_path, caplog):
    """A cut-off groups.json is told in the log and replaced by a whole one."""
    (tmp_path / "groups.json").write_text('{"op-0": "gro')
    pool = RayForecasterPool(FlatForecaster, seasonal_naive, tmp_path, settings=PoolSettings(actors=1))
    pool.start_training(seasonal_history(order_params=2, days=3), (SHORT,))
    assert "grouped anew" in caplog.text
    assert '"op-1": "group-0"' in (tmp_path / "groups.json").read_text()
    await pool.close()


def test_a_pool_may_live_in_another_actor(ray_with_fakes, tmp_path):
    """Created inside an actor, on that actor's event loop, the pool trains and serves as in the driver."""

    class Owner:
        async def work(self, folder):
            history = seasonal_history(order_params=4, days=3)
            pool = RayForecasterPool(FlatForecaster, seasonal_naive, folder, settings=PoolSettings(actors=1, timeout_s=10.0))
            pool.start_training(history, (SHORT,))
            await eventually(lambda: ready(pool, 1))
            sources = (await pool.forecast(history, SHORT)).sources
            await pool.close()
            return sources

    owner = ray.remote(num_cpus=0)(Owner).remote()
    assert ray.get(owner.work.remote(tmp_path), timeout=60) == ("flat",) * 4
    ray.kill(owner)


def test_merging_puts_rows_where_they_belong():
    """Parts in any order come out as one forecast in the order asked for, sources included."""
    history = seasonal_history(order_params=4, days=3)
    whole = seasonal_naive(history, SHORT)
    parts = [seasonal_naive(history.rows(names), SHORT) for names in (("op-3", "op-1"), ("op-2", "op-0"))]
    merged = merge(history.order_params, parts)
    np.testing.assert_array_equal(merged.messages_per_s, whole.messages_per_s)
    assert merged.sources == whole.sources
