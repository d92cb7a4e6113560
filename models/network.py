"""The door to torch and neuralforecast: build the network, train it, run it. Arrays in, arrays out.

Importing this module costs seconds, so it is imported by the first `fit` or `load`, not at start-up.

neuralforecast supplies the networks and their loss; its DataFrame path and Lightning's trainer are not used. They cost 10 ms
a prediction and cannot draw the windows that matter. What goes in beside the past rates (profiles, spread, events, calendar)
enters NHITS and TiDE as static inputs: they are one value per window, which is what these take them for. PatchTST takes
nothing but a sequence: it is given the profiles and then the past, so that its patches can attend to the same time of other
days, and learns neither of events nor of the calendar.

The loss is the quantile loss of the *rates* over their scale, not of their logarithms: in log space a 0.99 quantile that
is 2 too high costs 2, although it plans for seven times the load. Windows weigh the square root of their share of the
traffic, and order params are drawn likewise: hot ones decide over congestion, small ones must not be forgotten.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.base import LEVELS
from models.windows import PROFILES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations inside the libraries; nothing a user of ours could act on
    import torch
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models.nhits import NHITS
    from neuralforecast.models.patchtst import PatchTST
    from neuralforecast.models.tide import TiDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from neuralforecast.common._base_model import BaseModel
    from numpy.typing import NDArray

    from models.params import NetworkParams
    from models.windows import Windows, WindowShape

OUTPUT_MAX = 14.0
"""Largest log1p(rate / scale) the network may say: a million times the mean. Keeps expm1 finite in float32."""

PATCH = 6
"""Steps of a patch of PatchTST; patches overlap by half."""

WARM_UP_STEPS = 30
GRADIENT_NORM_MAX = 1.0


@dataclass(frozen=True)
class Training:
    """What bounds a training: `origins` [first, end) to draw windows from, and `elapsed_s` since it began."""

    origins: tuple[int, int]
    elapsed_s: Callable[[], float]
    on_progress: Callable[[float], None]


def build(kind: str, shape: WindowShape, params: NetworkParams) -> BaseModel:
    """Return a network of a kind of `BUILDERS` with fresh weights; the same for the same seed."""
    common: dict[str, Any] = {
        "h": shape.horizon,
        "loss": MQLoss(quantiles=list(LEVELS)),
        "random_seed": params.seed,
        "logger": False,
        "enable_progress_bar": False,
    }
    with _silence():
        return BUILDERS[kind](shape, params, common)


def _nhits(shape: WindowShape, params: NetworkParams, common: dict[str, Any]) -> BaseModel:
    return NHITS(
        input_size=shape.lookback,
        stat_exog_list=_names(shape),
        stack_types=["identity"] * params.blocks,
        n_blocks=[1] * params.blocks,
        mlp_units=[[params.hidden, params.hidden]] * 2,
        n_pool_kernel_size=[1] * params.blocks,
        n_freq_downsample=[1] * params.blocks,
        **common,
    )


def _tide(shape: WindowShape, params: NetworkParams, common: dict[str, Any]) -> BaseModel:
    return TiDE(
        input_size=shape.lookback,
        stat_exog_list=_names(shape),
        hidden_size=params.hidden,
        decoder_output_dim=16,
        temporal_decoder_dim=64,
        num_encoder_layers=params.blocks,
        num_decoder_layers=1,
        dropout=params.dropout,
        **common,
    )


def _patchtst(shape: WindowShape, params: NetworkParams, common: dict[str, Any]) -> BaseModel:
    return PatchTST(
        input_size=shape.sequence,
        encoder_layers=params.blocks,
        n_heads=4,
        hidden_size=params.hidden,
        linear_hidden_size=2 * params.hidden,
        dropout=params.dropout,
        fc_dropout=params.dropout,
        patch_len=min(PATCH, shape.sequence),
        stride=max(1, min(PATCH, shape.sequence) // 2),
        revin=False,
        **common,
    )


BUILDERS = {"nhits": _nhits, "tide": _tide, "patchtst": _patchtst}


def _names(shape: WindowShape) -> list[str]:
    return [f"extra_{i}" for i in range(shape.extras)]


def train(network: BaseModel, windows: Windows, params: NetworkParams, training: Training) -> None:
    """Train in place on windows drawn at random; ends after `params.steps` or `params.budget_s`, whichever is first.

    The learning rate falls along half a cosine to its end in either case, so that a slow machine gets a finished, if
    less practised, network.
    """
    torch.set_num_threads(params.threads)
    network.to(_device())
    draw = _sampler(windows, params, training.origins)
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    steps = params.steps_for(len(windows.rates) * (training.origins[1] - training.origins[0]))
    network.train()
    step, done = 0, 0.0
    while done < 1.0:
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        _set_learning_rate(optimizer, params.learning_rate * warm * 0.5 * (1.0 + np.cos(np.pi * done)))
        _learn(network, windows.shape, optimizer, draw())
        step += 1
        done = max(step / steps, training.elapsed_s() / params.budget_s)
        training.on_progress(min(done, 1.0))
    network.eval()


def run(
    network: BaseModel, shape: WindowShape, inputs: NDArray[np.float32], scale: NDArray[np.float32], threads: int
) -> NDArray[np.float32]:
    """Return rates (B, H, Q) for input rows (B, L + extras) and scales (B, 1). One call, one tensor."""
    torch.set_num_threads(threads)
    device = _device()
    network.to(device)
    with torch.inference_mode():
        output = _forward(network, shape, torch.from_numpy(inputs).to(device))  # (B, H, Q)
        rates = torch.expm1(output.clamp(max=OUTPUT_MAX)) * torch.from_numpy(scale).to(device)[..., None]
    return rates.cpu().numpy()


def _device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def save_weights(network: BaseModel, path: Path) -> None:
    """Write the state_dict."""
    torch.save(network.state_dict(), path)


def load_weights(network: BaseModel, path: Path) -> None:
    """Read a state_dict; tensors only, nothing in the file is executed. Raises whatever torch finds wrong with it."""
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    network.eval()


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Input rows (B, L + extras), targets over scale (B, H, 1), weights (B, H, 1)."""


