"""Samples of arrivals that somebody brings: pushed over HTTP or gRPC, read from Prometheus, taken from a file.

Times are seconds since the Unix epoch, UTC. Samples may be unsorted, repeated, or nonsense; `plb_ray.history.samples` sorts
them out, and a `PushOutcome` says what became of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REASONS_MAX = 5
SAMPLES_MAX = 10_000
"""In one request."""


class SampleKind(StrEnum):
    """What a sample's value is."""

    RATE = "rate"  # messages per second; belongs to the step in which its time lies
    COUNTER = "counter"  # messages since some beginning; falls only when the counting starts anew


@dataclass(frozen=True, eq=False)
class Series:
    """Samples of one order param from one place.

    Attributes:
        order_param: its name.
        at_s: (N,) float64, in any order.
        values: (N,) float64, of the batch's kind.
    """

    order_param: str
    at_s: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """Samples that came together. Several series of one order param are summed, as those of several producers are."""

    kind: SampleKind
    series: tuple[Series, ...]


@dataclass(frozen=True)
class PushOutcome:
    """What became of samples. A cell is one order param in one step; samples are counted where no cell was made of them.

    Attributes:
        new: cells of steps after the last one that was known.
        late: cells of earlier steps that nobody had told yet.
        duplicate: cells that say what is known already; nothing is stored.
        replaced: cells that say something else than before; the later word counts.
        too_late: cells of steps that are older than what is kept in memory; nothing is stored.
        refused: samples that make no sense; `reasons` has the first few in words.
        repeated: samples with the time of another one of their series; the last of them counts.
        resets: how often a counter started anew.
    """

    new: int = 0
    late: int = 0
    duplicate: int = 0
    replaced: int = 0
    too_late: int = 0
    refused: int = 0
    repeated: int = 0
    resets: int = 0
    reasons: tuple[str, ...] = ()

    def plus(self, other: PushOutcome) -> PushOutcome:
        """Return both together; the reasons of the earlier one come first."""
        counts = {name: value + getattr(other, name) for name, value in vars(self).items() if name != "reasons"}
        return PushOutcome(**counts, reasons=(self.reasons + other.reasons)[:REASONS_MAX])
