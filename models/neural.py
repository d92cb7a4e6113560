"""One global network for a group of order params and one horizon. What weighs it against others is `models.ensemble`."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, LEVELS, RATE_MAX_PER_S, WEEK_S, pinball, tail_steps
from models.params import OWN_EFFORTS, OWN_GAIN, default_params, params_from
from models.progress import Share
from models.windows import WEEK_LAGS, Seen, Windows, WindowShape
from plb_ray.clock import monotonic_s
from plb_ray.errors import BadInputError, NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from neuralforecast.common._base_model import BaseModel
    from numpy.typing import NDArray

    from models.params import NetworkParams
    from plb_ray.domain.rates import Horizon, RateHistory

FORMAT = 2
MANIFEST = "network.json"
WEIGHTS = "weights.pt"
ORIGINS_MIN = 24
"""Fewer windows than these per order param teach nothing."""

KINDS_MAX = 8
"""Kinds of events that a network may learn: those that occur most often."""

OWN_ORIGINS = 48
"""Origins of the tail on which it is seen how many steps help to make a network an order param's own."""

OWN_WORK = sum(OWN_EFFORTS) + max(OWN_EFFORTS)
"""Steps that take the tries and the most that may follow."""

BATCH = 8192
"""Windows that are predicted in one tensor; bounds the memory to some 100 MB."""


@dataclass(frozen=True)
class _Fitted:
    """A trained network and all that is needed to feed it."""

    network: BaseModel
    shape: WindowShape
    horizon: Horizon
    params: NetworkParams
    seen: Seen


