"""`python -m tests.chaos`: run the crash matrix, print a table, exit with 1 on any violation."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fnmatch
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

from plb_ray.clock import monotonic_s
from tests.bench.machine import machine
from tests.chaos import report
from tests.chaos.cases import all_cases
from tests.chaos.network import Namespaces
from tests.chaos.runs import run_all

END_S = 20.0


def main(arguments=None):
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # connections that break are what this is about
    options = _parser().parse_args(arguments)
    cases = [case for case in all_cases() if _wanted(case, options.only)]
    if not Namespaces.available():
        without = [case for case in cases if case.needs == "namespaces"]
        _say(f"no network namespaces here (root and `ip` are needed): {len(without)} cases are left out")
        cases = [case for case in cases if case.needs != "namespaces"]
    if options.list:
        _say("\n".join(case.name for case in cases))
        return 0
    plan = [(case, seed) for seed in range(options.seed, options.seed + options.seeds) for case in _shuffled(cases, seed)]
    begun_s = monotonic_s()
    outcomes = asyncio.run(_run(plan, options.stages))
    seconds = monotonic_s() - begun_s
    _say(report.table(outcomes))
    failures = report.failures(outcomes)
    _say("\n".join([f"{len(outcomes)} cases in {seconds:.0f} s, {len(failures)} violations", *failures]))
    if options.json:
        options.json.write_text(report.document(outcomes, seconds=seconds, machine=machine()), encoding="utf-8")
    return 1 if failures or len(outcomes) < len(plan) else 0


async def _run(plan, stages):
    folder = Path(tempfile.mkdtemp(prefix="plb-chaos-"))
    outcomes, failed = [], False

    def told(outcome, where):
        nonlocal failed
        outcomes.append(outcome)
        failed = failed or bool(outcome.violations)
        for violation in outcome.violations:
            _say(f"\n{outcome.case} seed {outcome.seed}: {violation}\n  kept in {where}")
        _say(f"\r{len(outcomes)}/{len(plan)} {outcome.case} {outcome.ended} {outcome.seconds:.1f} s\x1b[K", end="")

    _end_on_signals(asyncio.current_task())
    with contextlib.suppress(asyncio.CancelledError):  # what has been run is reported
        await run_all(plan, folder, stages, told)
    if not failed:
        await asyncio.to_thread(shutil.rmtree, folder)
    _say("")
    return outcomes


def _say(text, end="\n"):
    sys.stdout.write(text + end)
    sys.stdout.flush()


def _end_on_signals(task):
    """Cancel the run when asked to stop, and end for sure a little later: children die with this process."""
    loop = asyncio.get_running_loop()

    def end():
        task.cancel()
        loop.call_later(END_S, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)


def _shuffled(cases, seed):
    """The order is a part of the seed: what one case leaves on a stage meets the next."""
    return [cases[index] for index in np.random.default_rng(seed).permutation(len(cases))]


def _wanted(case, pattern):
    return not pattern or fnmatch.fnmatch(case.name, pattern) or pattern in case.name


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The crash matrix on real processes.")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds: each has its own order, timing and payloads")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--only", default="", help="run cases whose name has this in it, or matches this pattern")
    parser.add_argument("--stages", type=int, default=3, help="how many stages at once")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("--json", type=Path, help="write all outcomes there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
