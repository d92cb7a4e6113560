"""The order in which the moves of a plan are carried out: in waves that overload nothing although both copies count.

Data
    use[s, c]       what is on shard s in column c (one step and resource) before the plan; units of `optimizer.packing`
    limit[s, c]     as there
    end[s, c]       what is on s after the plan
    ceiling[s, c]   max(limit, end): a shard that the plan leaves above its limit may be filled up to there, never beyond
    moves           (k, from, to), load[k, c]
Variables
    wave(k) >= 1    moves of one wave run together, and wave n + 1 starts when wave n is done
    via(k), via_wave(k) < wave(k)   a third shard on the way, for moves in a cycle of full shards
Constraints
    An order param on its way occupies source and destination. In wave n, with held_n what is on the shards at its start:
    for each shard s that somebody arrives at, and each column in which an arrival has load,
        held_n[s, c] + sum of load[k, c] over all that arrive at s in wave n  <=  ceiling[s, c];
    what leaves s in the same wave frees nothing yet. Shards that overload already stay so until their leavers have gone.
    At most `WaveSettings.moves` run in a wave, and `WaveSettings.moves_per_shard` on one shard.
Objective
    most urgent first: order params that must leave their shard, then by the first step at which the source overloads, then
    by how far; a move away from a shard that is fine makes room, and is as urgent as the most urgent that comes there.
Method
    Greedy list scheduling: wave by wave, in order of urgency, each move that fits. When nothing fits, full shards wait for
    each other. Then for the most urgent moves in turn: who leaves its destination is parked on a third shard with room,
    largest first, until it fits; if that works for none of them, the move that overloads its destination least is forced.
    The least number of waves is not sought.

In every wave something moves, and each order param is parked once at most, so there are at most two waves per move.
Spread groups are kept where order params rest, parked ones included; the minutes on the way are not counted as resting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optimizer.jit import kernel
from plb_ray.domain.plan import NOWHERE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing

TRIES = 32  # blocked moves for which parking is tried before one is forced
ROUNDING = 1e-12  # of a ceiling: parts of a split order param are not whole units


@dataclass(frozen=True)
class WaveSettings:
    """How much may run at the same time.

    Attributes:
        moves: most moves in one wave, >= 1.
        moves_per_shard: most moves in one wave that leave or reach one shard, >= 1.
    """

    moves: int = 1_000_000
    moves_per_shard: int = 1_000_000

    def __post_init__(self) -> None:
        if min(self.moves, self.moves_per_shard) < 1:
            raise ValueError(f"a wave must allow at least one move: {self}")


class Step(NamedTuple):
    """When and how one order param moves.

    Attributes:
        row: of the packing.
        wave: in which it reaches its destination.
        via: third shard on the way, or -1.
        via_wave: in which it reaches `via`; 0 for none.
        forced: it arrives above the limit of its destination, because the plan leaves it there or nothing better was found.
    """

    row: int
    wave: int
    via: int = NOWHERE
    via_wave: int = 0
    forced: bool = False

    @property
    def first_wave(self) -> int:
        """The wave in which it starts."""
        return self.via_wave or self.wave


def waves(packing: Packing, shard_of: NDArray[np.int64], settings: WaveSettings | None = None) -> tuple[Step, ...]:
    """Return a step for each order param that leaves its shard, by the wave in which it starts, most urgent first."""
    rows = _by_urgency(packing, shard_of)
    state = _State.start(packing, shard_of, rows, settings or WaveSettings())
    while state.waiting.size:
        state.next_wave()
    steps = (
        Step(*step)
        for step in zip(
            rows.tolist(),
            state.wave.tolist(),
            state.via.tolist(),
            state.via_wave.tolist(),
            state.forced.tolist(),
            strict=True,
        )
    )
    return tuple(sorted(steps, key=lambda step: step.first_wave))  # stable: urgency stays within a wave


def _by_urgency(packing: Packing, shard_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (M,): the rows that leave their shard, most urgent first."""
    rows = np.flatnonzero(shard_of != packing.current)
    source, destination = packing.current[rows], shard_of[rows]
    over = packing.over(packing.use_now)
    columns = over.shape[1]
    hot = over.max(axis=1, initial=0.0) > 0
    first = np.where(hot, (over > 0).argmax(axis=1) if columns else 0, columns)  # (S,)
    shared = first.copy()
    np.minimum.at(shared, destination, first[source])  # a shard that must make room is as urgent as who comes
    when = np.where(hot[source], first[source], shared[source])
    when[packing.must_leave[rows]] = -1
    share = np.divide(over, packing.limit, out=np.zeros_like(over), where=np.isfinite(packing.limit) & (packing.limit > 0))
    worst = share.max(axis=1, initial=0.0)[source]
    return rows[np.lexsort((rows, -packing.load[rows].sum(axis=1), -worst, when))]