class NeuralForecaster:
    """A network of one kind over a group of order params. Implements `models.candidate.Member`.

    Its quantiles of a row are NaN if training went wrong; the ensemble replaces such rows.

    Args:
        kind: nhits, tide or patchtst.
        params: None = the defaults for the kind and the horizon that `fit` is given.
        seed: replaces the seed of `params`.
        elapsed_from: a clock whose differences are seconds; bounds the training time.
        name: to tell it from another network of its kind.
    """

    def __init__(
        self,
        kind: str = "nhits",
        params: NetworkParams | None = None,
        seed: int = 1,
        elapsed_from: Callable[[], float] = monotonic_s,
        name: str = "",
    ) -> None:
        self.name = name or kind
        self.made_for = ""
        self._kind = kind
        self._given = params
        self._seed = seed
        self._read_s = elapsed_from
        self._fitted: _Fitted | None = None

    @property
    def lookback_s(self) -> int:
        """See `Candidate`: four weeks of profile and some days to read them against."""
        return WEEK_LAGS * WEEK_S + 4 * DAY_S

    @property
    def training_s(self) -> int:
        """See `Candidate`: the timetable of ten weeks ago is another one."""
        return 10 * WEEK_S

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:
        """See `Candidate`."""
        from models import network as door  # noqa: PLC0415 (importing torch costs seconds)

        params = replace(self._given or default_params(self._kind, horizon.name), seed=self._seed)
        grid = grid.last(self.training_s // grid.step_s)
        shape = WindowShape(params.lookback, horizon.steps, params.margin, _kinds(grid))
        windows = Windows(grid, shape)
        seen = windows.seen(*_origins(windows))
        fitted = _Fitted(door.build(self._kind, shape, params), shape, horizon, params, seen)
        self._train(fitted, windows, _origins(windows), params, on_progress)
        self._fitted = fitted

    def learn_on(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: some more steps, smaller ones, from the weights as they are. Kinds of events stay those of `fit`."""
        windows = self._windows(grid)
        self._fitted = self._further(windows, _origins(windows), self._trained().params.going_on(), on_progress)

    def specialise(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: as many steps as helped foresee the tail of the grid; none if none did, or there is too little."""
        windows, horizon = self._windows(grid), self._trained().horizon
        first, end = _origins(windows)
        cut = end - tail_steps(windows.steps, grid.step_s, horizon)
        if cut - horizon.steps - first < ORIGINS_MIN:
            on_progress(1.0)
            return
        tail = np.unique(np.linspace(cut, end - 1, OWN_ORIGINS).astype(np.intp))
        best, lowest, spent = 0, math.inf, 0
        for steps in OWN_EFFORTS:
            tell = Share(on_progress, spent / OWN_WORK, (spent + steps) / OWN_WORK)
            made = self._own(windows, (first, cut - horizon.steps), steps, tell)
            loss, spent = _loss_of(made, windows, tail), spent + steps
            if loss < lowest * (1.0 - OWN_GAIN):
                best, lowest = steps, loss
        self._fitted = self._own(windows, (first, end), best, Share(on_progress, spent / OWN_WORK, 1.0))

    def _own(self, windows: Windows, origins: tuple[int, int], steps: int, on_progress: Callable[[float], None]) -> _Fitted:
        """Return a copy of the network that has made so many steps more; the same network for none."""
        if not steps:
            on_progress(1.0)
            return self._trained()
        return self._further(windows, origins, self._trained().params.specialising(steps), on_progress)

    def _windows(self, grid: RateHistory) -> Windows:
        return Windows(grid.last(self.training_s // grid.step_s), self._trained().shape)

    def _further(
        self, windows: Windows, origins: tuple[int, int], params: NetworkParams, on_progress: Callable[[float], None]
    ) -> _Fitted:
        """Return a copy of the network that has learnt on."""
        before = self._trained()
        further = replace(before, network=copy.deepcopy(before.network), seen=windows.seen(*origins))
        self._train(further, windows, origins, params, on_progress)
        return further

    def _train(
        self,
        fitted: _Fitted,
        windows: Windows,
        origins: tuple[int, int],
        params: NetworkParams,
        on_progress: Callable[[float], None],
    ) -> None:
        from models import network as door  # noqa: PLC0415 (the same)

        began_s = self._read_s()
        training = door.Training(origins, lambda: self._read_s() - began_s, on_progress)
        door.train(fitted.network, windows.limited_to(fitted.seen), params, training)

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Candidate`. All order params of an origin go through the network in tensors of up to `BATCH` windows."""
        fitted = self._trained()
        windows = Windows(grid, fitted.shape, fitted.seen)
        rows = np.arange(len(grid.order_params))
        values = np.empty((len(origins), len(rows), fitted.horizon.steps, len(LEVELS)), dtype=np.float32)
        for i, origin in enumerate(origins):
            for begin in range(0, len(rows), BATCH):
                part = rows[begin : begin + BATCH]
                values[i, part] = _run(fitted, windows, part, np.full(len(part), origin))
        return values

    def save(self, folder: Path) -> None:
        """See `Member`."""
        from models import network as door  # noqa: PLC0415 (the same)

        fitted = self._trained()
        folder.mkdir(parents=True, exist_ok=True)
        door.save_weights(fitted.network, folder / WEIGHTS)
        made_for = {name: asdict(getattr(fitted, name)) for name in ("horizon", "params", "seen")}
        manifest = {"format": FORMAT, "kind": self._kind, "levels": LEVELS, "event_kinds": fitted.shape.kinds, **made_for}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")

    def load(self, folder: Path, horizon: Horizon) -> None:
        """See `Member`."""
        from models import network as door  # noqa: PLC0415 (the same)

        manifest = _read_manifest(folder, self._kind)
        if manifest.get("horizon") != asdict(horizon):
            raise NoForecastError(f"the artifact in {folder} was made for another horizon; train again")
        try:
            seen, params = Seen(**manifest["seen"]), params_from(manifest["params"])
            shape = WindowShape(params.lookback, horizon.steps, params.margin, tuple(manifest["event_kinds"]))
            network = door.build(self._kind, shape, params)
            door.load_weights(network, folder / WEIGHTS)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, EOFError, BadInputError) as error:
            raise NoForecastError(f"the artifact in {folder} cannot be read ({error}); train again") from error
        self._fitted = _Fitted(network, shape, horizon, params, seen)

    def _trained(self) -> _Fitted:
        if self._fitted is None:
            raise NoForecastError("the network was not trained yet")
        return self._fitted


def _run(fitted: _Fitted, windows: Windows, rows: NDArray[np.intp], at: NDArray[np.intp]) -> NDArray[np.float32]:
    from models import network as door  # noqa: PLC0415 (the same)

    inputs, scale = windows.inputs(rows, at)
    rates = door.run(fitted.network, fitted.shape, inputs, scale, fitted.params.threads)  # (B, H, Q)
    return np.sort(np.clip(rates, 0.0, RATE_MAX_PER_S), axis=2)


def _loss_of(fitted: _Fitted, windows: Windows, origins: NDArray[np.intp]) -> float:
    """Return the mean quantile loss of all rows of the windows at some origins."""
    rows = np.arange(len(windows.rates))
    row, at = (each.ravel() for each in np.meshgrid(rows, origins))
    said = _run(fitted, windows.limited_to(fitted.seen), row, at)  # (B, H, Q)
    return float(pinball(windows.targets(row, at), said).mean())


def _kinds(grid: RateHistory) -> tuple[str, ...]:
    """Return the kinds of events that the history can teach: those that begin in it, the most frequent ones."""
    began = [event.kind for event in grid.calendar.events if grid.start_s <= event.start_s < grid.end_s]
    often = sorted(set(began), key=lambda kind: (-began.count(kind), kind))
    return tuple(sorted(often[:KINDS_MAX]))


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


def _read_manifest(folder: Path, kind: str) -> dict[str, dict[str, object]]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
    made_for = tuple(manifest.get(key) for key in ("format", "levels", "kind"))
    if made_for != (FORMAT, list(LEVELS), kind):
        raise NoForecastError(f"the artifact in {folder} was made for other settings; train again")
    return manifest
