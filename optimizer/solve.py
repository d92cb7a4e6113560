"""The composite solver: a packing in, the best allocation found within the budget out, with what is proven about it.

Stages, each a module of its own that can be used alone
    0 pack         whole units, segments, rules as arrays                              `packing`
    a evict        cheapest eviction per hot shard by exact knapsacks; LB0             `eviction`, `cover`
    b place        largest first, worst fit; if all fit, the cost is LB0: optimal      `placement`
    c repair       ejection chains over priced covers for what fits nowhere            `repair`
    d anneal       only while overload remains: shifts and swaps                       `anneal`
    e exact        small packings: CP-SAT on the whole, goal after goal, with proof    `exact`, `cpsat`
    f improve      polishing chains round the shards that cost more than their bound, and CP-SAT on the shards around one;
                   before `exact` for a part of the time, after it for the rest        `polish`, `walk`, `exact`
    g tidy         needless moves back home, the others to the roomiest destination    `placement`

The allocation is never worse than the current one: what a stage gives is kept only if its score is smaller. Where overload
stays, its least amount found becomes the limit of the cells that have it, and the later stages lower the cost under that.

Deterministic for a seed and a work budget: every stage counts its work in steps that do not depend on the clock; only the
wall limit does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.anneal import SQUEEZE, STAGES, Stage, anneal, energy_scale
from optimizer.board import State, fixed_of, state_of
from optimizer.eviction import Eviction, evict, settle
from optimizer.placement import largest_first, place, place_anyway, tidy
from optimizer.repair import CHAINS, lists_of, memory_of, repair
from optimizer.walk import Walk, construct_anew, cost_of
from plb_ray.domain.descent import Slope, descend
from plb_ray.domain.plan import Termination

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.packing import Packing, Score
    from plb_ray.domain.plan import PlanBudget

POLISH_ROUNDS = (4, 400)  # least and most attempts between two looks at the clock
WORK_ROUNDS = 100  # the same under a work budget, where the clock may decide nothing
LOOK_S = 0.05  # seconds between them, about
IDLE_ROUNDS = 1_200  # attempts without a gain, then parts are solved by CP-SAT
IDLE_PARTS = 3  # parts without a gain, then the walk starts elsewhere
IDLE_CYCLES = 10  # starts without a gain, then the search is over
PART_WORK = 500  # what one CP-SAT part counts as work, in attempts
PART_EFFORT, PART_WALL_S = 0.25, 2.0
PART_WAYS = 6_000  # most variables of a part
PART_SHARDS = 6
TINY_WAYS = 300  # with no more than that, the exact model of the whole comes first
IMPROVE_FIRST = 0.3  # of what is left is for improving before the exact model, which starts from the result
EXACT_WAYS = 30_000  # most order params x shards of the exact model of the whole
EXACT_SHARE = 0.8  # of the time that is left
EXACT_EFFORT_PER_S = 2.0  # deterministic time counted as one second
EXACT_WORKERS = 2  # where no work budget asks for the same answer every time
ANNEAL_STEPS = (100_000, 5_000_000)  # least and most of a stage
ANNEAL_CELLS_PER_S = 30e6  # (8 + D) x steps that a slow machine does
ANNEAL_SHARE = 0.6  # of the wall budget
ANNEAL_IDLE = 2  # rounds of all stages without a gain, then annealing ends
ANNEAL_GAIN = 0.005  # share of the overload that a round must end to count
EQUAL = 1e-9  # relative: costs that differ by less are equal
PROVEN = 1e-6  # relative: a cost this near its bound is proven; costs are rounded to 10^-7 in the exact model
SAME_OVERLOAD = 1e-6  # relative: overloads that differ by less are equal, unless one of them is 0


@dataclass(frozen=True, eq=False)
class Solution:
    """The best allocation found.

    Attributes:
        shard_of: (K,).
        score: of it.
        bound: proven lower bound on the cost of every allocation with as few broken rules and as little overload; 0 = none.
        eviction: the evictions and bounds that the search stood on.
        least_overload: proven that no allocation with as few broken rules has less overload.
        optimal: proven that none is better at all.
        sound: no overload and no broken rule that could be mended.
        termination: why the search stopped.
        first_sound_s: when the first sound allocation was known, in seconds from the start; None if none was.
        work: steps done.
    """

    shard_of: NDArray[np.int64]
    score: Score
    bound: float
    eviction: Eviction
    least_overload: bool
    optimal: bool
    sound: bool
    termination: Termination
    first_sound_s: float | None
    work: int


def solve(packing: Packing, budget: PlanBudget, now_s: Callable[[], float], started_s: float | None = None) -> Solution:
    """Return the best allocation found within the budget.

    Args:
        packing: the problem.
        budget: of time, work, moves, gap.
        now_s: a monotonic clock.
        started_s: when the budget's time began; now, if not given.
    """
    return _Search(packing, budget, now_s, now_s() if started_s is None else started_s).run()


def unavoidable(packing: Packing) -> int:
    """Return how many broken rules no allocation can mend: what may not move, or has nowhere to go."""
    stuck = ~(packing.movable & packing.has_place)
    member = packing.group_member[stuck[packing.group_member] & (packing.current[packing.group_member] != packing.nowhere)]
    places = packing.group[member] * packing.shards + packing.current[member]
    return int((packing.must_leave & stuck).sum()) + int(member.size - np.unique(places).size)


class _Search:
    """One run through the stages; keeps the best allocation so far."""

    def __init__(self, packing: Packing, budget: PlanBudget, now_s: Callable[[], float], started_s: float) -> None:
        self.packing, self.budget, self.now_s, self.started_s = packing, budget, now_s, started_s
        self.best, self.score = packing.current.copy(), packing.score(packing.current)
        self.floor = unavoidable(packing)
        self.first_sound_s: float | None = None
        self.work = 0
        self.pause_s, self.pause_work = 0.0, np.inf  # time left, and work done, at which improving pauses
        self.proven: float | None = None  # bound of the exact stage
        self.least_overload = False
        self.eviction = evict(packing)
        self.fixed = fixed_of(packing, self.eviction.forced)
        self.random = np.random.default_rng(budget.seed)
        self._note()

    # ---- what is known

    @property
    def sound(self) -> bool:
        return self.score.overload == 0 and self.score.broken <= self.floor

    @property
    def bound(self) -> float:
        bound = self.eviction.bound if self.sound else 0.0
        return min(self.score.cost, max(bound, self.proven or 0.0))

    @property
    def optimal(self) -> bool:
        least = self.sound or self.least_overload
        return least and self.score.cost <= self.bound * (1 + PROVEN) + EQUAL

    @property
    def near(self) -> bool:
        return self.sound and self.score.cost <= self.bound * (1 + self.budget.gap) + EQUAL

    def left_s(self) -> float:
        return self.started_s + self.budget.wall_s - self.now_s()

    def _late(self) -> bool:
        return self.left_s() <= 0

    def spent(self) -> bool:
        return self._late() or (self.budget.work is not None and self.work >= self.budget.work)

    def _note(self) -> None:
        if self.sound and self.first_sound_s is None:
            self.first_sound_s = self.now_s() - self.started_s

    def keep(self, shard_of: NDArray[np.int64]) -> bool:
        """Keep an allocation if it is better; return whether it was."""
        score = self.packing.score(shard_of)
        if not _less(score, self.score) or not self.packing.allows(shard_of):
            return False
        self.best, self.score = shard_of.copy(), score
        self._note()
        return True

    # ---- the stages

    def run(self) -> Solution:
        if self._needed():
            self._construct()
            if not self.sound:
                self._anneal()
            self._settle_bounds()
            if not self.optimal and self._ways() <= EXACT_WAYS and not self.spent():
                if self._ways() > TINY_WAYS:
                    self._improve(IMPROVE_FIRST)
                self._exact()
            if not self.optimal and not self.near:
                self._improve(1.0)
            self._tidy()
        return Solution(
            shard_of=self.best,
            score=self.score,
            bound=self.bound,
            eviction=self.eviction,
            least_overload=self.least_overload or self.score.overload == 0,
            optimal=self.optimal,
            sound=self.sound,
            termination=self._termination(),
            first_sound_s=self.first_sound_s,
            work=self.work,
        )

    def _needed(self) -> bool:
        return not self.sound and self.packing.current.size > 0 and self.packing.shards > 1

    def _termination(self) -> Termination:
        if self.optimal:
            return Termination.PROVEN
        if self.near:
            return Termination.GAP
        if self.left_s() <= 0:
            return Termination.DEADLINE
        return Termination.WORK if self.spent() else Termination.EXHAUSTED

    def _construct(self) -> None:
        packing, fixed = self.packing, self.fixed
        state = state_of(packing, packing.current)
        rows = largest_first(packing, np.flatnonzero(self.eviction.leaves))
        homeless = place(fixed, state, rows)
        if homeless and self.eviction.forced.any():
            place_anyway(fixed, state, rows)
        if homeless or self.eviction.cannot.any() or packing.over(state.use).any():
            self.keep(within_moves(packing, state.shard_of))
            self._repair(state)
        self.keep(within_moves(packing, state.shard_of))
        if not self.sound and packing.moves_max < packing.current.size:
            self.keep(descended(packing))

    def _repair(self, state: State) -> None:
        lists, memory = lists_of(self.packing), memory_of(self.packing, state, self.budget.seed)
        for chain in CHAINS:
            left = repair(self.fixed, state, lists, memory, chain, self._late)
            self.work += 1
            if left == 0 or self.spent():
                break

    def _anneal(self) -> None:
        packing = self.packing
        if (self.score.broken > self.floor and self.score.overload == 0) or packing.moves_max < packing.current.size:
            return
        until_s, idle = self.left_s() * (1 - ANNEAL_SHARE), 0
        while idle < ANNEAL_IDLE and self.score.overload > 0 and not self.spent():
            before = self.score.overload
            for stage in STAGES:
                if self.score.overload > 0 and self.left_s() > until_s and not self.spent():
                    self._anneal_stage(packing, stage, until_s)
            for stage in SQUEEZE:
                if self.left_s() > until_s and not self.spent():
                    self._anneal_stage(self._frozen(), stage, until_s)
            idle = idle + 1 if self.score.overload > before * (1 - ANNEAL_GAIN) else 0
            if self.left_s() <= until_s:
                break

    def _anneal_stage(self, packing: Packing, stage: Stage, until_s: float) -> None:
        """Anneal from the best, then repair what is left over; keep what is better by the limits of the stated packing."""
        fixed = self.fixed if packing is self.packing else fixed_of(packing, self.eviction.forced)
        state, best = state_of(packing, self.best), self.best.copy()
        memory = memory_of(packing, state, self.budget.seed + self.work)
        scale, cost = energy_scale(packing)
        steps = self._steps(packing, self.left_s() - until_s)
        anneal(fixed, state, memory, scale, stage.price * cost, best, steps, stage.hot, stage.cold)
        self.work += steps // 100
        self.keep(best)
        if packing.over(packing.use(best)).any():
            state = state_of(packing, best)
            lists, memory = lists_of(packing), memory_of(packing, state, self.budget.seed + self.work)
            for chain in CHAINS[:3]:
                repair(fixed, state, lists, memory, chain, self._late)
            self.keep(state.shard_of)

    def _steps(self, packing: Packing, left_s: float) -> int:
        """Return how many steps a stage has, by the size; without a work budget, no more than the time left allows."""
        steps = int(np.clip(1_000 * packing.current.size, *ANNEAL_STEPS))
        if self.budget.work is None:
            steps = min(
                steps,
                int(max(0.0, left_s) * ANNEAL_CELLS_PER_S / (8 + packing.load.shape[1])) // (len(STAGES) + len(SQUEEZE))
                + 1_000,
            )
        return steps

    def _settle_bounds(self) -> None:
        """Decide the knapsacks that were left open, the costliest first."""
        if not self.sound or self.optimal:
            return
        for shard in np.flatnonzero(self.eviction.undecided):
            if self.spent():
                break
            self.eviction = settle(self.packing, self.eviction, int(shard))

    def _ways(self) -> int:
        """Return how many variables an exact model of the whole has."""
        return int(self.packing.movable.sum()) * (self.packing.shards - 1)

    def _exact(self) -> None:
        from optimizer.exact import solve_exactly  # noqa: PLC0415 - ortools takes 0.5 s to import

        lower = self.eviction.lower if self.sound else None
        share = self.left_s() * EXACT_SHARE
        limit = share if self.budget.work is None else 1e9
        found = solve_exactly(
            self.packing,
            self.best,
            lower=lower,
            floor=self.floor,
            deterministic=min(limit, self.budget.wall_s) * EXACT_EFFORT_PER_S,
            left_s=self.left_s,
            seed=self.budget.seed,
            workers=1 if self.budget.work is not None else min(EXACT_WORKERS, os.cpu_count() or 1),
        )
        self.keep(found.shard_of)
        self.proven = found.bound
        self.least_overload = found.least_overload
        self.work += PART_WORK

    def _improve(self, share: float) -> None:
        """Lower the cost under the overload that is left: polish and solve parts until idle, then start over elsewhere.

        Spends at most this share of the time, or work, that is left.
        """
        self.pause_s = self.left_s() * (1 - share)
        self.pause_work = np.inf if self.budget.work is None else self.work + share * (self.budget.work - self.work)
        packing = self._frozen()
        if packing.moves_max < packing.current.size or (self.best == packing.current).all():
            return
        lower = self.eviction.lower if self.sound else evict(packing).lower
        walk, idle = Walk.of(packing, fixed_of(packing, self.eviction.forced), lower, self.best, self.budget.seed), 0
        while not self._enough() and idle < IDLE_CYCLES:
            before = self.score.cost
            self._polish(walk)
            self._solve_parts(walk)
            if self.score.cost < before * (1 - EQUAL):
                idle = 0
                walk = walk.at(self.best, self.budget.seed + self.work)
            else:
                idle += 1
                elsewhere = construct_anew(walk, self.eviction.leaves, self.budget.seed + self.work, self._late)
                walk = walk.at(self.best if elsewhere is None else elsewhere, self.budget.seed + self.work)

    def _enough(self) -> bool:
        return self.spent() or self.near or self.left_s() <= self.pause_s or self.work >= self.pause_work

    def _polish(self, walk: Walk) -> None:
        """Polish until nothing is gained for `IDLE_ROUNDS` attempts."""
        idle, rounds = 0, POLISH_ROUNDS[0] if self.budget.work is None else WORK_ROUNDS
        while idle < IDLE_ROUNDS and not self._enough():
            began_s = self.now_s()
            rounds = min(rounds, IDLE_ROUNDS - idle)
            gain_at = walk.polish(rounds)
            idle = rounds - gain_at if gain_at else idle + rounds
            self.work += rounds
            if walk.cost < self.score.cost:
                self.keep(walk.best)
            if self.budget.work is None:
                rounds = int(np.clip(rounds * LOOK_S / max(1e-6, self.now_s() - began_s), *POLISH_ROUNDS))

    def _solve_parts(self, walk: Walk) -> None:
        """Solve parts of the walk's best by CP-SAT until `IDLE_PARTS` have gained nothing."""
        from optimizer.exact import improve_part  # noqa: PLC0415 - ortools takes 0.5 s to import

        best, idle = walk.best, 0
        while idle < IDLE_PARTS and not self._enough():
            wall_s = self.left_s() if self.budget.work is not None else min(PART_WALL_S, self.left_s())
            seed = int(self.random.integers(2**31))
            found = improve_part(
                walk.packing, best, walk.lower, self.random, PART_SHARDS, PART_WAYS, PART_EFFORT, wall_s, seed
            )
            self.work += PART_WORK
            idle = idle + 1 if found is best else 0
            best = found
            if idle == 0 and cost_of(walk.packing, best) < self.score.cost:
                self.keep(best)

    def _frozen(self) -> Packing:
        """Return the packing with the overload that is left taken as allowed, cell by cell."""
        if self.score.overload == 0:
            return self.packing
        return self.packing.with_limit(np.maximum(self.packing.limit, self.packing.use(self.best)))

    def _tidy(self) -> None:
        packing = self._frozen()
        moved = np.flatnonzero(self.best != packing.current)
        state = state_of(packing, self.best)
        dearest_first = moved[np.argsort(-packing.cost[moved], kind="stable")]
        tidy(fixed_of(packing, self.eviction.forced), state, dearest_first)
        score = self.packing.score(state.shard_of)
        if not _less(self.score, score) and self.packing.allows(state.shard_of):
            self.best, self.score = state.shard_of.copy(), score


