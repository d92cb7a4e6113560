"""A scenario, followed by one way of deciding on modelled shards: as `replay.arm`, with shards that come, and that are lost.

What is known of a lost shard is what the control loop would know (`history.counters`): its order params count with the
rates they had when it was last heard of. A move from or to it would be rolled back, so it changes nothing and is counted.
A forecast is of the true rates of the past, also of those that nobody heard of.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.damping import Memory
from plb_ray.control.orders import Orders
from plb_ray.control.situation import Situation
from plb_ray.control.views import Admission, Basis
from plb_ray.domain.load import RESOURCES, ResourceVector, Shard
from plb_ray.simulation.replay.physics import Fluid, PhysicsParams, Totals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.deciding import Decider, Ruling
    from plb_ray.domain.plan import Move
    from plb_ray.simulation.replay.arm import Foresight, Hindsight
    from plb_ray.simulation.scenarios.build import Built

CPU = RESOURCES.index("cpu_cores")


@dataclass(frozen=True)
class Sent:
    """A move that was sent at the beginning of a bin; `undone` if one of its shards did not answer."""

    bin: int
    move: Move
    undone: bool


@dataclass(eq=False)
class Played:
    """What came of it.

    Attributes:
        totals: of the physics.
        sent: all moves, in order.
        held_back: why planned moves were not sent, ticks by reason.
        notes: ticks by what the balancer said.
        on_forecast: ticks that were decided on the forecast.
        thrash: share of moves that were returns.
        most_waiting: messages, at the end of a bin.
    """

    totals: Totals = field(default_factory=Totals)
    sent: list[Sent] = field(default_factory=list)
    held_back: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    on_forecast: int = 0
    thrash: float = 0.0
    most_waiting: float = 0.0

    def note(self, number: int, ruling: Ruling, silent: frozenset[str]) -> None:
        """Count what was decided at a bin."""
        self.sent += [Sent(number, move, bool({move.source, move.destination} & silent)) for move in ruling.sent]
        self.held_back.update(move.admission.value for move in ruling.moves if move.admission is not Admission.ADMITTED)
        self.notes.update(ruling.notes)
        self.on_forecast += ruling.basis is Basis.FORECAST


def play(
    built: Built,
    decider: Decider | None,
    foresight: Foresight | None,
    physics: PhysicsParams,
    hindsight: Hindsight | None = None,
) -> Played:
    """Follow a scenario to its end.

    Args:
        built: the scenario.
        decider: decides once a bin; None: nobody does.
        foresight: what the decider is told of what comes; None: nothing, it reacts.
        physics: of the shards.
        hindsight: what it is told of what has been; None: the last bin alone.
    """
    fluid, memory, scenario = Fluid(built.rates, built.owner, physics), Memory(), built.scenario
    played, seen = Played(), _Seen(built)
    for number in range(scenario.bins):
        silent = frozenset(_names(built, built.present[number] & ~built.answers[number]))
        if decider is not None:
            situation = _situation(built, fluid, number, silent, seen.rates(number, fluid.owner), foresight, physics)
            past = hindsight.past(scenario.first_bin + number) if hindsight is not None else None
            ruling, memory = decider.decide(replace(situation, past=past), Orders(), memory)
            played.note(number, ruling, silent)
            fluid.migrate(_columns(built, each.move) for each in played.sent if each.bin == number and not each.undone)
        fluid.rates = np.where(built.answers[number], built.rates, 0.0)
        fluid.run(built.trace.counts[:, scenario.first_bin + number], scenario.step_s)
        played.most_waiting = max(played.most_waiting, float(fluid.backlog.sum()))
    played.totals, played.thrash = fluid.totals, memory.thrash
    return played


class _Seen:
    """The rates that counters tell: of order params on a shard that does not answer, the last ones that were heard of."""

    def __init__(self, built: Built) -> None:
        self._built = built
        self._last = self._of(0)

    def rates(self, number: int, owner: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (K,) messages per second of the bin before a replayed one."""
        heard = self._built.answers[max(0, number - 1)][owner]
        self._last = np.where(heard, self._of(number), self._last)
        return self._last

    def _of(self, number: int) -> NDArray[np.float64]:
        at_bin = self._built.scenario.first_bin + number - 1
        return self._built.trace.counts[:, at_bin].astype(np.float64) / self._built.scenario.step_s


def _situation(
    built: Built,
    fluid: Fluid,
    number: int,
    silent: frozenset[str],
    rates: NDArray[np.float64],
    foresight: Foresight | None,
    physics: PhysicsParams,
) -> Situation:
    trace, at_bin = built.trace, built.scenario.first_bin + number
    there = np.flatnonzero(built.present[number])
    owner = np.searchsorted(there, fluid.owner)
    measured = np.zeros((len(rates), len(RESOURCES)))
    measured[:, CPU] = rates
    moving = {trace.order_params[row]: built.shard_ids[destination] for row, destination in fluid.moving.items()}
    return Situation(
        at_s=float(trace.start_s + at_bin * trace.step_s),
        step_s=trace.step_s,
        order_params=trace.order_params,
        shards=tuple(Shard(built.shard_ids[at], "", ResourceVector(cpu_cores=float(built.rates[at]))) for at in there),
        silent=silent,
        owner=owner,
        measured=measured,
        estimate=foresight.estimate(at_bin, owner) if foresight is not None else None,
        moving=moving,
        lead_s=physics.overhead_s,
    )


def _columns(built: Built, move: Move) -> tuple[int, int]:
    return built.trace.order_params.index(move.order_param), built.shard_ids.index(move.destination)


def _names(built: Built, which: NDArray[np.bool_]) -> list[str]:
    return [shard_id for shard_id, wanted in zip(built.shard_ids, which, strict=True) if wanted]
