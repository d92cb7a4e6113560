"""Makes the forecasters that the pools train and serve, and those that a backtest compares; loads no torch when imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.baseline import BaselineForecaster
from models.calibration import Calibrated
from models.champion import ChampionForecaster
from models.ensemble import Ensemble
from models.forecaster import CandidateForecaster
from models.intermittent import IntermittentForecaster
from models.neural import NeuralForecaster
from models.params import DEFAULTS
from models.statistical import RIVALS, StatisticalForecaster
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.candidate import Candidate, Member
    from models.params import NetworkParams

NETWORKS = ("nhits", "tide", "patchtst")
OURS = ("ensemble", *NETWORKS, "tsb", "baseline")
CANDIDATES = (*OURS, *RIVALS)


def make_forecaster(seed: int, params: NetworkParams | None = None) -> ChampionForecaster:
    """Return an untrained forecaster: a calibrated ensemble that must beat the champion and the baseline.

    Args:
        seed: of its weights and of the windows it learns from.
        params: of each network; None = the defaults for its kind and the horizon it will be trained on.
    """
    return ChampionForecaster(
        lambda: CandidateForecaster(calibrated_ensemble(seed, params)), "ensemble", seed, recipe=repr(params or DEFAULTS)
    )


def candidates_for(names: Iterable[str], seed: int) -> list[Candidate]:
    """Return untrained candidates by name, in this order.

    Raises:
        BadInputError: a name is unknown; the text lists the known ones.
    """
    return [_candidate(name, seed) for name in names]


def preload(names: Iterable[str]) -> None:
    """Import the libraries behind candidates, which takes seconds, so that it does not count as their fitting."""
    if not set(names).isdisjoint({"ensemble", *NETWORKS}):
        import models.network  # noqa: F401, PLC0415
    if not set(names).isdisjoint(RIVALS):
        import statsforecast.models  # noqa: F401, PLC0415


def _candidate(name: str, seed: int) -> Candidate:
    if name == "ensemble":
        return calibrated_ensemble(seed)
    if name in NETWORKS:
        return NeuralForecaster(name, seed=seed)
    if name == "tsb":
        return IntermittentForecaster()
    if name == "baseline":
        return BaselineForecaster()
    if name in RIVALS:
        return StatisticalForecaster(name)
    raise BadInputError(f"unknown forecaster {name!r}; known are {', '.join(CANDIDATES)}")


def calibrated_ensemble(seed: int, params: NetworkParams | None = None) -> Calibrated:
    """Return what is trained and must prove itself: networks, the method for intermittent demand and the baseline.

    PatchTST is not among them: a step of its training takes ten times as long, and it was not better on any trace.

    Args:
        seed: see `make_forecaster`.
        params: see `make_forecaster`.
    """
    members: list[Member] = [
        NeuralForecaster("nhits", params, seed),
        NeuralForecaster("nhits", params, seed + 1, name="nhits_2"),  # errs differently
        NeuralForecaster("tide", params, seed),
        IntermittentForecaster(),
        BaselineForecaster(),
    ]
    return Calibrated(Ensemble(members, beforehand=(0.5, 0.5, 1.0, 1.0, 1.0)))  # the first two are one opinion
