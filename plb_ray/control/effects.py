"""Holds what moves promised against what came, tick by tick, and learns from it how far promises are to be believed.

    decision --promised--> pending --settle(situation), once a closed step--> settled --> Experience --> what a plan is worth

What came of a step
    The measured loads say what each shard carried. Had the moves of a decision not been made, their order params would still
    have been on their sources: they are put back there one by one, the last one first, and each move is credited with the
    overload that comes back with it. So realised and promised are the same sum, one of measured and one of foreseen loads.

What is learned
    ratio       overload taken away, as a share of what forecasts promised of it; a migration that was rolled back took
                nothing away, so the risk of a move is in it. PRIOR_S of promises that were kept are added, and all of it
                fades with HALF_LIFE_S, so a bad day is forgiven. Between LEAST and 1.
    move cost   seconds of a whole shard: the order param's load while its appends waited, and the I/O of reading and writing
                what was copied.

Pending promises are in the log after every tick: a restart goes on where the process ended, and only the steps in between
are compared with nothing. Axes: K order params, S shards, R resources.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.promises import over
from plb_ray.domain.effects import EffectQuery, EffectState, Experience, MoveEffect, Realised
from plb_ray.domain.load import RESOURCES
from plb_ray.domain.migration import MigrationStep
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from plb_ray.control.ports import EffectLog
    from plb_ray.control.situation import Situation
    from plb_ray.domain.migration import MigrationRecord

HALF_LIFE_S = 86_400.0
PRIOR_S = 30.0
LEAST = 0.25
REMEMBERED = 1000
"""Ended moves that a restart learns from anew."""

IO = RESOURCES.index("io_bytes_per_s")
_ARRIVED = (MigrationStep.MAPPED, MigrationStep.DONE)


class EffectKeeper:
    """Use from one event loop: `recall` once, then `settle` and `note` once a tick.

    Args:
        log: where effects are kept.
        record_of: the newest record of a migration; None where it is not known.
        headroom: usable share of capacity, above which load is overload.
    """

    def __init__(self, log: EffectLog, record_of: Callable[[str], MigrationRecord | None], headroom: float) -> None:
        self._log = log
        self._record_of = record_of
        self._headroom = headroom
        self._pending: dict[str, MoveEffect] = {}
        self._learned = _Sums()

    @property
    def experience(self) -> Experience:
        """What the moves so far teach."""
        return self._learned.experience

    async def recall(self) -> None:
        """Take up what a predecessor left in the log."""
        self._pending = {each.migration_id: each for each in await self._log.pending()}
        ended = await self._log.find(EffectQuery(limit=REMEMBERED))
        for each in reversed([each for each in ended if each.state is not EffectState.PENDING]):
            self._learned = self._learned.plus(each)

    async def note(self, sent: Sequence[MoveEffect]) -> None:
        """Keep what moves promise; durable on return."""
        if sent:
            await self._log.put(sent)
            self._pending.update({each.migration_id: each for each in sent})

    async def settle(self, situation: Situation) -> None:
        """Compare the step that has just closed with what was promised of it."""
        if not self._pending:
            return
        before = list(self._pending.values())
        after = settled(before, situation, self._record_of, self._headroom)
        await self._log.put([new for old, new in zip(before, after, strict=True) if new != old])
        for each in after:
            self._pending[each.migration_id] = each
            if each.state is not EffectState.PENDING:
                del self._pending[each.migration_id]
                self._learned = self._learned.plus(each)


class _Sums:
    """The decayed sums behind an `Experience`; immutable."""

    def __init__(self, at_s: float = float("-inf"), sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)) -> None:
        self._at_s = at_s
        self._sums = sums  # taken, promised, cost, moves with a cost, moves

    @property
    def experience(self) -> Experience:
        taken, promised, cost, costed, moves = self._sums
        ratio = min(1.0, max(LEAST, (taken + PRIOR_S) / (promised + PRIOR_S)))
        return Experience(ratio, cost / costed if costed else 0.0, moves, taken, promised)

    def plus(self, effect: MoveEffect) -> _Sums:
        """Return the sums with an ended move added."""
        if effect.state is EffectState.UNKNOWN:
            return self
        at_s = max(self._at_s, effect.promise.until_s)
        fade = 0.5 ** ((at_s - self._at_s) / HALF_LIFE_S) if math.isfinite(self._at_s) else 1.0
        came, counts = effect.realised, float(effect.foreseen)
        cost_s = came.cost_s
        added = (came.taken_s * counts, came.promised_taken_s * counts, cost_s or 0.0, float(cost_s is not None), 1.0)
        return _Sums(at_s, tuple(fade * old + new for old, new in zip(self._sums, added, strict=True)))


def settled(
    effects: Sequence[MoveEffect],
    situation: Situation,
    record_of: Callable[[str], MigrationRecord | None],
    headroom: float,
) -> list[MoveEffect]:
    """Return pending effects after the step that has just closed, in their order. Pure but for `record_of`."""
    step = _ClosedStep(situation, {each.order_param for each in effects}, headroom)
    found: dict[str, MoveEffect] = {}
    by_decision = sorted(effects, key=lambda each: (each.decision, each.place))
    for _, group in groupby(by_decision, key=lambda each: each.decision):
        moves = [_with_migration(each, record_of(each.migration_id), step) for each in group]
        found.update({each.migration_id: each for each in _compared(moves, step)})
    return [found[each.migration_id] for each in effects]


class _ClosedStep:
    """What was measured of one step, of some order params and of all shards."""

    def __init__(self, situation: Situation, wanted: set[str], headroom: float) -> None:
        self.at_s, self.step_s = situation.at_s, float(situation.step_s)
        self.start_s = situation.at_s - situation.step_s
        self.headroom = headroom
        self.capacity = situation.capacity
        self.column = {shard.shard_id: at for at, shard in enumerate(situation.shards)}
        self.moving = situation.moving
        self._shard_ids = [shard.shard_id for shard in situation.shards]
        self._row = {name: at for at, name in enumerate(situation.order_params) if name in wanted}
        self._owner, self._measured = situation.owner, situation.measured
        self.shares = per_shard(situation.measured, situation.owner, len(self.capacity)) / self.capacity  # (S, R)

    def owner(self, order_param: str) -> str:
        """Return the shard that an order param is on; empty if it is on none that is known."""
        row = self._row.get(order_param)
        return self._shard_ids[self._owner[row]] if row is not None else ""

    def load(self, order_param: str) -> NDArray[np.float64]:
        """Return (R,) what was measured of an order param."""
        row = self._row.get(order_param)
        return self._measured[row] if row is not None else np.zeros(len(RESOURCES))


def _with_migration(effect: MoveEffect, record: MigrationRecord | None, step: _ClosedStep) -> MoveEffect:
    """Return an effect with what is known of its migration."""
    came = effect.realised
    if record is None or came.duration_s is not None:
        return effect
    if record.step is MigrationStep.ABORTED:
        promised_s = sum(effect.promise.taken_s)
        nothing = replace(came, taken_s=0.0, promised_taken_s=promised_s, pause_ms=record.pause_ms)
        return replace(effect, realised=nothing, state=EffectState.ROLLED_BACK, why=record.error)
    if record.step not in _ARRIVED:
        return effect
    ended_s = record.finished_s or record.at_s or record.started_s
    came = replace(
        came,
        duration_s=max(0.0, ended_s - record.started_s),
        pause_ms=record.pause_ms,
        bytes_copied=record.bytes_copied,
        messages_copied=record.messages_copied,
        cost_s=_cost_s(effect, record, step),
    )
    return replace(effect, realised=came)


def _cost_s(effect: MoveEffect, record: MigrationRecord, step: _ClosedStep) -> float:
    """Return what a migration cost, in seconds of a whole shard."""
    pair = [step.column[each] for each in (effect.source, effect.destination) if each in step.column]
    if not pair:
        return 0.0
    share = float((step.load(effect.order_param) / step.capacity[pair].min(axis=0)).max())
    waited_s = (record.pause_ms or 0.0) / 1000 * share
    return waited_s + float((record.bytes_copied / step.capacity[pair, IO]).sum())


def _compared(moves: Sequence[MoveEffect], step: _ClosedStep) -> Iterable[MoveEffect]:
    """Yield the moves of one decision after a step, the last one first."""
    shares: dict[int, NDArray[np.float64]] = {}
    for move in reversed(moves):
        if move.state is not EffectState.PENDING:
            yield move
            continue
        yield _moved_on(_after_step(move, step, shares), step)


def _after_step(move: MoveEffect, step: _ClosedStep, shares: dict[int, NDArray[np.float64]]) -> MoveEffect:
    """Return a move with a step added, if it is one of the promise; put its order param back in `shares`."""
    at = _promised_step(move, step)
    if at is None or step.start_s <= move.realised.last_step_s:
        return move
    came, promise = move.realised, move.promise
    part = step.step_s / promise.lengths_s[at]
    came = replace(
        came,
        steps=came.steps + 1,
        last_step_s=step.start_s,
        promised_taken_s=came.promised_taken_s + promise.taken_s[at] * part,
        promised_load_s=came.promised_load_s + promise.expected_load[at] * step.step_s,
        load_s=came.load_s + float(step.load(move.order_param)[RESOURCES.index(promise.resource)]) * step.step_s,
    )
    if step.owner(move.order_param) == move.destination and move.source in step.column:
        came = _credited(came, move, step, shares)
    return replace(move, realised=came)


def _credited(came: Realised, move: MoveEffect, step: _ClosedStep, shares: dict[int, NDArray[np.float64]]) -> Realised:
    pair = [step.column[move.source], step.column[move.destination]]
    now = np.stack([shares.get(at, step.shares[at]) for at in pair])  # (2, R)
    without = now + step.load(move.order_param) / step.capacity[pair] * np.array([[1.0], [-1.0]])
    shares[pair[0]], shares[pair[1]] = without
    taken = float((over(without, step.headroom) - over(now, step.headroom)).sum())
    source, destination = step.shares[pair].max(axis=1).tolist()
    return replace(
        came,
        taken_s=came.taken_s + taken * step.step_s,
        source_without=max(came.source_without, float(without[0].max())),
        source=max(came.source, source),
        destination=max(came.destination, destination),
    )


def _promised_step(move: MoveEffect, step: _ClosedStep) -> int | None:
    """Return which step of the promise the closed one lies in."""
    middle_s = step.start_s + step.step_s / 2
    for at, (start_s, length_s) in enumerate(zip(move.promise.starts_s, move.promise.lengths_s, strict=True)):
        if start_s <= middle_s < start_s + length_s:
            return at
    return None


def _moved_on(move: MoveEffect, step: _ClosedStep) -> MoveEffect:
    """Return a move with its state after a step."""
    owner = step.owner(move.order_param)
    if owner not in (move.source, move.destination):
        return replace(move, state=EffectState.MOVED_ON if move.realised.steps else EffectState.UNKNOWN)
    under_way = step.moving.get(move.order_param) == move.destination
    if owner == move.source and not under_way:  # it waited for its turn and was planned anew, or went back
        arrived = move.realised.duration_s is not None
        return replace(move, state=EffectState.MOVED_ON if arrived else EffectState.UNKNOWN)
    if step.at_s >= move.promise.until_s:
        return replace(move, state=EffectState.SETTLED if move.realised.steps else EffectState.UNKNOWN)
    return move
