"""The commands that ask a running service over HTTP: status, forecast, migrate, migrations."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import OutcomeUnknownError

if TYPE_CHECKING:
    from service.client import ServiceClient

POLL_S = 0.2

Url = Annotated[
    str, typer.Option("--url", envvar="PLB_URL", metavar="URL", help="Where the service listens.", rich_help_panel="Service")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON instead of a table.")]
URL = "http://127.0.0.1:8080"


class HorizonName(StrEnum):
    """The horizons one can ask for."""

    SHORT = "short"
    MEDIUM = "medium"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Ask a running service"
    for command in (status, forecast, migrations, migrate):
        app.command(rich_help_panel=panel)(command)


def status(*, url: Url = URL, as_json: AsJson = False) -> None:
    """Show every shard: load now, highest foreseen load, next congestion, backlog."""
    from service.cli_render import shard_table, status_lines  # noqa: PLC0415  keeps --help fast

    with _client(url) as client:
        found = client.status()
    _show(found, *status_lines(found), shard_table(found), as_json=as_json)


def forecast(
    order_param: Annotated[str, typer.Argument(help="Its name; quote it if it holds spaces.")],
    *,
    horizon: Annotated[HorizonName, typer.Option(help="short: 15 minutes; medium: 24 hours.")] = HorizonName.SHORT,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Show the forecast of one order param: messages per second, by quantile."""
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from service.cli_render import forecast_table, spark  # noqa: PLC0415  keeps --help fast

    with _client(url) as client:
        found = client.forecast(order_param, horizon.value)
    past = [point["messages_per_s"] for point in found["history"]][-60:]
    head = Text(f"{order_param}: forecast by {found['source'].replace('_', ' ')}, messages/s")
    recent = Text(f"history {spark(past)} now {past[-1]:,.2f}" if past else "no history yet", "dim")
    _show(found, head, recent, forecast_table(found), as_json=as_json)


def migrations(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    active: Annotated[bool, typer.Option("--active", help="Only those that still run.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List recent migrations: step, messages copied, how long each paused, and why."""
    from service.cli_render import migration_table  # noqa: PLC0415  keeps --help fast

    with _client(url) as client:
        found = client.migrations(limit, active=active)
    shown = migration_table(found["items"]) if found["items"] else "no migrations"
    _show(found, shown, as_json=as_json)


def migrate(
    order_param: Annotated[str, typer.Argument(help="Its name; quote it if it holds spaces.")],
    *,
    destination: Annotated[str, typer.Option("--to", metavar="SHARD", help="Shard to move to.")],
    source: Annotated[
        str | None, typer.Option("--from", metavar="SHARD", help="Shard it must be on now. Default: wherever it is.")
    ] = None,
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

    Example: plb migrate JFK-LAX --from shard-3 --to shard-1
    """
    from service.cli_render import migration_table  # noqa: PLC0415  keeps --help fast

    asked = {"order_param": order_param, "destination": destination, "source": source, "reason": reason}
    with _client(url) as client:
        found = client.migrate({**asked, "request_id": request_id})
        if wait:
            found = _follow(client, found, timeout_s)
    _show(found, migration_table([found]), as_json=as_json)
    if found["step"] == "aborted":
        _refuse_rolled_back(found)


def _follow(client: ServiceClient, found: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Return the migration when it has finished.

    Raises:
        OutcomeUnknownError: it has not finished in time; it goes on by itself.
    """
    for _ in range(max(1, round(timeout_s / POLL_S))):
        if found["finished"]:
            return found
        time.sleep(POLL_S)
        found = client.migration(found["migration_id"])
    if found["finished"]:
        return found
    raise OutcomeUnknownError(
        f"migration {found['migration_id']} is still at {found['step']} after {timeout_s:g} s and goes on by itself; "
        "`plb migrations` shows it"
    )


def _refuse_rolled_back(found: dict[str, Any]) -> None:
    from service.client import ServiceAnsweredError  # noqa: PLC0415  keeps --help fast

    raise ServiceAnsweredError(
        "ROLLED_BACK",
        f"migration {found['migration_id']} was rolled back: {found['error']}; "
        f"{found['order_param']!r} is still served by {found['source']}",
    )


def _client(url: str) -> ServiceClient:
    from service.client import ServiceClient  # noqa: PLC0415  keeps --help fast

    return ServiceClient(url)


def _show(found: dict[str, Any], *lines: Any, as_json: bool) -> None:
    """Print JSON for machines, or lines and tables for people."""
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for line in lines:
        console.print(line)
