"""The refusal of plan problems that make no sense, before any planning. Each refusal says what is wrong, where, what to do.

Everything is looked at as whole arrays, so that a million order params take well under a second. What is contradictory but
meaningful (a pinned order param on a draining shard, a group larger than the fleet) is no error: the plan says what stays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from plb_ray.domain.plan import NOWHERE, PlanMode
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from plb_ray.domain.plan import PlanBudget, PlanProblem


def check_problem(problem: PlanProblem) -> None:
    """Do nothing if the problem is well-formed.

    Raises:
        BadInputError: it is not; the text names the order param or shard, and the field.
    """
    _check_names(problem)
    _check_shapes(problem)
    _check_loads(problem)
    _check_shards(problem)
    _check_placement(problem)
    _check_rules(problem)
    _check_focus(problem)
    _check_numbers(problem)
    _check_budget(problem.budget)


def _refuse(text: str) -> NoReturn:
    raise BadInputError(f"plan problem: {text}")


def _check_names(problem: PlanProblem) -> None:
    for what, names in (("order param", problem.order_params), ("shard", problem.shards), ("resource", problem.resources)):
        if "" in names:
            _refuse(f"{what} number {names.index('') + 1} has an empty name; give every {what} a name")
        if len(set(names)) != len(names):
            _refuse(f"{what} {_repeated(names)!r} is listed more than once; names must be unique")


def _repeated(names: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def _check_shapes(problem: PlanProblem) -> None:
    count, shards, resources = len(problem.order_params), len(problem.shards), len(problem.resources)
    rules = problem.rules
    if problem.load.ndim != 3:
        _refuse(f"load has {problem.load.ndim} axes; it needs 3: order params, steps, resources")
    steps = problem.load.shape[1]
    expected = {
        "load": (problem.load, (count, steps, resources)),
        "capacity": (problem.capacity, (shards, resources)),
        "headroom": (problem.headroom, (shards,)),
        "current": (problem.current, (count,)),
        "move_cost": (problem.move_cost, (count,)),
        "overload_weight": (problem.overload_weight, (shards, resources)),
        "rules.pinned": (rules.pinned, (count,)),
        "rules.draining": (rules.draining, (shards,)),
        "rules.closed": (rules.closed, (shards,)),
        "rules.zone": (rules.zone, (shards,)),
        "rules.zone_set": (rules.zone_set, (count,)),
        "rules.spread_group": (rules.spread_group, (count,)),
        "rules.forbidden": (rules.forbidden, (len(rules.forbidden), 2)),
    }
    if problem.in_flight is not None:
        expected["in_flight"] = (problem.in_flight, (shards, steps, resources))
    for field, (array, shape) in expected.items():
        if array.shape != shape:
            _refuse(f"{field} has shape {array.shape}, but {shape} is needed for {count} order params and {shards} shards")
    if resources == 0 or steps == 0:
        _refuse(f"load has {steps} steps and {resources} resources; give at least one of each")


def _check_loads(problem: PlanProblem) -> None:
    _check_amounts(problem, "load", problem.load, "order param", problem.order_params)
    _check_amounts(problem, "move_cost", problem.move_cost, "order param", problem.order_params)
    if problem.in_flight is not None:
        _check_amounts(problem, "in_flight", problem.in_flight, "shard", problem.shards)


def _check_shards(problem: PlanProblem) -> None:
    shards = problem.shards
    with_limit = np.where(problem.capacity == np.inf, 0.0, problem.capacity)
    _check_amounts(problem, "capacity", with_limit, "shard", shards, more=" or infinite")
    for field, values in (("headroom", problem.headroom), ("overload_weight", problem.overload_weight)):
        row = _first(~(np.isfinite(values) & (values > 0)))
        if row is not None:
            _refuse(f"{field} of shard {shards[row]!r} is {_value(values[row])}; it must be finite and above 0")


def _check_amounts(
    problem: PlanProblem, field: str, values: NDArray[np.float64], what: str, names: Sequence[str], more: str = ""
) -> None:
    """Refuse what is negative or not finite. `values` (N, ...), `names` (N,); the last axis of a table is resources."""
    if values.size == 0 or (values.min() >= 0 and np.isfinite(values.max())):  # False for NaN as well
        return
    where = np.argwhere(~(np.isfinite(values) & (values >= 0)))[0].tolist()
    resource = f" of resource {problem.resources[where[-1]]!r}" if values.ndim > 1 else ""
    step = f" at step {where[1] + 1}" if values.ndim == 3 else ""
    _refuse(
        f"{field} of {what} {names[where[0]]!r}{resource}{step} is {float(values[tuple(where)]):g};"
        f" it must be 0 or more, and finite{more}"
    )


def _check_placement(problem: PlanProblem) -> None:
    shards = len(problem.shards)
    row = _first((problem.current < NOWHERE) | (problem.current >= shards))
    if row is not None:
        _refuse(
            f"current of order param {problem.order_params[row]!r} is {problem.current[row]},"
            f" but there are {shards} shards; give a position below that, or -1 if it has no shard"
        )


def _check_rules(problem: PlanProblem) -> None:
    rules, names = problem.rules, problem.order_params
    sets = len(rules.zone_sets)
    row = _first((rules.zone_set < NOWHERE) | (rules.zone_set >= sets))
    if row is not None:
        _refuse(
            f"rules.zone_set of order param {names[row]!r} is {rules.zone_set[row]}, but there are {sets} zone sets;"
            " give a position below that, or -1 for any zone"
        )
    row = _first(rules.spread_group < NOWHERE)
    if row is not None:
        _refuse(
            f"rules.spread_group of order param {names[row]!r} is {rules.spread_group[row]};"
            " give a number from 0, or -1 for no group"
        )
    _check_forbidden(problem)


def _check_forbidden(problem: PlanProblem) -> None:
    pairs = problem.rules.forbidden
    bounds = np.array([len(problem.order_params), len(problem.shards)])
    row = _first((pairs < 0) | (pairs >= bounds))
    if row is not None:
        _refuse(
            f"rules.forbidden pair {row + 1} is {tuple(pairs[row].tolist())}, but there are {bounds[0]} order params"
            f" and {bounds[1]} shards; give positions (order param, shard) below those"
        )


def _check_focus(problem: PlanProblem) -> None:
    shards = len(problem.shards)
    for position in problem.focus:
        if not 0 <= position < shards:
            _refuse(f"focus names shard position {position}, but there are {shards} shards; give a position below that")
    if problem.mode in (PlanMode.DRAIN, PlanMode.ADD) and not problem.focus:
        _refuse(f"mode {problem.mode.value!r} needs focus: name at least one shard to {_VERB[problem.mode]}")


_VERB = {PlanMode.DRAIN: "empty", PlanMode.ADD: "fill"}


def _check_numbers(problem: PlanProblem) -> None:
    if problem.segments < 1:
        _refuse(f"segments is {problem.segments}; it must be 1 (never split) or more")
    if not (math.isfinite(problem.band) and problem.band >= 0):
        _refuse(f"band is {problem.band:g}; it must be 0 or more, and finite")


def _check_budget(budget: PlanBudget) -> None:
    amounts = {field: getattr(budget, field) or 0 for field in ("wall_s", "work", "seed", "moves", "cost", "gap")}
    for field, amount in amounts.items():
        if not amount >= 0:
            _refuse(f"budget.{field} is {amount:g}; it must be 0 or more")


def _first(bad: NDArray[np.bool_]) -> int | None:
    """Return the first row of (N,) or (N, M) with a True, or None."""
    return int(np.argwhere(bad)[0, 0]) if bad.any() else None


def _value(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:g}" for value in np.atleast_1d(values).tolist())
