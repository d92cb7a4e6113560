"""The named cases: every figure that the planner is held to, with the instance it is measured on and the goal.

A case is data; `measure.py` knows how each kind is measured, `__main__.py` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.bench.instances import Recipe, tight
from tests.bench.machines import Machines
from tests.bench.steps import Cargo, Day

HOW = {
    "median": np.median,
    "p95": lambda values: np.quantile(values, 0.95, method="higher"),
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
}


@dataclass(frozen=True)
class Goal:
    """A figure over the seeds that must be at most (or at least) a value.

    Attributes:
        figure: a column of the rows.
        how: key of `HOW`.
        sense: "<=" or ">=".
        value: the goal.
        who: the rows it is taken from.
    """

    figure: str
    how: str
    sense: str
    value: float
    who: str = "planner"

    def measured(self, rows) -> float | None:
        """Return the figure, or None if no row has it."""
        values = [row[self.figure] for row in rows if row["who"] == self.who and row.get(self.figure) is not None]
        return float(HOW[self.how](values)) if values else None

    def met(self, measured: float) -> bool:
        """Return whether a measured figure meets the goal."""
        return measured <= self.value if self.sense == "<=" else measured >= self.value

    def __str__(self) -> str:
        """Return e.g. "p95 of first_s <= 0.5 (planner)"."""
        return f"{self.how} of {self.figure} {self.sense} {self.value:g} ({self.who})"


@dataclass(frozen=True)
class Case:
    """One named measurement.

    Attributes:
        name: what `--case` takes.
        kind: how it is measured: a key of `measure.KINDS`.
        recipe: of the instances.
        small: a recipe of the same kind that takes a second, for the smoke run.
        wall_s: the planner's time.
        goals: what is compared.
        soon_s: a second run gets this much time and must be sound by then; 0 = no second run.
        others_s: time of each exact model.
        targets: of a frontier, as utilisations.
        seeds: fewer seeds than asked for where one takes minutes.
    """

    name: str
    kind: str
    recipe: Recipe | Day | Machines | Cargo
    small: Recipe | Day | Machines | Cargo
    wall_s: float = 10.0
    goals: tuple[Goal, ...] = ()
    soon_s: float = 0.0
    others_s: float = 60.0
    targets: tuple[float, ...] = ()
    seeds: int = 1_000


SOUND = (Goal("overload", "max", "<=", 0), Goal("broken", "max", "<=", 0), Goal("faults", "max", "<=", 0))
VERIFIED = Goal("faults", "max", "<=", 0)
SMALL = Recipe(300, 10)
SMALL_TIGHT = tight(60, 6)
SMALL_CARGO = Cargo(200, 6)
SMALL_DAY = Day(200, 8, fullness=0.94)
TARGETS = (0.90, 0.88, 0.86, 0.84, 0.82, 0.80, 0.78, 0.76)

SIZES = {"1k": (1_000, 20), "2k": (2_000, 50), "10k": (10_000, 100), "50k": (50_000, 500), "100k": (100_000, 1_000)}
LARGE = {"300k": (300_000, 3_000), "1M": (1_000_000, 10_000)}
FIRST_S = {
    ("10k", False): 0.1,
    ("50k", False): 0.5,
    ("100k", False): 1.0,
    ("10k", True): 0.5,
    ("50k", True): 3.0,
    ("100k", True): 5.0,
    ("300k", False): 3.0,
    ("1M", False): 30.0,
}


def relief(size: str, utilisation: float, wall_s: float = 10.0, seeds: int = 1_000) -> Case:
    """Return the case of ending overload at one size and mean utilisation; full means above 0.8."""
    full = utilisation > 0.8
    over = (1.05, 1.15) if full else (1.005, 1.03)
    first_s = FIRST_S.get((size, full), 0.0)
    goals = [*SOUND, Goal("over_bound", "median", "<=", over[0]), Goal("over_bound", "p95", "<=", over[1])]
    goals += [Goal("of_cost-ratio", "median", "<=", 0.67)]
    if first_s:
        goals += [Goal("first_s", "p95", "<=", first_s), Goal("overload", "max", "<=", 0, "planner, soon")]
    if size == "100k":
        goals.append(Goal("peak_mb", "max", "<=", 500))
    return Case(
        name=f"relief-{size}-u{utilisation * 100:.0f}",
        kind="relief",
        recipe=Recipe(*(SIZES | LARGE)[size], utilisation=utilisation),
        small=SMALL,
        wall_s=wall_s,
        goals=tuple(goals),
        soon_s=first_s,
        seeds=seeds,
    )


def against_oracle(order_params: int, shards: int, utilisation: float, others_s: float, seeds: int = 1_000) -> Case:
    """Return the case of a tight instance whose optimum an exact model proves."""
    return Case(
        name=f"oracle-{order_params}x{shards}-u{utilisation * 100:.0f}",
        kind="oracle",
        recipe=tight(order_params, shards, utilisation),
        small=SMALL_TIGHT,
        goals=(
            VERIFIED,
            Goal("overload", "max", "<=", 0),
            Goal("bound_holds", "min", ">=", 1),
            Goal("optimal", "mean", ">=", 0.9),
            Goal("over_optimum", "mean", "<=", 1.01),
            Goal("over_optimum", "max", "<=", 1.05),
        ),
        others_s=others_s,
        seeds=seeds,
    )


def side_by_side(size: str) -> Case:
    """Return the case of planner, greedy balancers and naive exact models on the same instances."""
    return Case(
        name=f"exact-{size}",
        kind="exact",
        recipe=Recipe(*SIZES[size], utilisation=0.8, hot=0.2),
        small=SMALL_TIGHT,
        goals=(*SOUND, Goal("over_best", "max", "<=", 1.05)),
        others_s=60.0,
        seeds=2,
    )


def over_steps(name: str, recipe: Day, wall_s: float) -> Case:
    """Return the case of a re-plan over many steps that must be sound within its time."""
    return Case(
        name=name,
        kind="steps",
        recipe=recipe,
        small=SMALL_DAY,
        wall_s=wall_s,
        goals=(*SOUND, Goal("first_s", "p95", "<=", wall_s), Goal("elapsed_s", "p95", "<=", wall_s)),
    )


def machines(name: str, recipe: Machines, goals: tuple[Goal, ...] = SOUND, wall_s: float = 10.0) -> Case:
    """Return the case of an instance like ROADEF/EURO 2012."""
    return Case(name=name, kind="machines", recipe=recipe, small=Machines(40, 4), wall_s=wall_s, goals=goals)


CASES = (
    *(relief(size, u) for size in SIZES for u in (0.62, 0.76, 0.82, 0.85)),
    relief("300k", 0.76, wall_s=20, seeds=3),
    relief("1M", 0.72, wall_s=60, seeds=2),
    *(against_oracle(n, s, u, 20) for n, s in ((60, 6), (150, 8), (300, 12)) for u in (0.78, 0.82, 0.86)),
    *(against_oracle(n, s, u, 120, seeds=3) for n, s in ((1_000, 20), (2_000, 50)) for u in (0.78, 0.84)),
    side_by_side("1k"),
    side_by_side("2k"),
    Case(
        name="frontier-100k",
        kind="frontier",
        recipe=Recipe(100_000, 1_000),
        small=SMALL,
        targets=TARGETS,
        wall_s=9.5,
        goals=(VERIFIED, Goal("elapsed_s", "p95", "<=", 10.0), Goal("reached", "min", ">=", len(TARGETS))),
    ),
    over_steps("steps-10k-24", Day(10_000, 100), 0.3),
    over_steps("steps-10k-24-full", Day(10_000, 100, fullness=0.88), 1.0),
    over_steps("steps-10k-96", Day(10_000, 100, steps=96), 2.0),
    over_steps("steps-100k-24", Day(100_000, 1_000), 15.0),
    Case(
        name="fleet-100k",
        kind="fleet",
        recipe=Cargo(100_000, 1_000),
        small=SMALL_CARGO,
        wall_s=14.0,
        goals=(VERIFIED, Goal("beyond_allowed", "max", "<=", 0), Goal("elapsed_s", "max", "<=", 15.0)),
        seeds=3,
    ),
    Case(
        name="fleet-types-10k",
        kind="fleet-types",
        recipe=Cargo(10_000, 100),
        small=SMALL_CARGO,
        goals=(VERIFIED, Goal("over_bound", "max", "<=", 1.01)),
        seeds=3,
    ),
    Case(
        name="fleet-steps-10k-24",
        kind="fleet-steps",
        recipe=Cargo(10_000, 60, steps=24, swing=0.6, piece=0.15),
        small=Cargo(200, 6, steps=24, swing=0.6, piece=0.15),
        wall_s=15.0,
        goals=(VERIFIED, Goal("saved", "min", ">=", 0.30)),
        seeds=3,
    ),
    machines("roadef-100x4", Machines(100, 4), (*SOUND, Goal("over_optimum", "max", "<=", 1.05))),
    machines("roadef-30x4-short", Machines(30, 4, service=2.0, cut=0.08), (VERIFIED, Goal("over_least", "max", "<=", 1.0))),
    machines("roadef-1000x50", Machines(1_000, 50)),
    machines("roadef-1000x100", Machines(1_000, 100)),
    machines("roadef-5000x100", Machines(5_000, 100)),
    machines("roadef-20000x500", Machines(20_000, 500), wall_s=30.0),
)


def find(name: str) -> Case:
    """Return the case of that name.

    Raises:
        KeyError: there is none.
    """
    return {case.name: case for case in CASES}[name]
