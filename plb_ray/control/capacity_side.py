"""What capacity planning and elastic shards are told of the loop's last tick. It changes nothing of the loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from plb_ray.control.capacity_basis import CapacityBasis, basis_of_queue
from plb_ray.control.elastic import Outlook
from plb_ray.control.elastic_keeper import FleetPicture
from plb_ray.errors import NotReadyError
from plb_ray.estimate.load import estimate_load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from plb_ray.control.observation import Observation, Observer
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.domain.rates import Forecast
    from plb_ray.estimate.cost import CostModel
    from plb_ray.estimate.scenarios import Scenarios
    from plb_ray.history.store import HistoryStore

HOUR_S = 3600
LOOKED_BACK_S = 5 * 7 * 86_400
CELLS_MOST = 100_000_000  # order params x steps that are copied: 400 MB


class Pooled(Protocol):
    """How forecast errors of order params come together: `control.feedback.Feedback` knows."""

    @property
    def correlation(self) -> float: ...
    @property
    def scenarios(self) -> Scenarios | None: ...


@dataclass(frozen=True, eq=False)
class CapacitySide:
    """See the module.

    Attributes:
        history: of rates.
        lock: under which its window is copied.
        observer: who learns the cost.
    """

    history: HistoryStore
    lock: asyncio.Lock
    observer: Observer

    async def basis(self, seen: Observation | None) -> CapacityBasis:
        """See `Balancer.capacity_basis`; `seen` is the last look."""
        if seen is None:
            raise NotReadyError("there is nothing to plan capacity from yet: the first tick is outstanding")
        steps = min(LOOKED_BACK_S // self.history.step_s, CELLS_MOST // max(1, len(self.history.order_params)))
        async with self.lock:
            history = await asyncio.to_thread(self.history.window, steps)
        return await asyncio.to_thread(basis_of_queue, history, self.observer.cost, seen.shards, seen.mapping)


def day_ahead(
    owner: NDArray[np.int64], forecasts: Mapping[str, Forecast], cost: CostModel, levels: Sequence[float], pooled: Pooled
) -> LoadEstimate:
    """Return the load of the short horizon and, behind it, of each hour of the medium one.

    Args:
        owner: (K,) index of the shard of each order param.
        forecasts: by horizon, of these order params.
        cost: of a message.
        levels: quantile level of a shard's load, for each resource.
        pooled: how errors come together.
    """
    medium = forecasts["medium"]
    hours = medium.horizon.steps * medium.horizon.step_s / HOUR_S
    return estimate_load(forecasts["short"], cost, levels, owner, medium, hours, pooled.correlation, pooled.scenarios)


def fleet_picture(seen: Observation, estimate: LoadEstimate | None, migration_s: float, in_flight: int) -> FleetPicture:
    """Return what the number of shards is decided on.

    Args:
        seen: the last look.
        estimate: what was foreseen then.
        migration_s: how long a migration takes.
        in_flight: how many run at once.
    """
    largest = int(np.bincount(seen.owner, minlength=1).max(initial=0))
    drain_s = migration_s * largest / in_flight
    return FleetPicture(seen.shards, seen.owner, Outlook(seen.snapshot.at_s, seen.arriving, estimate, drain_s))
