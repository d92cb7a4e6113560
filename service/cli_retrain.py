"""`plb retrain`: train networks anew in a job on the Ray cluster, and watch it."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli_access import access_here
from service.cli_options import URL, AsJson, Url, console_of, show
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from service.retraining import RetrainDoor

POLL_S = 0.5
SLOW_POLL_S = 2.0

group = typer.Typer(invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")


class HorizonName(StrEnum):
    """The horizons there are."""

    SHORT = "short"
    MEDIUM = "medium"


RetrainingId = Annotated[str, typer.Argument(metavar="ID", help="As `plb retrain list` shows it.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="PLB_RAY_ADDRESS",
        metavar="ADDRESS",
        help="Ray cluster to ask instead of a service: http://HEAD:8265 (its dashboard) or HOST:PORT.",
        rich_help_panel="A cluster",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="plb.toml, for --address.", rich_help_panel="A cluster"),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state", metavar="DIR", help="State folder as the cluster sees it, for --address.", rich_help_panel="A cluster"
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python", metavar="FILE", help="Python with plb-ray on the cluster. Default: as here.", rich_help_panel="A cluster"
    ),
]
SubUrl = Annotated[str | None, typer.Option("--url", metavar="URL", help="As before the command.")]
Follow = Annotated[bool, typer.Option("--follow", help="Watch it to its end. Ctrl-C stops watching, not the job.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="retrain", rich_help_panel="Ask a running service")


@group.callback()
def retrain(
    context: typer.Context,
    *,
    groups: Annotated[
        list[str] | None, typer.Option("--group", metavar="GROUP", help="Group of order params; repeatable. Default: all.")
    ] = None,
    horizons: Annotated[list[HorizonName] | None, typer.Option("--horizon", help="Repeatable. Default: both.")] = None,
    since: Annotated[
        str,
        typer.Option(
            metavar="SPAN|TIME", help="Learn from history since then: 14d, 36h, 2w or an ISO time. Default: enough."
        ),
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Train anew what the same command has trained already.")] = False,
    follow: Follow = False,
    url: Url = URL,
    address: Address = None,
    config: Config = None,
    state: State = None,
    python: Python = None,
    as_json: AsJson = False,
) -> None:
    """Train networks anew, from the history as it is now, in a job on the Ray cluster.

    Without a subcommand it submits a job to the running service's Ray, or to the cluster at --address, and shows where it
    stands. A balancer trains by itself every `forecast.retrain_every_s`; this is for right now, for some groups, or for a
    cluster of its own. The job is niced, so that who serves goes first. A network serves once it is written.

    Safe to repeat: the same command joins the job that runs, shows the one that is done (--again trains anew), and lets one
    that broke off go on with what is left.

    Example: plb retrain --horizon short --since 28d --follow
    """
    if context.invoked_subcommand is not None:
        return
    asked = {"groups": groups or [], "horizons": [name.value for name in horizons or []], "since": since, "again": again}
    with _door(url, address, config, state, python) as door:
        found = door.start(asked)
        if follow:
            found = _followed(door, found["retraining_id"], as_json=as_json)
        _tell(found, as_json=as_json)
    _leave_with(found)


@group.command("list")
def list_all(context: typer.Context, *, url: SubUrl = None, as_json: AsJson = False) -> None:
    """List the retrainings that are remembered, newest first."""
    from service.cli_retrain_render import retraining_table  # noqa: PLC0415  keeps --help fast

    with _door_of(context, url) as door:
        found = door.recent()
    table = retraining_table(found["items"]) if found["items"] else "no retrainings"
    show(found, table, as_json=as_json or _given(context)["as_json"])


@group.command("show")
def show_one(
    context: typer.Context,
    retraining_id: RetrainingId,
    *,
    follow: Follow = False,
    url: SubUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show how far one retraining is, part by part, and the end of its log."""
    from service.cli_retrain_render import log_lines  # noqa: PLC0415  keeps --help fast

    as_json = as_json or _given(context)["as_json"]
    with _door_of(context, url) as door:
        found = _followed(door, retraining_id, as_json=as_json) if follow else door.find(retraining_id)
    _tell(found, *([] if follow else log_lines(found)), as_json=as_json)
    if follow:
        _leave_with(found)


@group.command("cancel")
def cancel(context: typer.Context, retraining_id: RetrainingId, *, url: SubUrl = None, as_json: AsJson = False) -> None:
    """End a retraining's job. What it has trained stays; the same `plb retrain` goes on with the rest.

    Repeating it is harmless.
    """
    with _door_of(context, url) as door:
        found = door.cancel(retraining_id)
    _tell(found, as_json=as_json or _given(context)["as_json"])


def _followed(door: RetrainDoor, retraining_id: str, *, as_json: bool) -> dict[str, Any]:
    """Show a retraining until it is over, and return it then."""
    from service.cli_retrain_render import watcher  # noqa: PLC0415  keeps --help fast

    try:
        with watcher(console_of(), silent=as_json) as watch:
            return follow_to_end(door.find, retraining_id, watch, time.sleep)
    except KeyboardInterrupt:
        typer.echo(
            f"retraining {retraining_id} goes on; `plb retrain show {retraining_id} --follow` watches it again, "
            f"`plb retrain cancel {retraining_id}` ends it",
            err=True,
        )
        raise


def follow_to_end(
    find: Callable[[str, int], dict[str, Any]],
    retraining_id: str,
    watch: Callable[[dict[str, Any]], None],
    sleep: Callable[[float], None],
) -> dict[str, Any]:
    """Ask for a retraining again and again, and hand it on with the lines of its log that are new, until it is over."""
    lines = 0
    while True:
        found = find(retraining_id, lines)
        lines = max(lines, found["log_lines"])
        watch(found)
        if found["ended_at"] is not None:
            return found
        sleep(POLL_S if found["eta_s"] is None or found["eta_s"] < 60 else SLOW_POLL_S)


def _tell(found: dict[str, Any], *more: Any, as_json: bool) -> None:
    from service.cli_retrain_render import part_table, retraining_lines  # noqa: PLC0415  keeps --help fast

    show(found, *retraining_lines(found), part_table(found), *more, as_json=as_json)


def _leave_with(found: dict[str, Any]) -> None:
    if found["state"] in ("failed", "cancelled"):
        raise typer.Exit(ExitCode.CHECKS_FAILED)


def _door(
    url: str, address: str | None, config: Path | None, state: Path | None, python: str | None
) -> AbstractContextManager[RetrainDoor]:
    from service.retraining import cluster_door, service_door  # noqa: PLC0415  keeps --help fast

    return service_door(url, access_here()) if address is None else cluster_door(address, config, state, python)


def _door_of(context: typer.Context, url: str | None) -> AbstractContextManager[RetrainDoor]:
    """Return the door of the options before the subcommand."""
    given = _given(context)
    return _door(url or given["url"], given["address"], given["config"], given["state"], given["python"])


def _given(context: typer.Context) -> dict[str, Any]:
    assert context.parent is not None
    return context.parent.params
