"""What the storm prints: progress, a table, and for each violation how to see it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plb_ray.simulation.storm.run import Total
    from plb_ray.simulation.storm.world import Outcome

SHOWN = 5  # violations of one run


def progress(total: Total, took_s: float) -> str:
    """Return one line."""
    rate = total.ended / took_s if took_s else 0.0
    return f"{total.ended:>10,} migrations  {rate:>6,.0f}/s  {total.runs:>6,} runs  {len(total.bad)} with violations"


def table(total: Total, took_s: float) -> str:
    """Return the summary."""
    return "\n".join(_lines(total, took_s))


def violation(outcome: Outcome) -> str:
    """Return what went wrong in a run, and how to see it again."""
    found = "\n".join(f"  {text}" for text in outcome.violations[:SHOWN])
    again = f"python -m plb_ray.simulation.storm --one --seed {outcome.seed} --per-run {outcome.wanted}"
    return f"VIOLATION in the run of seed {outcome.seed}:\n{found}\n  again: {again}"


def _lines(total: Total, took_s: float) -> Iterator[str]:
    rate = total.ended / took_s if took_s else 0.0
    yield f"{'migrations ended':<28}{total.ended:>12,}"
    yield f"{'  rolled forward':<28}{total.migrations['forward']:>12,}"
    yield f"{'  rolled back':<28}{total.migrations['back']:>12,}"
    yield f"{'  copied / chained':<28}{total.migrations['copy']:>12,} / {total.migrations['chain']:,}"
    yield f"{'messages consumed':<28}{total.messages:>12,}"
    yield f"{'runs (worlds)':<28}{total.runs:>12,}"
    yield f"{'virtual time':<28}{total.virtual_s:>12,.0f} s"
    yield "faults"
    for kind, count in sorted(total.faults.items()):
        yield f"  {kind:<26}{count:>12,}"
    yield f"{'seconds':<28}{took_s:>12,.1f}"
    yield f"{'migrations/s':<28}{rate:>12,.0f}"
    yield f"{'runs with violations':<28}{len(total.bad):>12,}"
    yield from map(violation, total.bad)
