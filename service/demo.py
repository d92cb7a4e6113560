"""`plb demo`: the main job, end to end, on real shard processes.

For each arm the same traffic is replayed in compressed time against fresh embedded shards: `static` leaves every order param
where hashing put it; `predictive` trains, forecasts, plans and migrates. What is known of the trace before the window is the
history of both; what is in it is known to nobody before it happens.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from plb_ray.client import QueueResolver
from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.errors import BadInputError
from plb_ray.settings import BalancerSettings, ForecastSettings, QueueSettings, Settings
from plb_ray.simulation.schedule import make_schedule
from plb_ray.simulation.stage import StageRules, set_stage
from plb_ray.simulation.trace import packaged_sample, read_trace
from plb_ray.simulation.traffic import TrafficRun
from service.demo_report import ArmResult, result_table
from service.demo_screen import Screen, told_stage
from service.exit_codes import ExitCode
from service.launch import control_actor, shard_processes
from service.ports import claim_port

if TYPE_CHECKING:
    from rich.console import Console

    from plb_ray.control.views import BalancerStatus
    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.settings import ShardAddress
    from plb_ray.simulation.schedule import Schedule
    from plb_ray.simulation.stage import Stage
    from service.options import DemoOptions

SAMPLE_MESSAGES_PER_FLIGHT = 30
SAMPLE_LEAD_BINS = 6
DEFAULT_RATE_PER_S = 250.0
TRAINING_TIMEOUT_S = 300.0
DRAIN_TIMEOUT_S = 45.0
SETTLE_TIMEOUT_S = 10.0
START_IN_S = 1.0
POLL_S = 0.5
NEVER_S = 1e12
ALL_MIGRATIONS = 1_000_000


@dataclass(frozen=True)
class Show:
    """What all arms of one demo share."""

    options: DemoOptions
    stage: Stage
    schedule: Schedule
    folder: Path
    screen: Screen


def run_demo(options: DemoOptions, console: Console) -> int:
    """Run the arms, print the comparison, write the JSON, and return the exit code.

    Raises:
        PlbError: bad input, a port in use, or a part that does not start.
    """
    _check_writable(options.json_path)
    stage = stage_of(options)
    told_stage(console, stage, options)
    with TemporaryDirectory(prefix="plb-demo-", ignore_cleanup_errors=True) as temporary:
        folder = _own_folder(options.state_dir) if options.state_dir else Path(temporary)
        schedule = make_schedule(stage.window, stage.seconds_per_bin, np.random.default_rng(options.seed))
        show = Show(options, stage, schedule, folder, Screen(console))
        results = asyncio.run(_all_arms(show))
    console.print(result_table(results))
    if options.json_path is not None:
        document = {"arms": {result.arm: result.document() for result in results}}
        options.json_path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"written: {options.json_path}")
    return ExitCode.OK if all(result.traffic.verdict.clean for result in results) else ExitCode.CHECKS_FAILED


def stage_of(options: DemoOptions) -> Stage:
    """Return the stage for the trace and options given.

    Raises:
        BadInputError: the trace is malformed, too short, or silent in the window.
    """
    if options.trace is None:
        trace = packaged_sample().led_by(SAMPLE_LEAD_BINS)
        messages_per_event = None if options.rate else float(SAMPLE_MESSAGES_PER_FLIGHT)
    else:
        trace = read_trace(options.trace)
        messages_per_event = None
    rules = StageRules(
        shards=options.shards,
        bins=options.bins,
        utilisation=options.utilisation,
        rate_messages_per_s=options.rate or DEFAULT_RATE_PER_S,
        messages_per_event=messages_per_event,
        seconds_per_bin=options.seconds_per_bin,
        start_s=options.start_s,
    )
    return set_stage(trace.busiest(options.order_params), rules)


def _check_writable(path: Path | None) -> None:
    """Refuse a result file that could not be written, before minutes are spent on the result."""
    if path is None:
        return
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise BadInputError(f"--json {path}: cannot be written: {error.strerror}; give another file") from error


def _own_folder(folder: Path) -> Path:
    """Return a state folder that holds no earlier demo."""
    if folder.exists() and any(folder.iterdir()):
        raise BadInputError(f"--state {folder}: the folder is not empty; give another one, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


async def _all_arms(show: Show) -> list[ArmResult]:
    """Start Ray and the HTTP service once, and run one arm after the other."""
    # Ray takes seconds to import, which `plb --help` need not wait for.
    from plb_ray.cluster.control_actor import ACTOR_NAME  # noqa: PLC0415
    from plb_ray.cluster.runtime import NAMESPACE, start_ray, stop_ray  # noqa: PLC0415
    from service.deployments import start_http, stop_http  # noqa: PLC0415

    with show.screen.working("starting Ray and the dashboard"):
        await asyncio.to_thread(start_ray)
    try:
        url = await asyncio.to_thread(start_http, ACTOR_NAME, NAMESPACE, "127.0.0.1", show.options.port)
        show.screen.tell(f"dashboard: {url}")
        return [await _arm(show, arm) for arm in show.options.arms]
    finally:
        await asyncio.to_thread(stop_http)
        await asyncio.to_thread(stop_ray)


async def _arm(show: Show, arm: str) -> ArmResult:
    """Run one arm on fresh shards."""
    folder = show.folder / arm
    async with AsyncExitStack() as held:
        with show.screen.working(f"{arm}: starting {len(show.stage.shard_ids)} shards"):
            shards = await held.enter_async_context(
                shard_processes(len(show.stage.shard_ids), folder, show.stage.service_rate_per_s)
            )
            spec, endpoint = _spec(show, arm, folder, shards)
            await asyncio.to_thread(_import_history, spec.settings, show.stage)
            handle = await held.enter_async_context(control_actor(spec))
        if arm == "predictive":
            await _trained(show, handle)
        resolver = QueueResolver(endpoint)
        held.push_async_callback(resolver.close)
        traffic = TrafficRun(show.stage, show.schedule)
        spec.replay.clock().start(wall_time_s() + START_IN_S)
        running = asyncio.create_task(traffic.run(resolver, resolver.endpoints, START_IN_S, DRAIN_TIMEOUT_S))
        await show.screen.follow(arm, traffic.progress, running, lambda: _status(handle))
        migrations = await _settled_migrations(handle)
        result = ArmResult(arm, traffic.report(), migrations)
        show.screen.arm_done(result)
        if show.options.keep_serving and arm == show.options.arms[-1]:
            await show.screen.until_interrupted()
        return result


def _spec(show: Show, arm: str, folder: Path, shards: tuple[ShardAddress, ...]) -> tuple[Any, str]:
    """Return what the arm's balancer is built from, and where its QueueControl will listen."""
    from service.wiring import BalancerSpec, ReplayTime  # noqa: PLC0415  imports the solver

    endpoint = f"127.0.0.1:{claim_port('127.0.0.1', 0, 'QueueControl')}"
    stage = show.stage
    settings = Settings(
        state_dir=folder,
        balancer=BalancerSettings(mode=arm, step_s=stage.trace.step_s),
        queue=QueueSettings(listen=endpoint),
        forecast=ForecastSettings(seed=show.options.seed, retrain_every_s=NEVER_S, min_history_steps=1),
    )
    replay = ReplayTime(float(stage.start_s), stage.speed, folder / "replay-anchor")
    return BalancerSpec(settings, shards, replay, stage.trace.order_params), endpoint


