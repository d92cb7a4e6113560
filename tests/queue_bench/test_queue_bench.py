"""The benchmark of the queue itself works: every case runs in small."""

from __future__ import annotations

import pytest

from tests.queue_bench.__main__ import run
from tests.queue_bench.cases import CASES

pytestmark = pytest.mark.shards


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_runs_in_small(case):
    """A tiny instance of the case gives rows that have the figures of its goals, and order is kept in them."""
    rows = run(case, smoke=True)
    assert all(row.get("faults", 0) == 0 for row in rows)
    for goal in case.goals:
        assert any(goal.figure in row for row in rows), goal.figure
