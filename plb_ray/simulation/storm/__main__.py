"""`python -m plb_ray.simulation.storm`: see the package. Exit code 1 if a violation was found."""

from __future__ import annotations

import argparse
import os
import sys

from plb_ray.clock import monotonic_s
from plb_ray.simulation.storm import report
from plb_ray.simulation.storm.run import PER_RUN, Total, run_again, run_many

SHOW_EVERY_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and return the exit code."""
    options = _parsed(arguments)
    start_s = monotonic_s()
    if options.one:
        total = Total()
        total.add(run_again(options.seed, options.per_run))
    else:
        show = _Progress(start_s)
        total = run_many(options.migrations, options.seed, options.processes, options.per_run, show)
    sys.stdout.write(report.table(total, monotonic_s() - start_s) + "\n")
    return 1 if total.bad else 0


class _Progress:
    def __init__(self, start_s: float) -> None:
        self._start_s = self._shown_s = start_s
        self._bad = 0

    def __call__(self, total: Total) -> None:
        now_s = monotonic_s()
        for outcome in total.bad[self._bad :]:
            sys.stderr.write(report.violation(outcome) + "\n")
        self._bad = len(total.bad)
        if now_s - self._shown_s >= SHOW_EVERY_S:
            self._shown_s = now_s
            sys.stderr.write(report.progress(total, now_s - self._start_s) + "\n")


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m plb_ray.simulation.storm", description=__doc__)
    parser.add_argument("--migrations", type=int, default=10_000, help="how many must end (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the others follow (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="side by side (default: one per core)")
    parser.add_argument("--per-run", type=int, default=PER_RUN, help="migrations of one run (default: %(default)s)")
    parser.add_argument("--one", action="store_true", help="only the run of this seed, as a violation's report names it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
