"""Run the benchmark: `python -m tests.queue_bench [--case NAME ...] [--list] [--smoke] [--json FILE]`.

Every case starts its own shard and coordinator processes on loopback and removes their data afterwards. Exits with 1 if
order was violated (`faults`); missed goals are shown and do not fail the run: they depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from tests.bench.machine import machine
from tests.bench.report import goals_text, table, verdicts
from tests.queue_bench.cases import CASES


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        _say("\n".join(f"{case.name:20} {case.arguments}" for case in CASES))
        return 0
    about = machine()
    _say("  ".join(f"{name}: {value}" for name, value in about.items()))
    results = [_shown(case, asked.smoke) for case in CASES if not asked.case or case.name in asked.case]
    if asked.json:
        Path(asked.json).write_text(json.dumps({"machine": about, "cases": results}, indent=1), encoding="utf-8")
    missed = sum(goal["verdict"] != "met" for result in results for goal in result["goals"])
    _say(f"{sum(len(result['goals']) for result in results) - missed} goals met, {missed} missed or not measured")
    return int(any(row.get("faults") for result in results for row in result["rows"]))


def run(case, *, smoke: bool) -> list[dict]:
    """Return the rows of a case."""
    return asyncio.run(case.measure(**{**case.arguments, **(case.small if smoke else {})}))


def _shown(case, smoke):
    _say(f"\n{case.name}")
    rows = run(case, smoke=smoke)
    found = [] if smoke else verdicts(case, rows)
    _say(table(rows))
    if found:
        _say(goals_text(found))
    return {"case": case.name, "rows": rows, "goals": found}


def _say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.queue_bench", description=__doc__)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only these; repeat")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", metavar="FILE", help="write rows and machine here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