@dataclass(eq=False)
class _State:
    """The schedule as it grows. M moves, most urgent first; S shards, D columns.

    Attributes:
        load: (M, D).
        place: (M,) shard where each is now; `destination`: (M,) where it is to be.
        held: (S, D) load on the shards, of order params that rest there.
        ceiling: (S, D).
        waiting: positions of moves that have not been scheduled to their destination.
        wave, via, via_wave, forced: (M,) as in `Step`.
        taken: shards where a member of a spread group rests at some time, by group.
        before: (P, 2) pairs (move, other): the other leaves the move's destination, and is of its spread group.
        now: number of the wave.
    """

    packing: Packing
    settings: WaveSettings
    rows: NDArray[np.int64]
    load: NDArray[np.float64]
    place: NDArray[np.int64]
    destination: NDArray[np.int64]
    held: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    waiting: NDArray[np.int64]
    wave: NDArray[np.int64]
    via: NDArray[np.int64]
    via_wave: NDArray[np.int64]
    forced: NDArray[np.bool_]
    taken: dict[int, set[int]]
    before: NDArray[np.int64]
    now: int = 0

    @classmethod
    def start(cls, packing: Packing, shard_of: NDArray[np.int64], rows: NDArray[np.int64], settings: WaveSettings) -> _State:
        """Return the state before the first wave."""
        count = rows.size
        return cls(
            packing=packing,
            settings=settings,
            rows=rows,
            load=np.ascontiguousarray(packing.load[rows]),
            place=packing.current[rows].copy(),
            destination=shard_of[rows].copy(),
            held=packing.use_now.copy(),
            ceiling=np.maximum(packing.limit, packing.use(shard_of)) * (1 + ROUNDING),
            waiting=np.arange(count),
            wave=np.zeros(count, dtype=np.int64),
            via=np.full(count, NOWHERE, dtype=np.int64),
            via_wave=np.zeros(count, dtype=np.int64),
            forced=np.zeros(count, dtype=np.bool_),
            taken=_taken(packing, shard_of, rows),
            before=_before(packing, shard_of, rows),
        )

    def next_wave(self) -> None:
        """Schedule what fits; if nothing does, park or force something."""
        self.now += 1
        arrives = np.zeros(self.rows.size, dtype=np.bool_)
        busy = np.zeros(self.held.shape[0], dtype=np.int64)
        fill_wave(
            self.waiting,
            self.load,
            self.place,
            self.destination,
            self.held,
            self.ceiling,
            self.before,
            self.place != self.packing.current[self.rows],
            busy,
            self.settings.moves,
            self.settings.moves_per_shard,
            arrives,
        )
        done = np.flatnonzero(arrives)
        if done.size:
            self._arrived(done)
        elif not self._park():
            self._force()

    def _arrived(self, done: NDArray[np.int64]) -> None:
        """End a wave in which these have come to their destination."""
        to = self.destination[done]
        beyond = (self.load[done] > 0) & (self.held[to] > self.packing.limit[to] * (1 + ROUNDING))
        self.forced[done] = beyond.any(axis=1)
        self._leave(done, to)
        self.wave[done] = self.now
        self.waiting = self.waiting[self.wave[self.waiting] == 0]

    def _leave(self, moves: NDArray[np.int64], to: NDArray[np.int64]) -> None:
        """End a wave: what has moved is no more where it was."""
        np.subtract.at(self.held, self.place[moves], self.load[moves])
        self.place[moves] = to

    def _park(self) -> bool:
        """Park, for the most urgent blocked moves that this helps, who leaves their destination; return if any was."""
        parked: dict[int, int] = {}  # move -> third shard
        blocked_by: dict[int, list[int]] = {}
        for move in self.waiting.tolist():
            blocked_by.setdefault(int(self.place[move]), []).append(move)
        for move in self.waiting[:TRIES].tolist():
            leavers = [other for other in blocked_by.get(int(self.destination[move]), []) if self.via[other] == NOWHERE]
            if not parked.keys() & {move, *leavers}:
                parked |= self._make_room(move, leavers, len(parked))
        for other, shard in parked.items():
            self.via[other], self.via_wave[other] = shard, self.now
            self.taken.setdefault(int(self.packing.group[self.rows[other]]), set()).add(shard)
        moves = np.array(list(parked), dtype=np.int64)
        self._leave(moves, np.array(list(parked.values()), dtype=np.int64))
        return bool(parked)

    def _make_room(self, move: int, leavers: list[int], running: int) -> dict[int, int]:
        """Return who is parked where so that a move fits; empty, and nothing changed, if that is not possible."""
        destination, chosen = int(self.destination[move]), dict[int, int]()
        free = self.ceiling[destination] - self.held[destination] - self.load[move]
        for other in sorted(leavers, key=lambda other: -float(self.load[other].sum())):
            if self._fits(free, self.load[move]):
                break
            shard = (
                self._third_shard(other, exclude=int(self.place[move])) if running + len(chosen) < self._most() else NOWHERE
            )
            if shard != NOWHERE:
                chosen[other] = shard
                self.held[shard] += self.load[other]
                free = free + self.load[other]
        if chosen and self._fits(free, self.load[move]):
            return chosen
        for other, shard in chosen.items():
            self.held[shard] -= self.load[other]
        return {}

    @staticmethod
    def _fits(free: NDArray[np.float64], load: NDArray[np.float64]) -> bool:
        return bool((free[load > 0] >= 0).all())

    def _most(self) -> int:
        return min(self.settings.moves, self.settings.moves_per_shard)

    def _third_shard(self, move: int, exclude: int) -> int:
        """Return the shard with the most room for a move where it may rest for a while, or -1."""
        packing, row = self.packing, int(self.rows[move])
        allowed = packing.allowed[packing.rule[row]].copy()
        allowed[[self.place[move], self.destination[move], exclude]] = False
        if packing.group[row] >= 0:
            allowed[list(self.taken.get(int(packing.group[row]), ()))] = False
        shards = np.flatnonzero(allowed)
        loaded = self.load[move] > 0
        after = self.held[shards][:, loaded] + self.load[move, loaded]
        fits = (after <= self.packing.limit[shards][:, loaded]).all(axis=1)
        if not fits.any():
            return NOWHERE
        capacity = packing.capacity[shards][:, loaded]
        filled = np.divide(after, capacity, out=np.full_like(after, np.inf), where=capacity > 0).max(axis=1, initial=0.0)
        return int(shards[np.argmin(np.where(fits, filled, np.inf))])

    def _force(self) -> None:
        """Schedule the one move that overloads its destination least."""
        to = self.destination[self.waiting]
        held, ceiling, load = self.held[to], self.ceiling[to], self.load[self.waiting]
        added = np.maximum(0.0, held + load - ceiling) - np.maximum(0.0, held - ceiling)
        move = self.waiting[[int(np.argmin((added * self.packing.weight[to]).sum(axis=1)))]]
        np.add.at(self.held, self.destination[move], self.load[move])
        self._arrived(move)
        self.forced[move] = True


