"""Many runs, one after the other or in several processes, each from its own seed."""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import threading
import warnings
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.simulation.storm.world import Outcome, World

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

PER_RUN = 250  # migrations of one world
KEPT = 20  # violations that are shown


@dataclass
class Total:
    """Sum of many runs. `bad`: those with violations."""

    runs: int = 0
    messages: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    migrations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    bad: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Add a run."""
        self.runs += 1
        self.messages += outcome.messages
        self.steps += outcome.steps
        self.virtual_s += outcome.virtual_s
        self.migrations += outcome.migrations
        self.faults += outcome.faults
        if outcome.violations:
            self.bad.append(outcome)

    @property
    def ended(self) -> int:
        """Migrations that have ended."""
        return self.migrations["forward"] + self.migrations["back"]


def run_one(seed: int, migrations: int = PER_RUN) -> Outcome:
    """Run one world. The garbage collector rests meanwhile: what it frees, and when, must not depend on chance."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of coroutines that a crash has kept from beginning
            return World(seed, migrations).run()
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


def run_again(seed: int, per_run: int) -> Outcome:
    """Run one world as `run_many` does, in a process of its own."""
    with contextlib.closing(_outcomes(seed, per_run, processes=1, most=1)) as outcomes:
        return next(outcomes)


def run_many(
    migrations: int, seed: int, processes: int, per_run: int, show: Callable[[Total], None] = lambda _: None
) -> Total:
    """Run worlds with the seeds from `seed` on until so many migrations have ended, or a violation is found.

    Args:
        migrations: least number that must end.
        seed: of the first run.
        processes: that run side by side.
        per_run: migrations asked for in one run.
        show: called after each run.
    """
    total = Total()
    for outcome in _outcomes(seed, per_run, processes):
        total.add(outcome)
        show(total)
        if total.ended >= migrations or len(total.bad) >= KEPT:
            break
    return total


def _end_with_parent() -> None:
    """In a child: end when the parent has been killed, else it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _outcomes(seed: int, per_run: int, processes: int, most: int = 1 << 60) -> Generator[Outcome, None, None]:
    """Yield the outcomes of the runs with seed, seed + 1, ... for ever, each when it is there."""
    os.environ.setdefault("PYTHONHASHSEED", "0")  # of the children: a set's order must not differ from process to process
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _end_with_parent) as pool:
        running: set[Future[Outcome]] = set()
        try:
            end = seed + most
            while True:
                while len(running) < 2 * processes and seed < end:
                    running.add(pool.submit(run_one, seed, per_run))
                    seed += 1
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
