"""What a plan comes to, as data: utilisation of every shard before and after, the JSON document, the table of reasons.

How it is shown is in `service.plan_screen` and `service.plan_page`; nothing here decides anything about the plan.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from plb_ray.domain.plan import PlanStatus, Termination
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from plb_ray.domain.plan import Move, Plan, PlanProblem

STATUS_WORDS = {
    PlanStatus.NOT_NEEDED: "nothing overloads and no rule is broken",
    PlanStatus.OPTIMAL: "no plan does as much with less migration cost (proven)",
    PlanStatus.FEASIBLE: "no overload, no broken rule; the gap says how far the cost may be from the least",
    PlanStatus.PARTIAL: "some overload or broken rule stays, see below",
    PlanStatus.REFUSED: "the plan does not hold, nothing may be executed",
}
MOVED = "moved"  # the code of what does not stay
TERMINATION_WORDS = {
    Termination.PROVEN: "nothing better exists",
    Termination.GAP: "the cost is within the asked gap of its bound",
    Termination.WORK: "the work budget is used",
    Termination.DEADLINE: "the time is used",
    Termination.EXHAUSTED: "every stage has run to its end",
}


@dataclass(frozen=True, eq=False)
class Usage:
    """What each shard carries: (S, T, R) load and utilisation, (S,) order params (segments count each).

    A load on no capacity at all is an infinite utilisation; a load on an unlimited one is 0.
    """

    load: NDArray[np.float64]
    utilisation: NDArray[np.float64]
    order_params: NDArray[np.int64]

    @property
    def peak(self) -> NDArray[np.float64]:
        """(S,): the highest over steps and resources."""
        peak: NDArray[np.float64] = self.utilisation.max(axis=(1, 2), initial=0.0)
        return peak

    def binding(self, shard: int) -> tuple[int, int]:
        """Return step and resource of a shard's highest utilisation."""
        steps, resources = self.utilisation.shape[1:]
        highest = int(np.argmax(self.utilisation[shard])) if steps * resources else 0
        return highest // max(1, resources), highest % max(1, resources)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A plan that was checked, and what it comes to.

    Attributes:
        kept: (K,) reason codes of `optimizer.explain.ReasonKept`.
        notes: how the files were understood, in words.
        elapsed_s: reading, planning and checking.
    """

    problem: PlanProblem
    plan: Plan
    kept: NDArray[np.str_]
    before: Usage
    after: Usage
    notes: tuple[str, ...]
    read_s: float
    elapsed_s: float

    @classmethod
    def of(
        cls,
        problem: PlanProblem,
        plan: Plan,
        kept: NDArray[np.str_],
        notes: tuple[str, ...],
        read_s: float,
        elapsed_s: float,
    ) -> Outcome:
        """Return the outcome of a plan."""
        owners, share = owners_before(problem)
        before = usage(problem, owners, share)
        after = usage(problem, owners_after(problem, plan, owners), share)
        return cls(problem, plan, kept, before, after, notes, read_s, elapsed_s)


@dataclass(frozen=True, eq=False)
class Owners:
    """Which shard holds which part of which order param: (P,) origin, (P,) shard or -1; a part is a segment or the whole."""

    origin: NDArray[np.int64]
    shard: NDArray[np.int64]


def owners_before(problem: PlanProblem) -> tuple[Owners, NDArray[np.float64]]:
    """Return the owners now, and (P,) the share of its order param's load that a part carries."""
    origin = np.arange(len(problem.order_params))
    if problem.segments > 1:
        from optimizer.packing import pack  # noqa: PLC0415  only to know what is split

        origin = pack(problem).origin
    parts = np.bincount(origin, minlength=len(problem.order_params))
    return Owners(origin, problem.current[origin]), 1.0 / parts[origin]


def owners_after(problem: PlanProblem, plan: Plan, before: Owners) -> Owners:
    """Return the owners when the plan is carried out."""
    first = np.searchsorted(before.origin, np.arange(len(problem.order_params)))
    row_of = {name: row for row, name in enumerate(problem.order_params)} if plan.moves else {}
    position = {name: number for number, name in enumerate(problem.shards)}
    shard = before.shard.copy()
    for move in plan.moves:
        shard[first[row_of[move.order_param]] + max(0, move.segment - 1)] = position[move.destination]
    return Owners(before.origin, shard)


def usage(problem: PlanProblem, owners: Owners, share: NDArray[np.float64]) -> Usage:
    """Return what each shard carries."""
    shards, (_, steps, resources) = len(problem.shards), problem.load.shape
    placed = owners.shard >= 0
    origin, shard, share = owners.origin[placed], owners.shard[placed], share[placed]
    load = np.zeros((shards, steps, resources))
    for step in range(steps):
        for each in range(resources):
            weights = problem.load[origin, step, each] * share
            load[:, step, each] = np.bincount(shard, weights=weights, minlength=shards)
    with np.errstate(divide="ignore", invalid="ignore"):
        utilisation = load / problem.capacity[:, None, :]
    return Usage(load, np.where(load > 0, utilisation, 0.0), np.bincount(shard, minlength=shards))


