"""What a demo shows while it runs: the stage in words, training bars, and the replay with its shards, live."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from plb_ray.simulation.events import packaged_events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from rich.console import Console, RenderableType

    from plb_ray.control.ports import TrainingStatus
    from plb_ray.control.views import BalancerStatus, ShardView
    from plb_ray.simulation.stage import Stage
    from plb_ray.simulation.traffic import TrafficProgress
    from service.demo_report import ArmResult
    from service.options import DemoOptions

REFRESH_S = 0.5
DAY_S = 86_400
BAR_CELLS = 20
FULL = "cpu_cores"


def told_stage(console: Console, stage: Stage, options: DemoOptions) -> None:
    """Say what will be replayed, on what."""
    start = datetime.fromtimestamp(stage.start_s, UTC)
    minutes = stage.trace.step_s // 60
    wall_s = stage.bins * stage.seconds_per_bin
    console.print(
        f"[bold]{stage.trace.name}[/]: {len(stage.trace.order_params)} order params, {stage.bins} bins of {minutes} min "
        f"from {start:%Y-%m-%d %H:%M} UTC, {stage.messages_per_event:.3g} messages per event"
    )
    console.print(
        f"{len(stage.shard_ids)} shards of {stage.service_rate_per_s:.0f} messages/s; "
        f"{int(stage.window.sum()):,} messages in {wall_s:.0f} s ({stage.speed:.0f} x real time) "
        f"per arm: {', '.join(options.arms)}"
    )
    if options.trace is None:
        end_s = stage.start_s + stage.bins * stage.trace.step_s
        for event in packaged_events().for_span(stage.start_s - DAY_S, end_s + DAY_S).events:
            console.print(f"calendar: {event.name}, {datetime.fromtimestamp(event.start_s, UTC):%Y-%m-%d}")


class Screen:
    """Everything the demo prints while it runs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def tell(self, sentence: str) -> None:
        """Print one line."""
        self._console.print(sentence)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show a spinner while the block runs."""
        with self._console.status(what):
            yield

    @contextmanager
    def training(self) -> Iterator[TrainingBars]:
        """Show one bar per horizon while the block runs."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[message]}"))
        with Progress(*columns, TimeElapsedColumn(), console=self._console) as progress:
            yield TrainingBars(progress)

    async def follow(
        self,
        arm: str,
        counts: TrafficProgress,
        running: asyncio.Task[None],
        ask: Callable[[], Awaitable[BalancerStatus]],
    ) -> None:
        """Show the replay until it ends; raise what it raised."""
        progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=self._console
        )
        sent = progress.add_task(f"{arm}: sent", total=counts.due)
        consumed = progress.add_task(f"{arm}: consumed", total=counts.due)
        status: BalancerStatus | None = None
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            while not running.done():
                await asyncio.wait({running}, timeout=REFRESH_S)
                status = await _answer(ask) or status
                progress.update(sent, completed=counts.sent)
                progress.update(consumed, completed=counts.consumed)
                live.update(_picture(progress, status))
        await running

    def arm_done(self, result: ArmResult) -> None:
        """Print the arm's result in one line."""
        traffic = result.traffic
        self.tell(
            f"{result.arm}: {traffic.verdict.consumed:,} of {traffic.verdict.sent:,} messages consumed, "
            f"{traffic.overload_shard_seconds:.1f} shard-seconds over capacity, "
            f"delay p99 {traffic.delay_ms['p99']:,.0f} ms, "
            f"{result.completed} migrations"
        )
        for example in traffic.verdict.examples:
            self.tell(f"  [red]{example}[/]")

    async def until_interrupted(self) -> None:
        """Wait for Ctrl-C."""
        self.tell("the dashboard stays up; Ctrl-C ends it")
        await asyncio.Event().wait()


class TrainingBars:
    """One bar per horizon."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks = {}

    def show(self, training: tuple[TrainingStatus, ...]) -> None:
        """Bring the bars up to date."""
        for status in training:
            if status.horizon not in self._tasks:
                what = f"training, {status.horizon} horizon"
                self._tasks[status.horizon] = self._progress.add_task(what, total=1.0, message="")
            self._progress.update(self._tasks[status.horizon], completed=status.fraction, message=status.message)


async def _answer(ask: Callable[[], Awaitable[BalancerStatus]]) -> BalancerStatus | None:
    """Return the status, or None while the control actor is away: the replay goes on without it, and so does the screen."""
    try:
        return await asyncio.wait_for(ask(), REFRESH_S)
    except Exception:  # noqa: BLE001  whatever Ray raises while an actor is restarted
        return None


def _picture(progress: Progress, status: BalancerStatus | None) -> RenderableType:
    if status is None:
        return progress
    table = Table(box=None, pad_edge=False)
    for header, justify in (("shard", "left"), ("load", "left"), ("", "right"), ("backlog", "right"), ("foreseen", "left")):
        table.add_column(header, justify=justify)
    for shard in status.shards:
        table.add_row(*_row(shard, status))
    moved = f"migrations: {status.migrations_done} done, {status.migrations_active} under way"
    trouble = [f"[yellow]{status.last_error}[/]"] if status.last_error else []
    return Group(progress, table, moved, *trouble)


def _row(shard: ShardView, status: BalancerStatus) -> tuple[str, ...]:
    share = shard.utilisation.get(FULL, 0.0)
    filled = min(BAR_CELLS, round(share * BAR_CELLS))
    colour = "red" if share > 1 else "yellow" if share > status.headroom else "green"
    bar = f"[{colour}]{'█' * filled}[/]{'·' * (BAR_CELLS - filled)}"
    return shard.shard_id, bar, f"{share:.0%}", f"{shard.backlog:,}", _foreseen(shard)


def _foreseen(shard: ShardView) -> str:
    if shard.congestion_at_s is None:
        return ""
    return f"congestion at {datetime.fromtimestamp(shard.congestion_at_s, UTC):%H:%M}"
