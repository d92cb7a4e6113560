"""Run the benchmark: `python -m tests.bench [--case NAME ...] [--list] [--smoke] [--seeds N] [--json FILE]`.

Each case runs in a process of its own, so that its memory is its own; a small instance of its kind goes first,
unmeasured, so that no figure holds the time of imports and compilation. Exits with 1 if a plan was unsound (`faults`);
missed goals are shown and do not fail the run: they depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from plb_ray.clock import monotonic_s
from tests.bench.cases import CASES, Case, find
from tests.bench.machine import machine
from tests.bench.measure import measure
from tests.bench.report import brief, goals_text, table, verdicts

SMOKE_S = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        _say("\n".join(f"{case.name:24} {case.kind:12} {brief(case.recipe)}" for case in CASES))
        return 0
    cases = [find(name) for name in asked.case] if asked.case else list(CASES)
    if asked.here:
        Path(asked.json).write_text(json.dumps(run(cases[0], asked.seeds)), encoding="utf-8")
        return 0
    about = machine()
    _say("  ".join(f"{name}: {value}" for name, value in about.items()))
    results = [_shown(case, smoke(case) if asked.smoke else _apart(case, asked.seeds), asked.smoke) for case in cases]
    if asked.json:
        Path(asked.json).write_text(json.dumps({"machine": about, "cases": results}, indent=1), encoding="utf-8")
    missed = [(r["case"], goal["goal"]) for r in results for goal in r["goals"] if goal["verdict"] != "met"]
    _say(f"{sum(len(r['goals']) for r in results) - len(missed)} goals met, {len(missed)} missed or not measured")
    return int(any(row.get("faults") for r in results for row in r["rows"]))


def run(case: Case, seeds: int) -> list[dict]:
    """Return the rows of a case in this process, after a small instance that is not measured."""
    measure(shrunk(case), 1)
    return [row for seed in range(1, min(seeds, case.seeds) + 1) for row in measure(case, seed)]


def smoke(case: Case) -> list[dict]:
    """Return the rows of the small instance of a case."""
    return measure(shrunk(case), 1)


def shrunk(case: Case) -> Case:
    """Return the case on its small instance, with a second for everything."""
    return replace(case, recipe=case.small, wall_s=SMOKE_S, others_s=5 * SMOKE_S, soon_s=min(case.soon_s, SMOKE_S))


def _apart(case: Case, seeds: int) -> list[dict]:
    """Return the rows of a case from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [
            sys.executable,
            "-m",
            "tests.bench",
            "--here",
            "--case",
            case.name,
            "--seeds",
            str(seeds),
            "--json",
            str(file),
        ]
        subprocess.run(command, check=True)
        return json.loads(file.read_text(encoding="utf-8"))


def _shown(case: Case, rows: list[dict], smoke_run: bool) -> dict:  # noqa: FBT001
    found = [] if smoke_run else verdicts(case, rows)
    _say(f"\n{case.name}: {brief(case.recipe)}, {case.wall_s:g} s\n{table(rows)}\n{goals_text(found)}")
    return {"case": case.name, "recipe": str(case.recipe), "at_s": monotonic_s(), "rows": rows, "goals": found}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--case", action="append", metavar="NAME", help="a case's name; may be given several times")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--smoke", action="store_true", help="tiny instances, one seed, in this process")
    parser.add_argument("--seeds", type=int, default=5, help="instances of each case (default 5)")
    parser.add_argument("--json", metavar="FILE", help="write rows, goals and machine there")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
