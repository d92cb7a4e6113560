"""Makes the forecasters that the pools train and serve. Importing this loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.guarded import GuardedForecaster
from models.neural import NeuralForecaster

if TYPE_CHECKING:
    from models.params import NetworkParams


def make_forecaster(seed: int, params: NetworkParams | None = None) -> GuardedForecaster:
    """Return an untrained forecaster: a network, guarded by the baseline.

    Args:
        seed: of its weights and of the windows it learns from.
        params: None = the defaults for the horizon it will be trained on.
    """
    return GuardedForecaster(NeuralForecaster(params, seed))