def _sampler(windows: Windows, params: NetworkParams, origins: tuple[int, int]) -> Callable[[], Batch]:
    rng = np.random.default_rng(params.seed)
    mean = windows.rates.mean(axis=1, dtype=np.float64)
    overall = max(float(mean.mean()), float(np.finfo(np.float32).tiny))
    weight = np.sqrt(mean / overall) + 1e-3  # silent order params are drawn too, seldom
    cumulative = np.cumsum(weight / weight.sum())

    def draw() -> Batch:
        rows = np.minimum(np.searchsorted(cumulative, rng.random(params.batch)), len(mean) - 1)
        at = rng.integers(origins[0], origins[1], params.batch)
        inputs, scale = windows.inputs(rows, at)
        target = torch.from_numpy(windows.targets(rows, at) / scale)[..., None]
        importance = torch.from_numpy(np.sqrt(scale / overall))[..., None].expand_as(target)
        return torch.from_numpy(inputs), target, importance

    return draw


def _learn(network: BaseModel, shape: WindowShape, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    inputs, target, importance = (part.to(_device()) for part in batch)
    rates = torch.expm1(_forward(network, shape, inputs).clamp(max=OUTPUT_MAX))  # (B, H, Q)
    loss = network.loss(y=target, y_hat=network.loss.domain_map(rates), mask=importance)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM_MAX)
    optimizer.step()


def _forward(network: BaseModel, shape: WindowShape, inputs: torch.Tensor) -> torch.Tensor:
    """Return log1p of rates over their scale, (B, H, Q)."""
    if network.EXOGENOUS_STAT:
        past, extras = inputs[:, : shape.lookback, None], inputs[:, shape.lookback :]
    else:
        past, extras = _sequence(shape, inputs)[..., None], None
    batch = {
        "insample_y": past,
        "insample_mask": torch.ones_like(past),
        "futr_exog": None,
        "hist_exog": None,
        "stat_exog": extras,
    }
    output: torch.Tensor = network(batch)
    return output


def _sequence(shape: WindowShape, inputs: torch.Tensor) -> torch.Tensor:
    """Return the oldest profile first and the past last, (B, L + 3 P), out of input rows (B, L + extras)."""
    past, profiles = inputs[:, : shape.lookback], inputs[:, shape.lookback : shape.sequence]
    return torch.cat([profiles.unflatten(1, (PROFILES, shape.profile)).flip(1).flatten(1), past], dim=1)


def _set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Lightning from announcing seeds and tips, and its global seeding from reaching beyond this block."""
    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002 (Lightning seeds the legacy one)
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
        torch.random.set_rng_state(state)
        np.random.set_state(numpy_state)  # noqa: NPY002 (the same)
