"""`plb migrations`: the list, one migration's timeline, and cancelling. `plb migrate`: move an order param and watch it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.domain.migration import MigrationMode
from plb_ray.errors import OutcomeUnknownError
from service.cli_options import URL, AsJson, Url, client_of, console_of, show

if TYPE_CHECKING:
    from service.cli_progress import Watcher
    from service.client import ServiceClient

POLL_S = 0.2

group = typer.Typer(invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")

MigrationId = Annotated[str, typer.Argument(metavar="ID", help="As `plb migrations` shows it.")]
SubUrl = Annotated[str | None, typer.Option("--url", metavar="URL", help="As before the command.")]


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="migrations", rich_help_panel=panel)
    app.command(rich_help_panel=panel)(migrate)


@group.callback()
def migrations(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    active: Annotated[bool, typer.Option("--active", help="Only those that still run.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List recent migrations: step, messages copied, how long each paused, and why.

    `plb migrations show ID` shows when one of them reached each step; `plb migrations cancel ID` rolls one back.
    """
    if context.invoked_subcommand is not None:
        return
    from service.cli_render import migration_table  # noqa: PLC0415  keeps --help fast

    with client_of(url) as client:
        found = client.migrations(limit, active=active)
    show(found, migration_table(found["items"], console_of().width) if found["items"] else "no migrations", as_json=as_json)


@group.command("show")
def show_one(context: typer.Context, migration_id: MigrationId, *, url: SubUrl = None, as_json: AsJson = False) -> None:
    """Show one migration's timeline: when it reached each step, what it had copied, how long it paused."""
    from service.cli_render import migration_lines, timeline_table  # noqa: PLC0415  keeps --help fast

    with _client(context, url) as client:
        found = client.migration(migration_id)
    show(found, *migration_lines(found), timeline_table(found), as_json=_as_json(context, as_json=as_json))


@group.command("cancel")
def cancel(context: typer.Context, migration_id: MigrationId, *, url: SubUrl = None, as_json: AsJson = False) -> None:
    """Roll a migration back before its commit point; the order param is then served by its source again.

    Repeating it is harmless. A migration past its commit point goes on, and the command leaves with 5.
    """
    from service.cli_render import migration_table  # noqa: PLC0415  keeps --help fast

    with _client(context, url) as client:
        found = client.cancel(migration_id)
    show(found, migration_table([found], console_of().width), as_json=_as_json(context, as_json=as_json))


def _client(context: typer.Context, url: str | None) -> ServiceClient:
    """Return a client; without a URL of its own, a subcommand takes that of `plb migrations`."""
    return client_of(url or _of_the_group(context)["url"])


def _as_json(context: typer.Context, *, as_json: bool) -> bool:
    return as_json or _of_the_group(context)["as_json"]


def _of_the_group(context: typer.Context) -> dict[str, Any]:
    assert context.parent is not None
    return context.parent.params


def migrate(
    order_param: Annotated[str, typer.Argument(help="Its name; quote it if it holds spaces.")],
    *,
    destination: Annotated[str, typer.Option("--to", metavar="SHARD", help="Shard to move to.")],
    source: Annotated[
        str | None, typer.Option("--from", metavar="SHARD", help="Shard it must be on now. Default: wherever it is.")
    ] = None,
    mode: Annotated[
        MigrationMode,
        typer.Option(help="copy: its backlog moves too; chain: the backlog is consumed where it is, new messages go ahead."),
    ] = MigrationMode.COPY,
    reason: Annotated[str, typer.Option(help="Kept with the migration.")] = "asked for with plb migrate",
    request_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Makes it safe to repeat: the same id is the same migration.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = True,
    timeout_s: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to follow it.")] = 60.0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Move one order param to another shard, in order and without loss, and follow it.

    On a terminal a bar shows what is copied; elsewhere each step is a line. Ctrl-C stops watching, not the migration.

    Example: plb migrate JFK-LAX --from shard-3 --to shard-1
    """
    from service.cli_progress import watcher  # noqa: PLC0415  keeps --help fast
    from service.cli_render import migration_table  # noqa: PLC0415  keeps --help fast

    asked = {"order_param": order_param, "destination": destination, "source": source, "reason": reason, "mode": mode.value}
    with client_of(url) as client:
        found = client.migrate({**asked, "request_id": request_id})
        if wait:
            with watcher(console_of(), silent=as_json) as watch:
                found = _follow(client, found["migration_id"], timeout_s, watch)
    show(found, migration_table([found], console_of().width), as_json=as_json)
    if found["step"] == "aborted":
        _refuse_rolled_back(found)


def _follow(client: ServiceClient, migration_id: str, timeout_s: float, watch: Watcher) -> dict[str, Any]:
    """Return the migration when it has finished.

    Raises:
        OutcomeUnknownError: it has not finished in time; it goes on by itself.
    """
    try:
        for _ in range(max(1, round(timeout_s / POLL_S))):
            found = client.migration(migration_id)
            watch(found)
            if found["finished"]:
                return found
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        typer.echo(f"migration {migration_id} goes on; `plb migrations cancel {migration_id}` rolls it back", err=True)
        raise
    raise OutcomeUnknownError(
        f"migration {migration_id} is still at {found['step']} after {timeout_s:g} s and goes on by itself; "
        f"`plb migrations show {migration_id}` shows it"
    )


def _refuse_rolled_back(found: dict[str, Any]) -> None:
    from service.client import ServiceAnsweredError  # noqa: PLC0415  keeps --help fast

    raise ServiceAnsweredError(
        "ROLLED_BACK",
        f"migration {found['migration_id']} was rolled back: {found['error']}; "
        f"{found['order_param']!r} is still served by {found['source']}",
    )
