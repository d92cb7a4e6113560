"""`plb replay`: what predicting would have saved on a trace. It needs no service, no Ray and no network."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError
from service.cli_backtest import make_folder, refuse_unfit
from service.cli_live import MINUTES, check_arms, live_scenario, live_trace, order_of, say_order
from service.cli_scenario import scenario_file, show_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from plb_ray.domain.events import EventCalendar
    from plb_ray.simulation.trace import Trace
    from service.replay_run import Replay

PANEL = "What is replayed"
DAYS = 14
ARMS = "static,static-peak,reactive,predictive,oracle,elastic"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel="Offline")(replay)


def replay(
    trace: Annotated[
        Path | None,
        typer.Argument(
            metavar="TRACE",
            help="Parquet or CSV: order_param, ts, messages; or a scenario (.txt). Default: the packaged sample.",
        ),
    ] = None,
    *,
    shards: Annotated[int, typer.Option(metavar="N", min=2, help="How many shards.", rich_help_panel=PANEL)] = 4,
    arms: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Of static, static-peak, reactive, predictive, oracle, elastic.", rich_help_panel=PANEL
        ),
    ] = ARMS,
    capacity: Annotated[
        str,
        typer.Option(
            metavar="auto|FILE", help="Rates of the shards: a CSV with shard, messages_per_s.", rich_help_panel=PANEL
        ),
    ] = "auto",
    utilisation: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Of the fleet, that the peak needs; for auto.", rich_help_panel=PANEL),
    ] = 0.8,
    days: Annotated[
        float, typer.Option(metavar="N", help="Replay the last N days; what is before is history.", rich_help_panel=PANEL)
    ] = DAYS,
    order_params: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Keep only the N busiest. Default: all.", rich_help_panel=PANEL)
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Event calendar (.csv, .ics, .json).", rich_help_panel=PANEL)
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**31 - 1, help="Of every random choice.", rich_help_panel=PANEL)
    ] = 1,
    live: Annotated[
        bool, typer.Option("--live", help="On real shard processes, in compressed time.", rich_help_panel=PANEL)
    ] = False,
    minutes: Annotated[
        float, typer.Option(metavar="N", help="Of all arms together, for --live; beside training.", rich_help_panel=PANEL)
    ] = MINUTES,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Play a packaged scenario; a wrong name lists them.", rich_help_panel=PANEL),
    ] = None,
    rewrite: Annotated[
        bool, typer.Option(help="Record in a scenario's file what came of it.", rich_help_panel=PANEL)
    ] = False,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there; - prints them.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write an HTML page there: replay.html.")] = None,
) -> None:
    """Replay a trace on modelled shards: without balancing, reacting, predicting, and knowing the future.

    Example: plb replay trace.parquet --shards 4 --json replay.json --report out/

    Every arm has the same shards, the same messages and the same decider; they differ in what they are told of the future.
    The forecasters are trained in the replay, on what lies before. Reacting is run at several thresholds; its best is shown.

    A scenario is a small situation in a text file, with what came of it below: plb replay --scenario flash-crowd

    With --live the last part of it is run on real shard processes, one arm after the other, and order is checked.

    docs/replay.md explains the model and every figure. Leaves with 2 if the trace or an option cannot be used, and with 8 if
    what came of a scenario is not what its file says.
    """
    played = scenario_file(scenario, trace)
    if played is not None and live:
        chosen = _arms(arms)
        check_arms(chosen)
        refuse_unfit(json_path, report)
        with _progress() as tell:
            ran = live_scenario(played, chosen, minutes, tell)
        _write(ran.replay, json_path, report, {"order": order_of(ran)})
        say_order(ran)
        return
    if played is not None:
        refuse_unfit(json_path, None)
        with _progress() as tell:
            show_scenario(played, json_path, tell, renew=rewrite)
        return
    chosen = _arms(arms)
    refuse_unfit(json_path, report)
    from plb_ray.clock import monotonic_s  # noqa: PLC0415  keeps --help fast
    from plb_ray.simulation.replay.physics import PhysicsParams  # noqa: PLC0415  imports numpy
    from plb_ray.simulation.replay.setting import WARM_UP, field_of  # noqa: PLC0415  the same
    from service.replay_run import run  # noqa: PLC0415  imports the solver

    if days <= 0:
        raise BadInputError("option days: must be above 0")
    read = _trace(trace, order_params)
    first_bin = max(int(read.bins * WARM_UP), read.bins - int(days * 86_400 / read.step_s))
    on = field_of(read, shards, utilisation, PhysicsParams(), _rates(capacity), first_bin)
    if live:
        check_arms(chosen)
        with _progress() as tell:
            ran = live_trace(on, chosen, _calendar(events, read), seed, minutes, tell)
        _write(ran.replay, json_path, report, {"order": order_of(ran)})
        say_order(ran)
        return
    with _progress() as tell:
        found = run(on, chosen, _calendar(events, read), seed, tell, monotonic_s, workers=2)
    _write(found, json_path, report)


def _arms(text: str) -> tuple[str, ...]:
    known = ("static", "static-peak", "reactive", "predictive", "oracle", "elastic")
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise BadInputError(f"option arms: unknown arm {wrong[0] if wrong else ''!r}; known are {', '.join(known)}")
    return names


def _trace(path: Path | None, order_params: int | None) -> Trace:
    from plb_ray.simulation.trace import packaged_sample, read_trace  # noqa: PLC0415  imports pandas
    from service.demo import SAMPLE_LEAD_BINS, SAMPLE_MESSAGES_PER_FLIGHT  # noqa: PLC0415  the same

    if path is None:
        read = packaged_sample().led_by(SAMPLE_LEAD_BINS).scaled(SAMPLE_MESSAGES_PER_FLIGHT)
    else:
        read = read_trace(path)
    return read if order_params is None else read.busiest(order_params)


def _rates(capacity: str) -> NDArray[np.float64] | None:
    """Return the rates of a capacity file, or None for auto."""
    if capacity == "auto":
        return None
    import numpy as np  # noqa: PLC0415  keeps --help fast
    import pandas as pd  # noqa: PLC0415  the same

    try:
        rates = pd.read_csv(capacity)["messages_per_s"].to_numpy(dtype=np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise BadInputError(
            f"--capacity {capacity}: cannot be read ({error}); it is a CSV with the columns shard, messages_per_s"
        ) from error
    if len(rates) < 2 or not np.isfinite(rates).all() or (rates <= 0).any():
        raise BadInputError(f"--capacity {capacity}: needs two shards at least, each with messages_per_s above 0")
    return rates


def _calendar(path: Path | None, read: Trace) -> EventCalendar:
    from plb_ray.domain.events import NO_EVENTS  # noqa: PLC0415  keeps --help fast

    if path is None:
        return NO_EVENTS
    from service.backtest_run import events_in  # noqa: PLC0415  imports models

    return events_in(path, None, read.history(0, read.bins))


def _write(found: Replay, json_path: Path | None, report: Path | None, more: dict[str, Any] | None = None) -> None:
    import json  # noqa: PLC0415  keeps --help fast

    from service.cli_options import console_of  # noqa: PLC0415  the same
    from service.plan_report import write_json, write_whole  # noqa: PLC0415  imports numpy
    from service.replay_report import document, table, words  # noqa: PLC0415  the same

    figures = document(found) | (more or {})
    if report is not None:
        from service.replay_page import page  # noqa: PLC0415  imports plotly

        make_folder(report)
        write_whole(report / "replay.html", page(found))
    if json_path == Path("-"):
        typer.echo(json.dumps(figures, indent=1, allow_nan=False))
        return
    if json_path is not None:
        write_json(json_path, figures)
    console = console_of()
    console.print(table(found))
    for sentence in words(found):
        console.print(sentence)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """Show what is done while the block runs."""
    from rich.console import Console  # noqa: PLC0415  only to show
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415  the same

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.percentage:>3.0f}%"))
    shown = Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )
    with shown as progress:
        task = progress.add_task("reading the trace", total=1.0)
        yield lambda words, done: progress.update(task, description=words, completed=done)
