"""One global network for a group of order params and one horizon. What keeps it honest is in `models.guarded`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, LEVELS, WEEK_S, make_forecast, on_grid
from models.params import default_params, params_from
from models.windows import WEEK_LAGS, Seen, Windows, WindowShape
from plb_ray.clock import monotonic_s
from plb_ray.domain.rates import Horizon
from plb_ray.errors import BadInputError, NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from neuralforecast.models.nhits import NHITS

    from models.params import NetworkParams
    from plb_ray.domain.rates import Forecast, RateHistory

SOURCE = "neural"
FORMAT = 1
MANIFEST = "network.json"
WEIGHTS = "weights.pt"
ORIGINS_MIN = 24
"""Fewer windows than these per order param teach nothing."""


@dataclass(frozen=True)
class _Fitted:
    """A trained network and all that is needed to feed it."""

    network: NHITS
    shape: WindowShape
    horizon: Horizon
    params: NetworkParams
    seen: Seen


class NeuralForecaster:
    """NHITS over a group of order params. Implements `plb_ray.control.ports.Forecaster`.

    Args:
        params: None = the defaults for the horizon that `fit` is given.
        seed: replaces the seed of `params`.
        elapsed_from: a clock whose differences are seconds; bounds the training time.
    """

    def __init__(
        self, params: NetworkParams | None = None, seed: int = 1, elapsed_from: Callable[[], float] = monotonic_s
    ) -> None:
        self._given = params
        self._seed = seed
        self._read_s = elapsed_from
        self._fitted: _Fitted | None = None

    @property
    def lookback_s(self) -> int:
        """See `Forecaster`: four weeks of profile and some days to read them against."""
        return WEEK_LAGS * WEEK_S + 4 * DAY_S

    @property
    def training_s(self) -> int:
        """See `Forecaster`: the timetable of ten weeks ago is another one."""
        return 10 * WEEK_S

    def fit(self, history: RateHistory, horizon: Horizon, on_progress: Callable[[float], None] | None = None) -> None:
        """See `Forecaster`."""
        from models import network as door  # noqa: PLC0415 (importing torch costs seconds)

        params = replace(self._given or default_params(horizon.name), seed=self._seed)
        shape = WindowShape(params.lookback, horizon.steps, params.margin)
        windows = Windows(on_grid(history.last(self.training_s // history.step_s), horizon), shape)
        origins = _origins(windows)
        seen = windows.seen(*origins)
        began_s = self._read_s()
        training = door.Training(origins, lambda: self._read_s() - began_s, on_progress or _ignore)
        network = door.build(shape, params)
        door.train(network, windows.limited_to(seen), params, training)
        self._fitted = _Fitted(network, shape, horizon, params, seen)

    def predict(self, history: RateHistory) -> Forecast:
        """See `Forecaster`. Rows may be non-finite if training went wrong; `models.guarded` replaces them."""
        from models import network as door  # noqa: PLC0415 (the same)

        fitted = self._trained()
        grid = on_grid(history.last(self.lookback_s // history.step_s), fitted.horizon)
        windows = Windows(grid, fitted.shape, fitted.seen)
        rows = np.arange(len(grid.order_params))
        inputs, scale = windows.inputs(rows, np.full(len(rows), windows.steps))
        return make_forecast(grid, fitted.horizon, door.run(fitted.network, inputs, scale, fitted.params.threads), SOURCE)

    def save(self, folder: Path) -> None:
        """See `Forecaster`. Into an empty folder; `models.guarded` makes replacing one atomic."""
        from models import network as door  # noqa: PLC0415 (the same)

        fitted = self._trained()
        folder.mkdir(parents=True, exist_ok=True)
        door.save_weights(fitted.network, folder / WEIGHTS)
        made_for = {name: asdict(getattr(fitted, name)) for name in ("horizon", "params", "seen")}
        manifest = {"format": FORMAT, "kind": "nhits", "levels": LEVELS, **made_for}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """See `Forecaster`."""
        from models import network as door  # noqa: PLC0415 (the same)

        manifest = _read_manifest(folder)
        try:
            horizon, seen, params = Horizon(**manifest["horizon"]), Seen(**manifest["seen"]), params_from(manifest["params"])
            shape = WindowShape(params.lookback, horizon.steps, params.margin)
            network = door.build(shape, params)
            door.load_weights(network, folder / WEIGHTS)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, EOFError, BadInputError) as error:
            raise NoForecastError(f"the artifact in {folder} cannot be read ({error}); train again") from error
        self._fitted = _Fitted(network, shape, horizon, params, seen)

    def _trained(self) -> _Fitted:
        if self._fitted is None:
            raise NoForecastError("the network was not trained yet")
        return self._fitted


def _origins(windows: Windows) -> tuple[int, int]:
    """Return [first, end) of the origins to learn from: past the first week, in which the profiles are missing.

    A short history gives up at most its first quarter.
    """
    first = max(1, min(windows.steps // 4, WEEK_S // windows.step_s))
    end = windows.steps - windows.shape.horizon + 1
    if end - first < ORIGINS_MIN:
        raise NoForecastError(
            f"{windows.steps} steps of {windows.step_s} s are too short a history to train on; "
            f"{ORIGINS_MIN + windows.shape.horizon} is about the least"
        )
    return first, end


def _read_manifest(folder: Path) -> dict[str, dict[str, object]]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
    if manifest.get("format") != FORMAT or manifest.get("levels") != list(LEVELS):
        raise NoForecastError(f"the artifact in {folder} was made for other settings; train again")
    return manifest


def _ignore(_: float) -> None:
    """Take no notice of progress."""
