"""Parameters of the network, each with its range and reason. Defaults live here and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from plb_ray.errors import BadInputError

STEPS_MIN = 150
"""Training steps that a group with few windows gets anyway: with fewer the network has not left its start."""


GOING_ON = 0.5
OWN_EFFORTS = (0, 15, 50, 150)
"""Steps that are tried when a group's network is made one order param's own: what helps differs, and too many are learnt by
heart (150 steps everywhere: the loss of the hottest five of a trace rose by a quarter)."""

OWN_GAIN = 0.02
"""More steps must lower the loss on the tail by so much."""


@dataclass(frozen=True)
class NetworkParams:
    """How a group's network looks and how long it may learn.

    Attributes:
        lookback: 4..2000 steps of past rates; six hours of ten minutes. What is further back arrives as profiles.
        margin: 0..100 steps of profile before and after the horizon; shows whether today runs early or late.
        hidden: 8..4096 units a layer; 256 learns the rhythm of a hundred order params and still runs in a millisecond.
        blocks: 1..8 blocks of NHITS, layers of the encoder of TiDE and PatchTST; on the short horizon a second one gained
            nothing.
        dropout: [0, 0.9], of TiDE and PatchTST; NHITS has none.
        steps: 1.. training steps, at most; the loss on unseen days still falls at 1,600, slowly.
        epochs: > 0, passes over the group's windows, at most; past two a history of days is learnt by heart. Never fewer
            than STEPS_MIN steps for it.
        batch: 8..65536 windows a step; more small steps beat fewer large ones.
        learning_rate: (0, 1), Adam's.
        weight_decay: [0, 1), AdamW's.
        budget_s: > 0, wall seconds a training may take; it ends early but in order.
        threads: 1..256 torch threads; one leaves the other cores to the shards, and is the fastest for tensors this small.
        seed: any; the same seed, history and number of steps give the same network.
    """

    lookback: int = 36
    margin: int = 6
    hidden: int = 256
    blocks: int = 1
    dropout: float = 0.1
    steps: int = 1600
    epochs: float = 2.0
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    budget_s: float = 20.0
    threads: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            BadInputError: a value is out of its range.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInputError(
                    f"network parameter {name} = {value!r} must be in {low}..{high}; correct the configuration"
                )

    def going_on(self) -> NetworkParams:
        """Return the parameters with which a network that has learnt goes on learning: GOING_ON of the work and the rate."""
        return replace(
            self,
            steps=max(1, int(self.steps * GOING_ON)),
            epochs=self.epochs * GOING_ON,
            budget_s=self.budget_s * GOING_ON,
            learning_rate=self.learning_rate * GOING_ON,
        )

    def specialising(self, steps: int) -> NetworkParams:
        """Return the parameters with which a network that has learnt makes just so many steps more."""
        return replace(self, steps=steps, epochs=1e6, learning_rate=self.learning_rate * GOING_ON)

    def steps_for(self, windows: int) -> int:
        """Return the number of training steps on a group with this many windows."""
        return min(self.steps, max(STEPS_MIN, math.ceil(self.epochs * windows / self.batch)))


_RANGES: dict[str, tuple[float, float]] = {
    "lookback": (4, 2000),
    "margin": (0, 100),
    "hidden": (8, 4096),
    "blocks": (1, 8),
    "dropout": (0.0, 0.9),
    "steps": (1, 10_000_000),
    "epochs": (1e-6, 1e6),
    "batch": (8, 65_536),
    "learning_rate": (1e-8, 1.0),
    "weight_decay": (0.0, 1.0),
    "budget_s": (0.01, 1e7),
    "threads": (1, 256),
}

MEDIUM = {"margin": 0, "steps": 600, "epochs": 15.0}
DEFAULTS: dict[tuple[str, str], NetworkParams] = {
    ("nhits", "short"): NetworkParams(),
    ("tide", "short"): NetworkParams(),
    ("patchtst", "short"): NetworkParams(hidden=64, blocks=2, budget_s=40.0),
    ("nhits", "medium"): NetworkParams(lookback=24, blocks=2, **MEDIUM),
    ("tide", "medium"): NetworkParams(lookback=48, **MEDIUM),
    ("patchtst", "medium"): NetworkParams(lookback=48, hidden=64, blocks=2, **MEDIUM),
}
"""By kind of network and horizon. The medium one is hourly, one or two days back. A history of weeks holds few windows of
hours: fewer steps, more passes."""


def default_params(kind: str, horizon_name: str) -> NetworkParams:
    """Return the parameters of a kind of network for a horizon by its name; unknown names are short ones."""
    return DEFAULTS[kind, "medium" if horizon_name == "medium" else "short"]


def params_from(values: dict[str, object]) -> NetworkParams:
    """Return parameters read from JSON or TOML.

    Raises:
        BadInputError: an unknown name, a missing value or one out of range.
    """
    known = {field.name for field in fields(NetworkParams)}
    if unknown := sorted(set(values) - known):
        raise BadInputError(f"unknown network parameter {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return NetworkParams(**values)  # type: ignore[arg-type]  # ranges are checked on construction
