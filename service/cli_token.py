"""`plb token`: API tokens, in the state folder of a balancer or through a running service."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli_history import Config, State  # noqa: TC001 (typer reads the annotations)
from service.cli_options import AsJson, client_of, show

if TYPE_CHECKING:
    from pathlib import Path

    from service.auth.tokens import ApiToken, TokenStore

HELP = """API tokens: who may call the service, and what for.

A viewer reads; an operator also acts (migrations, plans, events, samples); an admin also changes the mode, which models
serve, and tokens. Only the hash of a token is kept. Without --url the state folder is changed, for which one must be its
owner; a service that runs on it takes every change over at once. docs/security.md tells the whole.
"""

group = typer.Typer(help=HELP, no_args_is_help=True)

TokenUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="PLB_URL",
        metavar="URL",
        help="A running service, in place of a state folder; it takes an admin.",
        rich_help_panel="Service",
    ),
]


class RoleName(StrEnum):
    """The roles there are."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="token", rich_help_panel="Run")


@group.command()
def create(
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="Whose it is; the audit log shows it.")],
    role: Annotated[RoleName, typer.Option(help="What it may do.")],
    expires: Annotated[float | None, typer.Option(metavar="DAYS", help="How long it opens. Default: for ever.")] = None,
    config: Config = None,
    state: State = None,
    url: TokenUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, alone on its line. It cannot be seen again.

    Example: plb token create --name ci --role operator --expires 90 > ci.token
    """
    if _by_service(config, state, url):
        with client_of(str(url)) as client:
            found = client.create_token({"name": name, "role": role.value, "expires_days": expires})
    else:
        from service.auth.roles import Role  # noqa: PLC0415  keeps --help fast

        token, made = _store(config, state).create(name, Role(role.value), expires)
        found = {**_item(made), "token": token}
    if as_json:
        show(found, as_json=True)
        return
    typer.echo(found["token"])
    ends = f"until {found['expires_at']}" if found["expires_at"] else "until it is revoked"
    typer.echo(f"plb: token {found['token_id']} of {name!r}, {role.value}, {ends}; it is not shown again", err=True)


@group.command("list")
def list_tokens(*, config: Config = None, state: State = None, url: TokenUrl = None, as_json: AsJson = False) -> None:
    """List all tokens, revoked and expired ones included, oldest first."""
    if _by_service(config, state, url):
        with client_of(str(url)) as client:
            found = client.tokens()
    else:
        items = [_item(each) for each in _store(config, state).tokens()]
        found = {"items": items, "total": len(items)}
    none_yet = "no tokens; `plb token create --name NAME --role admin` makes one"
    show(found, _table(found["items"]) if found["items"] else none_yet, as_json=as_json)


@group.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, or its name.")],
    *,
    config: Config = None,
    state: State = None,
    url: TokenUrl = None,
    as_json: AsJson = False,
) -> None:
    """Let a token, and every login by it, open nothing from now on. Harmless when it is revoked already."""
    if _by_service(config, state, url):
        with client_of(str(url)) as client:
            found = client.revoke_token(which)
    else:
        found = _item(_store(config, state).revoke(which))
    show(found, f"token {found['token_id']} of {found['name']!r} opens nothing any more", as_json=as_json)


def _by_service(config: Path | None, state: Path | None, url: str | None) -> bool:
    """Return whether a service is asked: a folder that is named counts more than PLB_URL."""
    return url is not None and config is None and state is None


def _store(config: Path | None, state: Path | None) -> TokenStore:
    from plb_ray.settings import load_settings  # noqa: PLC0415  keeps --help fast
    from service.auth.tokens import TokenStore  # noqa: PLC0415  the same

    return TokenStore(state or load_settings(config).state_dir)


def _item(token: ApiToken) -> dict[str, Any]:
    from plb_ray.clock import wall_time_s  # noqa: PLC0415  keeps --help fast
    from service.api.token_routes import token_out  # noqa: PLC0415  the same

    return token_out(token, wall_time_s()).model_dump(mode="json")


def _table(items: list[dict[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    table = Table("id", "name", "role", "made at", "expires at", "", box=None, pad_edge=False, header_style="dim")
    for item in items:
        fate = "" if item["valid"] else "revoked" if item["revoked_at"] else "expired"
        times = [item[name] or "never" for name in ("made_at", "expires_at")]
        table.add_row(item["token_id"], Text(item["name"]), item["role"], *times, Text(fate, "red"))
    return table
