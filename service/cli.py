"""`plb`, the command line. Commands import what they need when they run, so that `plb --help` answers at once.

Every error that is foreseen is one sentence on standard error and an exit code of `service.exit_codes`; a traceback is shown
only when PLB_DEBUG=1.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from plb_ray.errors import PlbError
from service import (
    cli_backtest,
    cli_balancer,
    cli_capacity,
    cli_config,
    cli_conformance,
    cli_events,
    cli_history,
    cli_models,
    cli_plan,
    cli_record,
    cli_remote,
    cli_replay,
    cli_retrain,
    cli_saved_plans,
    cli_token,
)
from service.cli_access import asking, with_access
from service.exit_codes import MEANINGS, ExitCode, exit_code_of
from service.options import ARMS, ORDER_PARAMS_MAX, DemoOptions, parse_arms, parse_start

HELP = """Predictive load balancer for strictly ordered queues.

Foresees which shard will congest, and migrates order params away before it happens, in order.

**First steps**: `plb doctor` checks this machine. `plb demo` shows the whole in a few minutes. `plb serve` balances your
queue, with API and dashboard at http://127.0.0.1:8080.
"""
EXIT_CODES = "**Exit codes**\n\n" + "\n\n".join(f"{code:d} {meaning}" for code, meaning in MEANINGS.items())
RUN = "Run"

app = typer.Typer(
    help=HELP,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="plb.toml; docs/settings.md describes it. Default: the defaults."),
]


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are said on standard error."""
    try:
        with asking():
            with_access(typer.main.get_command(app))(args=arguments, prog_name="plb")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except PlbError as error:
        _say(str(error))
        return exit_code_of(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last resort: a sentence instead of a traceback
        _say(f"unexpected failure: {type(error).__name__}: {error}; PLB_DEBUG=1 shows where")
        return ExitCode.UNEXPECTED
    return ExitCode.OK


def _say(sentence: str) -> None:
    if os.environ.get("PLB_DEBUG") == "1":
        traceback.print_exc()
    typer.echo(f"plb: {sentence}", err=True)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  typer's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  keeps --help fast

        typer.echo(f"plb-ray {version('plb-ray')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=RUN)
def serve(config: Config = None) -> None:
    """Balance a queue: control loop, HTTP API and dashboard, until Ctrl-C or SIGTERM.

    Without --config it starts four embedded shards on this machine and listens on http://127.0.0.1:8080.
    """
    from plb_ray.settings import load_settings  # noqa: PLC0415  keeps --help fast

    settings = load_settings(config)
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    from service.serving import serve as serve_until_stopped  # noqa: PLC0415  imports Ray and more

    serve_until_stopped(settings, Console())


@app.command(rich_help_panel=RUN)
def demo(
    *,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trace to replay (parquet or CSV). Default: the packaged sample.")
    ] = None,
    order_params: Annotated[int, typer.Option(metavar="N", help="Keep only the N busiest.")] = ORDER_PARAMS_MAX,
    shards: Annotated[int, typer.Option(metavar="N", help="Embedded shards to start.")] = DemoOptions.shards,
    bins: Annotated[int, typer.Option(metavar="N", help="Bins of the trace to replay.")] = DemoOptions.bins,
    seconds_per_bin: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wall time of one bin.")
    ] = DemoOptions.seconds_per_bin,
    start: Annotated[
        str | None, typer.Option(metavar="ISO", help="Time of the first bin, UTC, e.g. 2013-11-27T06:00. Default: chosen.")
    ] = None,
    utilisation: Annotated[
        float, typer.Option(metavar="SHARE", help="Mean load as a share of all shards' capacity.")
    ] = DemoOptions.utilisation,
    rate: Annotated[
        float | None, typer.Option(metavar="MESSAGES_PER_S", help="Mean replayed rate of all order params. Default: chosen.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result there.")] = None,
    keep_serving: Annotated[
        bool, typer.Option("--keep-serving", help="Keep the dashboard up after the end, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(metavar="PORT", help="Of API and dashboard; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of every random choice.")] = DemoOptions.seed,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep journal, history and shards' data there. Default: temporary.")
    ] = None,
    arms: Annotated[str, typer.Option(metavar="LIST", help="Which arms to run, in this order.")] = ",".join(ARMS),
) -> None:
    """Replay real traffic against real shards, without and with plb-ray, and compare.

    The same messages are sent in each arm. The dashboard's URL is printed at the start.
    """
    options = DemoOptions(
        trace=trace,
        order_params=order_params,
        shards=shards,
        bins=bins,
        seconds_per_bin=seconds_per_bin,
        start_s=parse_start(start) if start is not None else None,
        utilisation=utilisation,
        rate=rate,
        json_path=json_path,
        keep_serving=keep_serving,
        port=port,
        seed=seed,
        state_dir=state,
        arms=parse_arms(arms),
    )
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    from service.demo import run_demo  # noqa: PLC0415  imports Ray and more

    raise typer.Exit(run_demo(options, Console()))


@app.command(
    rich_help_panel=RUN,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
)
def shard(context: typer.Context) -> None:
    """Run one embedded shard (a queue server); `plb shard --help` lists its options."""
    from plb_ray.queues.embedded.__main__ import main as run_shard  # noqa: PLC0415  imports gRPC

    raise typer.Exit(run_shard(context.args, "plb shard"))


@app.command(rich_help_panel=RUN)
def doctor(
    config: Config = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what takes seconds: heavy imports and starting Ray.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, when all is checked, instead of lines.")] = False,
) -> None:
    """Check this machine and the configuration; say for each thing that fails what to do."""
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    from service.doctor import document, examine, show  # noqa: PLC0415  keeps --help fast

    findings = examine(config, quick=quick)
    if as_json:
        found = document(findings)
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        raise typer.Exit(ExitCode.OK if found["ok"] else ExitCode.CHECKS_FAILED)
    healthy = show(findings, Console(highlight=False))
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.CHECKS_FAILED)


cli_plan.register()
cli_saved_plans.register(app)
cli_balancer.register(app)
cli_backtest.register(app)
cli_replay.register(app)
cli_capacity.register(app)
cli_models.register(app)
cli_retrain.register(app)
cli_conformance.register(app)
cli_config.register(app)
cli_events.register(app)
cli_history.register(app)
cli_remote.register(app)
cli_record.register(app)
cli_token.register(app)