def _import_history(settings: Settings, stage: Stage) -> None:
    """Give the balancer what is known before the window."""
    from service.wiring import open_history  # noqa: PLC0415  imports the solver

    store = open_history(settings)
    store.import_history(stage.trace.history(0, stage.first_bin))
    store.close()


async def _status(handle: Any) -> BalancerStatus:
    status: BalancerStatus = await handle.ask.remote("status")
    return status


async def _settled_migrations(handle: Any) -> tuple[MigrationRecord, ...]:
    """Return all migrations when none is under way any more, or after a while as they are."""
    deadline_s = monotonic_s() + SETTLE_TIMEOUT_S
    while True:
        records: tuple[MigrationRecord, ...] = await handle.ask.remote("migrations", ALL_MIGRATIONS)
        if all(record.step.terminal for record in records) or monotonic_s() > deadline_s:
            return records
        await asyncio.sleep(POLL_S)


async def _trained(show: Show, handle: Any) -> None:
    """Show the training and return when every network is ready, or when waiting any longer would not be a demo."""
    deadline_s = monotonic_s() + TRAINING_TIMEOUT_S
    with show.screen.training() as bars:
        while monotonic_s() < deadline_s:
            training = (await _status(handle)).training
            bars.show(training)
            if training and all(status.done + status.failed >= status.total for status in training):
                return
            await asyncio.sleep(POLL_S)
    show.screen.tell("training takes longer than this demo waits; the baseline forecasts until it is done")
