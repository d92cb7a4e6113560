"""What a run of the matrix prints: a line per failure as it happens, a table at the end."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict

ENDS = ("forward", "back", "never", "refused", "several")
HEAD = ("kind", "ran", "failed", *ENDS, "redelivered", "late", "recovery p50", "max")


def table(outcomes):
    """Return the table as text, one line per kind of case and a last line for all."""
    kinds = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.kind].append(outcome)
    rows = [HEAD, *(_row(kind, kinds[kind]) for kind in sorted(kinds)), _row("all", outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join("  ".join(word.rjust(width) for word, width in zip(row, widths, strict=True)) for row in rows)


def failures(outcomes):
    """Return a line per violation: case, seed and what was seen."""
    return [f"{one.case} seed {one.seed}: {violation}" for one in outcomes for violation in one.violations]


def document(outcomes, **about):
    """Return everything as JSON."""
    return json.dumps({**about, "outcomes": [asdict(outcome) for outcome in outcomes]}, indent=1)


def _row(kind, outcomes):
    ends = Counter(outcome.ended for outcome in outcomes)
    times = sorted(outcome.recovery_s for outcome in outcomes if outcome.recovery_s is not None)
    middle, most = (f"{times[len(times) // 2]:.2f} s", f"{times[-1]:.2f} s") if times else ("-", "-")
    failed = sum(bool(outcome.violations) for outcome in outcomes)
    redelivered = sum(outcome.redelivered for outcome in outcomes)
    counts = (len(outcomes), failed, *(ends[end] for end in ENDS), redelivered, sum(outcome.late for outcome in outcomes))
    return (kind, *map(str, counts), middle, most)
