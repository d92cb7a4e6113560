"""The benchmark itself works: every kind of case runs on a tiny instance and every plan in it is sound."""

from __future__ import annotations

import json

import pytest

from tests.bench.__main__ import main, smoke
from tests.bench.cases import CASES, SOUND, Goal

ONE_PER_KIND = {case.kind: case for case in CASES}


@pytest.mark.parametrize("kind", ONE_PER_KIND)
def test_each_kind_of_case_runs_and_its_plans_are_verified(kind):
    """A tiny instance of each kind is measured, and neither the product's checker nor the benchmark's own finds a fault."""
    rows = smoke(ONE_PER_KIND[kind])
    assert rows
    assert all(row.get("faults", 0) == 0 for row in rows)
    assert any(row.get("elapsed_s") for row in rows)


def test_the_command_writes_rows_and_machine(tmp_path, capsys):
    """`--smoke --case --json` prints a table and writes who ran where and what came out."""
    file = tmp_path / "bench.json"
    assert main(["--smoke", "--case", "relief-1k-u62", "--json", str(file)]) == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["machine"]["cpu"]
    assert {row["who"] for row in written["cases"][0]["rows"]} >= {"planner", "cost-ratio", "largest", "random"}
    assert "cost-ratio" in capsys.readouterr().out


def test_a_goal_is_missed_when_one_seed_misses_it():
    """The goal of no overload looks at the worst seed, and a column that nobody measured is not a goal met."""
    rows = [{"who": "planner", "overload": 0.0}, {"who": "planner", "overload": 0.1}, {"who": "largest", "overload": 9.0}]
    (no_overload,) = [goal for goal in SOUND if goal.figure == "overload"]
    assert not no_overload.met(no_overload.measured(rows))
    assert Goal("first_s", "p95", "<=", 1.0).measured(rows) is None


def test_names_are_unique():
    """`--case` finds one case for each name."""
    assert len({case.name for case in CASES}) == len(CASES)
