"""The commands that ask a running service over HTTP; those about migrations are in `cli_migrations`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from service import cli_migrations
from service.cli_options import URL, AsJson, Url, client_of, show


class HorizonName(StrEnum):
    """The horizons one can ask for."""

    SHORT = "short"
    MEDIUM = "medium"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Ask a running service"
    for command in (status, forecast):
        app.command(rich_help_panel=panel)(command)
    cli_migrations.register(app, panel)


def status(*, url: Url = URL, as_json: AsJson = False) -> None:
    """Show every shard: load now, highest foreseen load, next congestion, backlog."""
    from service.cli_render import shard_table, status_lines  # noqa: PLC0415  keeps --help fast

    with client_of(url) as client:
        found = client.status()
    show(found, *status_lines(found), shard_table(found), as_json=as_json)


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

    with client_of(url) as client:
        found = client.forecast(order_param, horizon.value)
    past = [point["messages_per_s"] for point in found["history"]][-60:]
    head = Text(f"{order_param}: forecast by {found['source'].replace('_', ' ')}, messages/s")
    recent = Text(f"history {spark(past)} now {past[-1]:,.2f}" if past else "no history yet", "dim")
    show(found, head, recent, forecast_table(found), as_json=as_json)
