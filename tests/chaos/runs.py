"""Runs cases on stages: several stages side by side, each serving the cases that fit its network, one after another."""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from zlib import crc32

import numpy as np

from plb_ray.clock import monotonic_s
from tests.chaos.network import Loopback, Namespaces, Proxies
from tests.chaos.stage import Stage
from tests.chaos.trial import Trial

CASE_S = 90.0
CASES_PER_STAGE = 150  # then a new one: records of old order params must not make the later cases slower


async def run_case(stage, case, number, seed):
    """Run one case within its time and return its outcome; whatever goes wrong is in its violations."""
    trial = Trial(stage, case, number, seed, np.random.default_rng([seed, crc32(case.name.encode())]))
    begun_s = monotonic_s()
    try:
        async with asyncio.timeout(CASE_S):
            await case.act(trial)
    except TimeoutError:
        trial.outcome.violations.append(f"stuck: not over after {CASE_S:g} s")
    except Exception as error:  # noqa: BLE001 - whatever it is, the other cases go on
        trial.outcome.violations.append(f"stuck: {type(error).__name__}: {error}")
        trial.judge()
    finally:
        await trial.close()
    trial.outcome.seconds = monotonic_s() - begun_s
    return trial.outcome


async def run_all(plan, folder, stages, told):
    """Run (case, seed) pairs on several stages at once.

    Args:
        plan: in the order in which they are to be run.
        folder: for the stages' data; each failed case's stage is kept there, the others are deleted.
        stages: how many at once.
        told: called with each outcome.
    """
    waiting = {}
    for case, seed in plan:
        waiting.setdefault(case.needs, deque()).append((case, seed))
    async with asyncio.TaskGroup() as group:
        for number in range(stages):
            group.create_task(_worker(number, waiting, folder, told))


async def _worker(number, waiting, folder, told):
    """Build stages one after another while there are cases; each worker begins with another network."""
    built, kinds = 0, sorted(waiting)
    kinds = kinds[number % len(kinds) :] + kinds[: number % len(kinds)]
    while network := next((needs for needs in kinds if waiting[needs]), None):
        built += 1
        stage = Stage(folder / f"{network}-{number}-{built}", _network(network, number))
        try:
            await stage.start()
            failed = await _serve(stage, waiting[network], told)
        finally:
            await stage.close()
        if not failed:
            await asyncio.to_thread(shutil.rmtree, stage.folder)


async def _serve(stage, queue, told):
    """Run cases on a stage until one fails (it may have left anything) or it has served enough; say whether one failed."""
    for number in range(CASES_PER_STAGE):
        if not queue:
            break
        case, seed = queue.popleft()
        outcome = await run_case(stage, case, number, seed)
        told(outcome, stage.folder)
        if outcome.violations:
            return True
    return False


def _network(name, number):
    return {"loopback": Loopback, "proxy": Proxies, "namespaces": lambda: Namespaces(number)}[name]()
