"""What the commands that ask a running service have in common: where it is, and how its answer is shown."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli_access import access_here

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import ServiceClient

Url = Annotated[
    str, typer.Option("--url", envvar="PLB_URL", metavar="URL", help="Where the service listens.", rich_help_panel="Service")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON instead of a table.")]
PIPE_WIDTH = 400
URL = "http://127.0.0.1:8080"


def client_of(url: str) -> ServiceClient:
    """Return a client of the service there; use it as a context manager."""
    from service.client import ServiceClient  # noqa: PLC0415  keeps --help fast

    return ServiceClient(url, access=access_here())


def show(found: dict[str, Any], *lines: Any, as_json: bool) -> None:
    """Print JSON for machines, or lines and tables for people."""
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = console_of()
    for line in lines:
        console.print(line)


def console_of() -> Console:
    """Return where people read; in a pipe or a file lines are as long as they need to be."""
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console