def _less(one: Score, other: Score) -> bool:
    """Return whether a score is smaller at the first goal that differs by more than rounding."""
    for mine, theirs, same in zip(one, other, (0.0, SAME_OVERLOAD, EQUAL), strict=True):
        if abs(mine - theirs) > same * max(abs(mine), abs(theirs)):
            return mine < theirs
    return False


def descended(packing: Packing) -> NDArray[np.int64]:
    """Return what the steepest way down makes of the current allocation, as far as the budget of moves allows.

    Where overload has to stay, what would end it does not fit anywhere, and what is left of that search within a few moves
    may be nothing, though most of the overload could be taken away. Members of spread groups stay.
    """
    slope = Slope(
        packing.load,
        packing.use_now,
        packing.limit,
        packing.weight,
        packing.current,
        packing.movable & (packing.group < 0),
        lambda rows: packing.allowed[packing.rule[rows]],
    )
    shard_of = packing.current.copy()
    least = SAME_OVERLOAD * float((packing.over(packing.use_now) * packing.weight).sum())
    for step in descend(slope, packing.moves_max, least):
        shard_of[step.row] = step.shard
    return shard_of


def within_moves(packing: Packing, shard_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the allocation with as many of its moves as the budget of moves allows: at each step the one that helps most.

    Cost: nothing where the budget suffices; else O(moves^2 x D).
    """
    moved = np.flatnonzero(shard_of != packing.current)
    if moved.size <= packing.moves_max:
        return shard_of
    kept, use = packing.current.copy(), packing.use_now.copy()
    waiting = moved
    for _ in range(packing.moves_max):
        source, shard = kept[waiting], shard_of[waiting]
        load, weight, limit = packing.load[waiting], packing.weight, packing.limit
        gain = (np.maximum(0, use[source] - limit[source]) - np.maximum(0, use[source] - load - limit[source])) * weight[
            source
        ]
        loss = (np.maximum(0, use[shard] + load - limit[shard]) - np.maximum(0, use[shard] - limit[shard])) * weight[shard]
        change = (gain - loss).sum(axis=1) + np.where(packing.must_leave[waiting], 1e30, 0.0)
        pick = int(np.argmax(change))
        if change[pick] <= 0:
            break
        row = waiting[pick]
        use[source[pick]] -= packing.load[row]
        use[shard[pick]] += packing.load[row]
        kept[row] = shard[pick]
        waiting = np.delete(waiting, pick)
    return kept
