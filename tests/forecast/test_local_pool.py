import asyncio
import threading

import numpy as np
import pytest

from models.baseline import seasonal_naive
from models.pool import LocalForecasterPool
from plb_ray.domain.rates import medium_horizon
from plb_ray.errors import NoForecastError
from tests.forecast.synthetic import DAY, SHORT, STEP_S, FlatForecaster, history_of, seasonal_history

MEDIUM = medium_horizon(STEP_S)


async def trained(pool, horizons=1):
    """Wait until every training has ended."""
    async with asyncio.timeout(20):
        while True:
            status = await pool.training()
            if len(status) == horizons and all(one.done + one.failed for one in status):
                return status
            await asyncio.sleep(0.005)


class Blocked(FlatForecaster):
    """Trains only when told to."""

    go = threading.Event()

    def fit(self, history, horizon, on_progress=None, parent=None):
        assert self.go.wait(20)
        super().fit(history, horizon, on_progress, parent)


async def test_the_baseline_answers_until_the_network_is_ready():
    """While training waits the baseline's forecast comes out; after it the network's."""
    Blocked.go = threading.Event()
    pool = LocalForecasterPool(Blocked, seasonal_naive)
    history = seasonal_history(days=3)
    pool.start_training(history, (SHORT,))
    forecast = await pool.forecast(history, SHORT)
    assert set(forecast.sources) == {"seasonal_naive"}
    Blocked.go.set()
    (status,) = await trained(pool)
    assert (status.horizon, status.done, status.total, status.fraction) == ("short", 1, 1, 1.0)
    assert set((await pool.forecast(history, SHORT)).sources) == {"flat"}
    await pool.close()


async def test_a_training_that_waits_is_not_begun_twice():
    """Told again while the first training is under way, the pool trains once."""
    trainings = []

    class Counting(Blocked):
        def fit(self, history, horizon, on_progress=None, parent=None):
            trainings.append(horizon)
            super().fit(history, horizon, on_progress, parent)

    Blocked.go = threading.Event()
    pool = LocalForecasterPool(Counting, seasonal_naive)
    for _ in range(3):
        pool.start_training(seasonal_history(days=3), (SHORT,))
    Blocked.go.set()
    await trained(pool)
    await pool.close()
    assert trainings == [SHORT]


async def test_each_horizon_has_its_own_network(tmp_path):
    """Both are trained, kept as artifacts, and a new pool serves them at once."""
    history = seasonal_history(days=3)
    pool = LocalForecasterPool(FlatForecaster, seasonal_naive, tmp_path)
    pool.start_training(history, (SHORT, MEDIUM))
    await trained(pool, 2)
    await pool.close()
    again = LocalForecasterPool(FlatForecaster, seasonal_naive, tmp_path)
    for horizon in (SHORT, MEDIUM):
        forecast = await again.forecast(history, horizon)
        assert (set(forecast.sources), forecast.horizon) == ({"flat"}, horizon)
    await again.close()


async def test_a_failed_training_is_told_and_the_baseline_serves():
    """A history too short to learn from fails the training, not the forecast."""
    pool = LocalForecasterPool(FlatForecaster, seasonal_naive)
    pool.start_training(history_of(np.ones((2, 3))), (SHORT,))
    (status,) = await trained(pool)
    assert (status.done, status.failed, status.message) == (0, 1, "failed: too short")
    assert set((await pool.forecast(history_of(np.ones((2, 3))), SHORT)).sources) == {"seasonal_naive"}
    await pool.close()


async def test_a_network_that_raises_is_replaced_by_the_baseline(caplog):
    """An exception in predict is logged and the baseline answers."""

    class Broken(FlatForecaster):
        def predict(self, _):
            raise ZeroDivisionError

    pool = LocalForecasterPool(Broken, seasonal_naive)
    pool.start_training(seasonal_history(days=3), (SHORT,))
    await trained(pool)
    assert set((await pool.forecast(seasonal_history(days=3), SHORT)).sources) == {"seasonal_naive"}
    assert "network failed" in caplog.text
    await pool.close()


async def test_another_horizon_than_the_trained_one_is_the_baselines():
    """A network trained for other steps does not answer for these."""
    pool = LocalForecasterPool(FlatForecaster, seasonal_naive)
    pool.start_training(seasonal_history(days=3), (SHORT,))
    await trained(pool)
    finer = SHORT.__class__("short", 600, 2)
    assert set((await pool.forecast(history_of(np.ones((1, DAY)), step_s=600), finer)).sources) == {"seasonal_naive"}
    await pool.close()


async def test_no_history_is_no_forecast():
    """An empty history is refused."""
    pool = LocalForecasterPool(FlatForecaster, seasonal_naive)
    with pytest.raises(NoForecastError):
        await pool.forecast(history_of(np.zeros((1, 0))), SHORT)
    await pool.close()
