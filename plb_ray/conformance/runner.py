"""Runs checks one after the other, each with a time limit and its own clean-up, and collects the report."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s
from plb_ray.conformance.case import CLEAN_S, Case, prefix_of
from plb_ray.conformance.outcome import Failure, Report, Result, Skip, Status
from plb_ray.conformance.status import Refusal
from plb_ray.conformance.targets import connected
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plb_ray.conformance.registry import Check
    from plb_ray.conformance.targets import Targets
    from plb_ray.rpc.channel import TlsFiles

CHECK_S = 120.0


@dataclass(frozen=True)
class Options:
    """What a run is told.

    Attributes:
        endpoints: targets, `host:port` each.
        run_id: part of every name that the run uses; to be used once.
        restart_command: kills and restarts the shard whose id stands for {shard_id}, and returns when that is done; empty:
            the faults are skipped.
        tls: encrypts, to every target and to the shards that a queue lists; None: plain.
    """

    endpoints: tuple[str, ...]
    run_id: str
    restart_command: str = ""
    tls: TlsFiles | None = None


async def examine(checks: Sequence[Check], options: Options, show: Callable[[Result], None] = lambda _: None) -> Report:
    """Run the checks; `show` is called with each result as soon as it is known.

    Raises:
        ShardUnavailableError, BadInputError: the targets cannot be tested at all, see `connected`.
    """
    async with connected(options.endpoints, options.tls) as targets:
        await _require_unused(targets, options.run_id)
        results, left = [], []
        for check in checks:
            case = Case(targets, options.run_id, f"{check.group}/{check.name}", options.restart_command)
            result = await _result(check, case, check.unmet(targets, options.restart_command))
            show(result)
            results.append(result)
            left += await _cleaned(case)
        return Report(options.run_id, targets.in_words(), tuple(results), tuple(left))


async def _result(check: Check, case: Case, unmet: str) -> Result:
    start_s = monotonic_s()
    status, reason = (Status.SKIPPED, unmet) if unmet else await _outcome(check, case)
    return Result(check.name, check.group, check.says, status, reason, round(monotonic_s() - start_s, 3))


async def _outcome(check: Check, case: Case) -> tuple[Status, str]:
    """Run a check. Whatever goes wrong in it is its failure: a broken target must not stop the run."""
    try:
        async with asyncio.timeout(CHECK_S):
            await check.run(case)
    except Skip as skip:
        return Status.SKIPPED, str(skip)
    except (Failure, Refusal) as failure:
        return Status.FAILED, str(failure)
    except TimeoutError:
        return Status.FAILED, f"not done after {CHECK_S:g} s"
    except Exception as error:  # noqa: BLE001  an answer that the check could not make sense of
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Status.FAILED, f"the answers made no sense: {type(error).__name__}: {error} ({where.name}:{where.lineno})"
    return Status.PASSED, ""


async def _cleaned(case: Case) -> list[str]:
    try:
        async with asyncio.timeout(CLEAN_S):
            return await case.clean()
    except TimeoutError:
        return [f"{case.name()}: not cleaned up within {CLEAN_S:g} s"]


async def _require_unused(targets: Targets, run_id: str) -> None:
    """Refuse a run id whose names are there already: what they left would be judged."""
    if not run_id or "/" in run_id or len(run_id) > 60:
        raise BadInputError(f"run id {run_id!r}: write 1 to 60 characters without a slash")
    for shard in targets.shards:
        try:
            used = any(state.order_param.startswith(prefix_of(run_id)) for state in await shard.states())
        except Refusal:  # a check says so
            continue
        if used:
            raise BadInputError(f"run id {run_id!r} was used on shard {shard.shard_id} before; choose another --run-id")