def _taken(packing: Packing, shard_of: NDArray[np.int64], rows: NDArray[np.int64]) -> dict[int, set[int]]:
    """Return, for the groups of these rows, the shards on which a member rests before or after the plan."""
    taken: dict[int, set[int]] = {}
    for group in np.unique(packing.group[rows]).tolist():
        if group >= 0:
            members = packing.group_member[packing.group_start[group] : packing.group_start[group + 1]]
            taken[group] = set(packing.current[members].tolist()) | set(shard_of[members].tolist())
    return taken


def _before(packing: Packing, shard_of: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (P, 2), ascending: a move, and a move of a member of its spread group away from where the first one goes."""
    leaver: dict[tuple[int, int], list[int]] = {}
    grouped = np.flatnonzero(packing.group[rows] >= 0).tolist()
    for move in grouped:
        leaver.setdefault((int(packing.group[rows[move]]), int(packing.current[rows[move]])), []).append(move)
    pairs = [
        (move, other)
        for move in grouped
        for other in leaver.get((int(packing.group[rows[move]]), int(shard_of[rows[move]])), [])
    ]
    return np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)


@kernel
def fill_wave(
    waiting: NDArray[np.int64],
    load: NDArray[np.float64],
    place: NDArray[np.int64],
    destination: NDArray[np.int64],
    held: NDArray[np.float64],
    ceiling: NDArray[np.float64],
    before: NDArray[np.int64],
    gone: NDArray[np.bool_],
    busy: NDArray[np.int64],
    moves: int,
    moves_per_shard: int,
    arrives: NDArray[np.bool_],
) -> None:
    """Mark in `arrives`, and add to `held` and `busy`, each waiting move that fits beside all that is there and arrives.

    `before` (P, 2): pairs (move, other) in ascending order of moves: a move waits until the other is `gone` (M,) from its
    shard.
    """
    for move in waiting:
        blocked = False
        for pair in range(np.searchsorted(before[:, 0], move), before.shape[0]):
            if before[pair, 0] != move:
                break
            blocked = blocked or not gone[before[pair, 1]]
        if blocked:
            continue
        source, to = place[move], destination[move]
        if busy[source] >= moves_per_shard or busy[to] >= moves_per_shard:
            continue
        fits = True
        for column in range(load.shape[1]):
            if load[move, column] > 0 and held[to, column] + load[move, column] > ceiling[to, column]:
                fits = False
                break
        if fits:
            arrives[move] = True
            for column in range(load.shape[1]):
                held[to, column] += load[move, column]
            busy[source] += 1
            busy[to] += 1
            moves -= 1
            if moves == 0:
                return