def document(outcome: Outcome) -> dict[str, Any]:
    """Return what `--json` writes. Infinite figures are null there."""
    plan, problem = outcome.plan, outcome.problem
    return {
        "status": plan.status.value,
        "termination": plan.termination.value,
        "overload_before": plan.overload_before,
        "overload": plan.overload_after,
        "moves": [_move(move) for move in plan.moves],
        "move_cost": plan.cost,
        "lower_bound": plan.bound,
        "gap": plan.gap,
        "max_utilisation": _finite(plan.max_utilisation),
        "elapsed_s": round(outcome.elapsed_s, 4),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "verified": True,
        "broken_before": plan.broken_before,
        "broken": plan.broken_after,
        "unresolved": list(plan.unresolved),
        "notes": list(outcome.notes),
        "mode": problem.mode.value,
        "waves": max((move.wave for move in plan.moves), default=0),
        "max_utilisation_before": _finite(float(outcome.before.peak.max(initial=0.0))),
        "read_s": round(outcome.read_s, 4),
        "solve_s": round(plan.solve_s, 4),
        "first_sound_s": plan.first_sound_s,
        "seed": problem.budget.seed,
        "order_params": len(problem.order_params),
        "steps": list(problem.words.steps),
        "resources": list(problem.resources),
        "shards": [_shard(outcome, shard) for shard in range(len(problem.shards))],
        "not_moved": not_moved_counts(outcome),
        "version": version("plb-ray"),
    }


def _move(move: Move) -> dict[str, Any]:
    fields = asdict(move)
    return {
        name: fields[name]
        for name in ("order_param", "source", "destination", "reason", "wave", "segment", "via", "via_wave")
    }


def _shard(outcome: Outcome, shard: int) -> dict[str, Any]:
    problem = outcome.problem
    step, each = outcome.after.binding(shard)
    return {
        "shard": problem.shards[shard],
        "utilisation_before": _finite(float(outcome.before.peak[shard])),
        "utilisation": _finite(float(outcome.after.peak[shard])),
        "headroom": float(problem.headroom[shard]),
        "binds": problem.resources[each],
        "binds_at": problem.words.steps[step],
        "order_params_before": int(outcome.before.order_params[shard]),
        "order_params": int(outcome.after.order_params[shard]),
        "resources": [_resource(outcome, shard, each) for each in range(len(problem.resources))],
    }


def _resource(outcome: Outcome, shard: int, each: int) -> dict[str, Any]:
    """Return the load of one shard on one resource, named as the API names it; the highest over steps."""
    problem, found = outcome.problem, {"before": outcome.before, "after": outcome.after}
    return {
        "resource": problem.resources[each],
        "capacity": _finite(float(problem.capacity[shard, each])),
        "headroom": float(problem.headroom[shard]),
        **{name: float(used.load[shard, :, each].max(initial=0.0)) for name, used in found.items()},
        **{
            f"utilisation_{name}": _finite(float(used.utilisation[shard, :, each].max(initial=0.0)))
            for name, used in found.items()
        },
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def peak_memory_mb() -> float:
    """Return the most memory this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024  # bytes there, KiB here


def over_limit(problem: PlanProblem, used: Usage) -> NDArray[np.bool_]:
    """Return (S,): whether a shard is above capacity x headroom anywhere, beyond rounding."""
    over: NDArray[np.bool_] = used.peak > problem.headroom * (1 + 1e-6)
    return over


def not_moved_counts(outcome: Outcome) -> dict[str, int]:
    """Return how many order params stay, by reason code."""
    codes, counts = np.unique(outcome.kept, return_counts=True)
    return {code: count for code, count in zip(codes.tolist(), counts.tolist(), strict=True) if code != MOVED}


def write_json(path: Path, found: dict[str, Any]) -> None:
    """Write JSON; a reader sees the whole file or the old one."""
    write_whole(path, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name and put it in its place.

    Raises:
        BadInputError: it cannot be written there.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadInputError(f"{path}: cannot be written ({error.strerror}); name a file in a folder that exists") from None


def explain_csv(outcome: Outcome) -> str:
    """Return one row per move, in order, then one per order param that stays, with why."""
    import io  # noqa: PLC0415  needed here alone

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("order_param", "source", "destination", "moves", "wave", "segment", "via", "via_wave", "reason"))
    for move in outcome.plan.moves:
        place = (move.order_param, move.source, move.destination, "true")
        writer.writerow((*place, move.wave, move.segment or "", move.via, move.via_wave or "", move.reason))
    problem = outcome.problem
    shards = (*problem.shards, "")
    for name, shard, reason in zip(problem.order_params, problem.current.tolist(), outcome.kept.tolist(), strict=True):
        if reason != MOVED:
            writer.writerow((name, shards[shard], shards[shard], "false", "", "", "", "", reason))
    return file.getvalue()
