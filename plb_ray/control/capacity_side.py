"""The control loop's side that capacity planning and elastic shards look at. It changes nothing of the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.capacity_basis import CapacityBasis, basis_of_queue
from plb_ray.control.elastic import Outlook
from plb_ray.control.elastic_keeper import FleetPicture
from plb_ray.errors import NotReadyError

if TYPE_CHECKING:
    from plb_ray.control.observation import Observation, Observer
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.history.store import HistoryStore

LOOKED_BACK_S = 5 * 7 * 86_400
CELLS_MOST = 100_000_000  # order params x steps that are copied: 400 MB


class CapacitySide:
    """Mixed into `ControlLoop`, which says what was seen and foreseen."""

    def _last_look(self) -> tuple[Observation | None, LoadEstimate | None]:
        """Return the last observation, and what was foreseen then."""
        raise NotImplementedError

    def _history_and_lock(self) -> tuple[HistoryStore, asyncio.Lock, Observer]:
        """Return the history, the lock under which its window is copied, and who learns the cost."""
        raise NotImplementedError

    async def capacity_basis(self) -> CapacityBasis:
        """See `Balancer`."""
        seen, _ = self._last_look()
        if seen is None:
            raise NotReadyError("there is nothing to plan capacity from yet: the first tick is outstanding")
        store, lock, observer = self._history_and_lock()
        steps = min(LOOKED_BACK_S // store.step_s, CELLS_MOST // max(1, len(store.order_params)))
        async with lock:
            history = await asyncio.to_thread(store.window, steps)
        return await asyncio.to_thread(basis_of_queue, history, observer.cost, seen.shards, seen.mapping)

    def fleet_picture(self, migration_s: float, in_flight: int) -> FleetPicture | None:
        """Return what the number of shards is decided on; None before the first tick.

        Args:
            migration_s: how long a migration takes.
            in_flight: how many run at once.
        """
        seen, estimate = self._last_look()
        if seen is None:
            return None
        largest = int(np.bincount(seen.owner, minlength=1).max(initial=0))
        drain_s = migration_s * largest / in_flight
        return FleetPicture(seen.shards, seen.owner, Outlook(seen.snapshot.at_s, seen.arriving, estimate, drain_s))
