"""From what is on disk to a window: the table first, then those steps of the log that the table does not have yet.

A crash between a commit and deleting its log leaves steps in both. A whole step that the window knows is a duplicate; of
pushed cells all up to the table's highest revision are in the table, because commits keep the order in which they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.history.samples import Cells
from plb_ray.history.window import Arrival, Fate, StepWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.history.table import Step, StoredSteps


def replay(window: StepWindow, stored: StoredSteps, logged: Sequence[Step]) -> list[Step]:
    """Fill an empty window; return the logged steps that are not in the table."""
    window.load(stored.starts_s, stored.names, stored.rates, stored.observed, stored.pushed)
    return [step for step in logged if _is_news(window, step, stored.revision)]


def _is_news(window: StepWindow, step: Step, stored_revision: int) -> bool:
    if not step.revision:
        return window.put(step.start_s, step.messages_per_s) in (Arrival.NEW, Arrival.LATE)
    if step.revision <= stored_revision:
        return False
    fates = window.push(_cells(step))
    return bool(((fates != Fate.DUPLICATE) & (fates != Fate.TOO_LATE)).any())


def _cells(step: Step) -> Cells:
    rates = np.array(list(step.messages_per_s.values()), dtype=np.float32)
    starts_s = np.full(rates.size, step.start_s, dtype=np.int64)
    return Cells(tuple(step.messages_per_s), starts_s, np.arange(rates.size), rates)
