"""What a move was sent for, and what came of it. Plain values, which go to the journal as JSON and back.

A promise is made when a move is sent and stands for the steps of the horizon that it was planned on. When one of them has
come, what was measured is held against what was promised of that step; a step on which nobody looked counts on neither side.

Of several moves of one decision each is credited with what it takes away beyond those before it in the plan, so that the
sum is what the decision takes away.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class EffectState(StrEnum):
    """How far a promise is."""

    PENDING = "pending"  # its horizon is not over
    SETTLED = "settled"  # all its steps have come
    ROLLED_BACK = "rolled_back"  # the migration was undone: nothing came of it
    MOVED_ON = "moved_on"  # the order param has left the destination before the horizon was over
    UNKNOWN = "unknown"  # the order param never arrived, or was not seen any more


@dataclass(frozen=True)
class Promise:
    """What one move is to achieve; T steps of the horizon. Utilisations are shares of capacity, of the worst resource.

    Attributes:
        resource: what binds on the source: the one of its highest utilisation.
        starts_s: (T,) start of each step.
        lengths_s: (T,) seconds that each step stands for.
        load: (T,) load of the order param that was planned on, in units of `resource`.
        expected_load: (T,) its mean, which is what should come; as `load` where nothing was foreseen.
        taken_s: (T,) overload taken away at each step: seconds of a whole shard above the headroom, of both shards.
        source_before, source_after, destination_before, destination_after: highest utilisation over the steps.
        duration_s: how long the migration should take; 0 where none was measured before.
    """

    resource: str
    starts_s: tuple[float, ...]
    lengths_s: tuple[float, ...]
    load: tuple[float, ...]
    expected_load: tuple[float, ...]
    taken_s: tuple[float, ...]
    source_before: float
    source_after: float
    destination_before: float
    destination_after: float
    duration_s: float

    @property
    def until_s(self) -> float:
        """End of the last step."""
        return self.starts_s[-1] + self.lengths_s[-1]


@dataclass(frozen=True)
class Realised:
    """What came, over the steps that were compared. What was promised of the same steps stands beside it.

    Attributes:
        steps: how many were compared.
        last_step_s: start of the last one; minus infinity before the first.
        taken_s, promised_taken_s: overload taken away, and what had been promised: shard-seconds.
        load_s, promised_load_s: sums of load x seconds, of the mean that was expected too.
        source_without, source, destination: highest utilisations: of the source had the order param stayed, of the source,
            of the destination.
        duration_s, pause_ms, bytes_copied, messages_copied: of the migration; None, None, 0 and 0 until it has ended.
        cost_s: what the migration cost, in seconds of a whole shard: work that waited, and I/O; None until it has ended.
    """

    steps: int = 0
    last_step_s: float = float("-inf")
    taken_s: float = 0.0
    promised_taken_s: float = 0.0
    load_s: float = 0.0
    promised_load_s: float = 0.0
    source_without: float = 0.0
    source: float = 0.0
    destination: float = 0.0
    duration_s: float | None = None
    pause_ms: float | None = None
    bytes_copied: int = 0
    messages_copied: int = 0
    cost_s: float | None = None


@dataclass(frozen=True)
class Experience:
    """What earlier moves teach about the next ones; the default is that of a beginner, who believes what is promised.

    Attributes:
        ratio: overload taken away as a share of what was promised of it on forecasts, clipped to what may be counted with.
        move_cost_s: what a move has cost on average, in seconds of a whole shard.
        moves: how many ended moves, old ones counting less, this stands on.
        taken_s, promised_s: the sums behind `ratio`, old ones counting less: shard-seconds.
    """

    ratio: float = 1.0
    move_cost_s: float = 0.0
    moves: float = 0.0
    taken_s: float = 0.0
    promised_s: float = 0.0


@dataclass(frozen=True)
class MoveEffect:
    """One move that was sent.

    Attributes:
        migration_id: of the migration that carries it out.
        decision: number of the decision.
        place: of the move in the decision, from 0.
        at_s: when it was sent, by the decisions' clock.
        foreseen: whether the promise stands on a forecast; else on what was measured.
        why: the words of `ROLLED_BACK`; empty otherwise.
    """

    migration_id: str
    decision: int
    place: int
    at_s: float
    order_param: str
    source: str
    destination: str
    foreseen: bool
    promise: Promise
    realised: Realised = field(default_factory=Realised)
    state: EffectState = EffectState.PENDING
    why: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = asdict(self)
        if not self.realised.steps:
            values["realised"]["last_step_s"] = None  # JSON has no infinity
        return values

    @classmethod
    def of_document(cls, values: dict[str, Any]) -> MoveEffect:
        """Return what `document` was made of."""
        promise: dict[str, Any] = values["promise"]
        promise = {name: tuple(each) if isinstance(each, list) else each for name, each in promise.items()}
        realised = {name: each for name, each in values["realised"].items() if name != "last_step_s" or each is not None}
        state = EffectState(values["state"])
        return cls(**{**values, "promise": Promise(**promise), "realised": Realised(**realised), "state": state})


@dataclass(frozen=True)
class EffectQuery:
    """Which effects, newest first: all conditions hold together.

    Attributes:
        limit: most, >= 1.
        order_param: of this one; None: of any.
        decision: of the moves of this decision; None: of any.
    """

    limit: int = 100
    order_param: str | None = None
    decision: int | None = None
