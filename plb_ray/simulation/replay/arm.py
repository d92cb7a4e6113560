"""One arm of a replay: a way of deciding, followed over a trace on modelled shards.

    bin by bin:  what the last bin brought -> situation -> decide -> migrate -> let the bin's messages arrive

The deciding is `plb_ray.control.deciding`, the one of the control loop; what differs between arms is what it is told of the
future. Nobody but an oracle is told anything of a bin before it has passed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from plb_ray.clock import monotonic_s
from plb_ray.control.damping import Memory
from plb_ray.control.orders import Orders
from plb_ray.control.situation import Situation
from plb_ray.domain.load import RESOURCES, ResourceVector, Shard
from plb_ray.simulation.replay.physics import Fluid, PhysicsParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from plb_ray.control.deciding import Decider
    from plb_ray.control.past_loads import PastLoads
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.simulation.replay.elastic_fleet import ElasticFleet
    from plb_ray.simulation.replay.physics import Totals
    from plb_ray.simulation.trace import Trace

CPU = RESOURCES.index("cpu_cores")


class Foresight(Protocol):
    """What an arm is told of the future."""

    def estimate(self, at_bin: int, owner: NDArray[np.int64]) -> LoadEstimate | None:
        """Return the load to come, in messages per second as CPU, when the bins before `at_bin` have passed.

        Args:
            at_bin: of the whole trace.
            owner: (K,) shard of each order param now.
        """
        ...


class Hindsight(Protocol):
    """What an arm is told of the past."""

    def past(self, at_bin: int) -> PastLoads | None:
        """Return what came together when the bins before `at_bin` have passed, in messages per second as CPU."""
        ...


@dataclass(frozen=True, eq=False)
class Field:
    """What all arms share.

    Attributes:
        trace: K order params; bins before `first_bin` are known from the start.
        first_bin, bins: what is replayed.
        shard_ids: S names.
        rates: (S,) messages each shard serves per second.
        owner: (K,) where every order param is at the beginning.
        physics: how shards behave.
    """

    trace: Trace
    first_bin: int
    bins: int
    shard_ids: tuple[str, ...]
    rates: NDArray[np.float64]
    owner: NDArray[np.int64]
    physics: PhysicsParams

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The shards as the control sees them: CPU in messages per second, so that a message costs 1."""
        return tuple(
            Shard(shard_id, "", ResourceVector(cpu_cores=float(rate)))
            for shard_id, rate in zip(self.shard_ids, self.rates, strict=True)
        )


@dataclass(frozen=True, eq=False)
class ArmResult:
    """What came of an arm.

    Attributes:
        totals: of the physics.
        thrash: share of moves that were returns.
        measured_ticks: ticks in which a forecast was there and was not planned on.
        elapsed_s: wall time.
        waiting: (bins,) messages waiting at the end of each bin.
        over: (bins,) shards over capacity in each bin.
    """

    totals: Totals
    thrash: float
    measured_ticks: int
    elapsed_s: float
    waiting: NDArray[np.float64]
    over: NDArray[np.int64]


def run_arm(
    field: Field,
    decider: Decider | None,
    foresight: Foresight | None,
    hindsight: Hindsight | None = None,
    fleet: ElasticFleet | None = None,
    on_bin: Callable[[int], None] | None = None,
) -> ArmResult:
    """Follow one arm to the end of the field.

    Args:
        field: what is replayed.
        decider: decides once a bin; None: nobody does, and nothing is moved.
        foresight: what the decider is told of what comes; None: nothing, it reacts.
        hindsight: what it is told of what has been; None: the last bin alone.
        fleet: brings shards and takes them away; None: those of the field stay.
        on_bin: told the number of bins that have passed.
    """
    began_s, fluid, memory = monotonic_s(), Fluid(field.rates, field.owner, field.physics), Memory()
    waiting, over, measured_ticks = np.zeros(field.bins), np.zeros(field.bins, dtype=np.int64), 0
    rows = {name: row for row, name in enumerate(field.trace.order_params)}
    columns = {shard_id: at for at, shard_id in enumerate(field.shard_ids)}
    for number in range(field.bins):
        at_bin = field.first_bin + number
        if decider is not None:
            situation = replace(_situation(field, fluid, at_bin, foresight), past=hindsight and hindsight.past(at_bin))
            situation = situation if fleet is None else fleet.adjusted(situation, fluid)
            ruling, memory = decider.decide(situation, Orders(), memory)
            measured_ticks += situation.estimate is not None and ruling.basis == "measured"
            fluid.migrate((rows[move.order_param], columns[move.destination]) for move in ruling.sent)
        fluid.run(field.trace.counts[:, at_bin], field.trace.step_s)
        waiting[number] = fluid.backlog.sum()
        arrived = np.bincount(fluid.owner, weights=field.trace.counts[:, at_bin], minlength=len(field.rates))
        over[number] = int((arrived > fluid.rates * field.trace.step_s).sum())
        if on_bin is not None:
            on_bin(number + 1)
    return ArmResult(fluid.totals, memory.thrash, measured_ticks, monotonic_s() - began_s, waiting, over)


def _situation(field: Field, fluid: Fluid, at_bin: int, foresight: Foresight | None) -> Situation:
    trace = field.trace
    last = trace.counts[:, at_bin - 1] / trace.step_s if at_bin else np.zeros(len(trace.order_params))
    measured = np.zeros((len(last), len(RESOURCES)))
    measured[:, CPU] = last
    names = trace.order_params
    return Situation(
        at_s=float(trace.start_s + at_bin * trace.step_s),
        step_s=trace.step_s,
        order_params=names,
        shards=field.shards,
        silent=frozenset(),
        owner=fluid.owner.copy(),
        measured=measured,
        estimate=foresight.estimate(at_bin, fluid.owner) if foresight is not None else None,
        moving={names[row]: field.shard_ids[destination] for row, destination in fluid.moving.items()},
        lead_s=field.physics.overhead_s,
    )
