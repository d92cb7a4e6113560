"""`plb backtest`: which model foresees a trace best, and by how much. It needs no service, no Ray and no network."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from service.backtest_run import Outcome

PANEL = "What is tried"


class HorizonName(StrEnum):
    """The horizons there are."""

    SHORT = "short"
    MEDIUM = "medium"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel="Offline")(backtest)


def backtest(
    trace: Annotated[
        Path | None,
        typer.Argument(metavar="TRACE", help="Parquet or CSV: order_param, ts, messages. Default: the packaged sample."),
    ] = None,
    *,
    horizon: Annotated[HorizonName, typer.Option(help="short: 15 minutes ahead; medium: 24 hours, hourly.")],
    models: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Names, separated by commas; docs/backtest.md has them. Default: all.",
            rich_help_panel=PANEL,
        ),
    ] = "",
    step: Annotated[
        int | None,
        typer.Option(
            metavar="MINUTES", min=1, max=60, help="Length of a step. Default: the trace's bin.", rich_help_panel=PANEL
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Event calendar (.csv, .ics, .json). Models that learn run with and without it.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE", help="Of dates in --events, and of times without an offset. Default: UTC.", rich_help_panel=PANEL
        ),
    ] = None,
    order_params: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Keep only the N busiest. Default: all.", rich_help_panel=PANEL),
    ] = None,
    origins: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=8, help="Forecasts over the last quarter. Default: 96 short, 48 medium.", rich_help_panel=PANEL
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**31 - 1, help="Of every random choice.", rich_help_panel=PANEL)
    ] = 1,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there; - prints them.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write an HTML page there: backtest.html.")] = None,
) -> None:
    """Judge forecasters on a trace: who foresees it best, by how much, and what deciding on it would cost.

    Example: plb backtest trace.parquet --horizon short --json backtest.json --report out/

    Quick look: plb backtest --horizon short --models ensemble,baseline,naive --order-params 50

    Each model is fitted once on the first three quarters of the trace; then it forecasts from origins spread over the last
    quarter, knowing only what lies before each. The champion has the least weighted quantile loss (WQL). The statistical
    standards among the models are slow: with hundreds of order params they take most of the time.

    docs/backtest.md explains every figure. Leaves with 2 if the trace is malformed or too short, or a model is unknown.
    """
    refuse_unfit(json_path, report)
    from service.backtest_run import BacktestAsk, run  # noqa: PLC0415  imports numpy, scipy, pandas

    names = tuple(name.strip() for name in models.split(",") if name.strip())
    step_s = None if step is None else 60 * step
    ask = BacktestAsk(trace, horizon.value, step_s, names, events, zone, order_params, origins, seed)
    _write(run(ask), json_path, report)


def refuse_unfit(json_path: Path | None, report: Path | None) -> None:
    """Refuse what cannot be written, before the work.

    Raises:
        BadInputError: the folder of a file does not exist, or a file stands where the folder is to be.
    """
    if json_path is not None and (not json_path.parent.is_dir() or json_path.is_dir()):
        raise BadInputError(f"{json_path}: cannot be written; name a file in a folder that exists")
    if report is not None and report.exists() and not report.is_dir():
        raise BadInputError(f"--report {report}: is a file; name a folder")


def _write(outcome: Outcome, json_path: Path | None, report: Path | None) -> None:
    """Write the files, and show the outcome: as JSON if that is asked for on standard output, else for people."""
    import json  # noqa: PLC0415  keeps --help fast

    from service.backtest_report import document  # noqa: PLC0415  imports numpy
    from service.plan_report import write_json, write_whole  # noqa: PLC0415  imports numpy

    found = document(outcome)
    if report is not None:
        from service.backtest_page import page  # noqa: PLC0415  imports plotly

        make_folder(report)
        write_whole(report / "backtest.html", page(outcome))
    if json_path == Path("-"):
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False))
        return
    if json_path is not None:
        write_json(json_path, found)
    _show(outcome, [path for path in (json_path, report and report / "backtest.html") if path is not None])


def make_folder(report: Path) -> None:
    """Make the folder of a report. Raises BadInputError: it cannot be made."""
    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"--report {report}: cannot be made ({error.strerror}); name another folder") from error


def _show(outcome: Outcome, written: list[Path]) -> None:
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from service.backtest_screen import screen  # noqa: PLC0415  imports models
    from service.cli_options import console_of  # noqa: PLC0415  keeps --help fast

    console = console_of()
    for part in screen(outcome):
        console.print(part)
    if written:
        console.print(Text(f"\nwritten: {', '.join(map(str, written))}", "dim"))
