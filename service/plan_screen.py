"""What `plb plan` shows people: a summary, the hottest shards, the first moves with reasons. Nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from rich.text import Text

from service.cli_render import bar
from service.plan_report import STATUS_WORDS, TERMINATION_WORDS, peak_memory_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from plb_ray.domain.plan import PlanProblem
    from service.plan_report import Outcome

MOVES_SHOWN = 12
SHARDS_SHOWN = 8
UNRESOLVED_SHOWN = 10
STATUS_STYLES = {"partial": "bold yellow", "refused": "bold red"}


def screen(outcome: Outcome) -> Iterator[RenderableType]:
    """Yield what is shown, from top to bottom."""
    yield _verdict(outcome)
    yield _summary(outcome)
    yield from (Text(f"note: {note}", "dim") for note in outcome.notes)
    yield from _unresolved(outcome)
    if outcome.problem.shards:
        yield Text()
        yield _hottest(outcome)
    if outcome.plan.moves:
        yield Text()
        yield _moves(outcome)
        yield from _more(len(outcome.plan.moves), MOVES_SHOWN, "moves; --json and --explain list all")


def _verdict(outcome: Outcome) -> Text:
    style = STATUS_STYLES.get(outcome.plan.status.value, "bold green")
    return Text.assemble((outcome.plan.status.value.replace("_", " "), style), f"  {STATUS_WORDS[outcome.plan.status]}")


def _summary(outcome: Outcome) -> Table:
    plan, problem = outcome.plan, outcome.problem
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    moves = f"{len(plan.moves):,} of {len(problem.order_params):,} order params"
    waves = max((move.wave for move in plan.moves), default=0)
    rows = {
        "size": _size(problem),
        "overload": f"{_amount(plan.overload_before)} → {_amount(plan.overload_after)}",
        "broken rules": f"{plan.broken_before:,} → {plan.broken_after:,}",
        "highest utilisation": f"{percent(outcome.before.peak.max(initial=0.0))} → {percent(plan.max_utilisation)}",
        "moves": f"{moves}, in {waves} wave{'s' * (waves != 1)}" if plan.moves else "none",
        "migration cost": f"{_amount(plan.cost)}, proven to need at least {_amount(plan.bound)} (gap {plan.gap:.2%})",
        "stopped because": TERMINATION_WORDS[plan.termination],
        "checked": "every move, limit and figure was recomputed by the verifier",
        "took": f"{outcome.elapsed_s:.2f} s, of which reading {outcome.read_s:.2f} s; {peak_memory_mb():,.0f} MB",
    }
    for name, words in rows.items():
        table.add_row(name, words)
    return table


def _size(problem: PlanProblem) -> str:
    counts = {"order param": problem.order_params, "shard": problem.shards, "resource": problem.resources}
    counts["step"] = problem.words.steps
    return ", ".join(f"{len(each):,} {name}{'s' * (len(each) != 1)}" for name, each in counts.items())


def percent(share: float) -> str:
    """Return a share as people read it; a load on no capacity has none."""
    return f"{share:.1%}" if np.isfinite(share) else "load on no capacity"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"


def _unresolved(outcome: Outcome) -> Iterator[Text]:
    for sentence in outcome.plan.unresolved[:UNRESOLVED_SHOWN]:
        yield Text.assemble(("stays  ", "yellow"), sentence)
    yield from _more(len(outcome.plan.unresolved), UNRESOLVED_SHOWN, 'that stay; --json lists all in "unresolved"')


def _more(count: int, shown: int, what: str) -> Iterator[Text]:
    if count > shown:
        yield Text(f"and {count - shown:,} more {what}", "dim")


def _hottest(outcome: Outcome) -> Table:
    """Return the shards with the highest utilisation before or after, hottest before first."""
    problem = outcome.problem
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("hottest", "before", "after"):
        table.add_column(name, no_wrap=True)
    table.add_column("binds after", overflow="fold")
    table.add_column("limit", justify="right", overflow="fold")
    table.add_column("order params", justify="right", no_wrap=True)
    hottest = np.argsort(-np.maximum(outcome.before.peak, outcome.after.peak), kind="stable")[:SHARDS_SHOWN]
    for shard in hottest.tolist():
        step, each = outcome.after.binding(shard)
        name = problem.words.resources.get(problem.resources[each], problem.resources[each])
        table.add_row(
            Text(problem.shards[shard]),
            bar(min(outcome.before.peak[shard], 99.99), problem.headroom[shard]),
            bar(min(outcome.after.peak[shard], 99.99), problem.headroom[shard]),
            Text(f"{name}, {problem.words.steps[step]}" if len(problem.words.steps) > 1 else name),
            _limit(problem, shard, each),
            f"{outcome.before.order_params[shard]:,} → {outcome.after.order_params[shard]:,}",
        )
    return table


def _limit(problem: PlanProblem, shard: int, each: int) -> str:
    """Return up to where a shard may be filled, as a share of its capacity."""
    capacity = float(problem.capacity[shard, each])
    return f"{problem.headroom[shard]:.0%} of {_amount(capacity)}" if np.isfinite(capacity) else "none"


def _moves(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("wave", justify="right", no_wrap=True)
    table.add_column("order param", overflow="fold")
    table.add_column("way", overflow="fold")
    table.add_column("why", overflow="fold", ratio=1)
    for move in outcome.plan.moves[:MOVES_SHOWN]:
        segment = f" segment {move.segment}" if move.segment else ""
        way = " → ".join(each for each in (move.source or "(none)", move.via, move.destination) if each)
        table.add_row(str(move.wave), Text(move.order_param + segment), Text(way), Text(move.reason))
    return table
