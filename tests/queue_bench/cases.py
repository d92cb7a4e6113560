"""The named cases: every figure that the queue's migrations are held to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.bench.cases import Goal
from tests.queue_bench import measures

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Case:
    """A measurement by name. `small` replaces arguments for the smoke run."""

    name: str
    measure: Callable
    arguments: dict
    small: dict
    goals: tuple[Goal, ...] = field(default=())


def _pause(mode, backlog, migrations):
    who = f"{mode} {backlog}"
    p50 = (Goal("pause_p50_ms", "max", "<=", 10, who),) if mode == "copy" else ()
    return Case(
        f"pause-{mode}-{backlog}",
        measures.pauses,
        {"backlog": backlog, "migrations": migrations, "mode": mode},
        {"backlog": 20, "migrations": 2},
        (*p50, Goal("pause_p99_ms", "max", "<=", 30 if mode == "copy" else 10, who)),
    )


CASES = (
    _pause("copy", 100, 200),
    _pause("copy", 10_000, 60),
    _pause("copy", 1_000_000, 10),
    _pause("chain", 100, 200),
    _pause("chain", 10_000, 200),
    _pause("chain", 1_000_000, 200),
    Case(
        "copy-1m",
        measures.copying,
        {"messages": 1_000_000},
        {"messages": 2_000},
        (
            Goal("copied_per_s", "min", ">=", 100_000, "copy 1000000"),
            Goal("others_max_ms", "max", "<=", 25, "copy 1000000"),
        ),
    ),
    Case(
        "append-100",
        measures.appends,
        {"batch": 100, "messages": 1_000_000, "calls": 16},
        {"messages": 2_000, "calls": 2},
        (Goal("appended_per_s", "min", ">=", 70_000, "append 100"),),
    ),
    Case(
        "append-unary",
        measures.appends,
        {"batch": 1, "messages": 20_000, "calls": 64},
        {"messages": 100, "calls": 2},
        (Goal("appended_per_s", "min", ">=", 1_500, "append 1"),),
    ),
    Case(
        "many",
        measures.many,
        {"migrations": 1000, "backlog": 20, "at_once": 16},
        {"migrations": 10, "at_once": 2},
        (Goal("migrations_per_s", "min", ">=", 150, "many 16 at once"),),
    ),
    Case(
        "chain-throughput",
        measures.chains,
        {"rate_per_s": 1000, "seconds": 8},
        {"seconds": 0.5, "shards": (1, 2)},
        (
            Goal("share_of_ideal", "min", ">=", 0.8, "chain of 2"),
            Goal("share_of_ideal", "min", ">=", 0.8, "chain of 4"),
        ),
    ),
)
