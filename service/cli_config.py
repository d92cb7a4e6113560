"""`plb config`: what the settings are, where each comes from, and whether they are right. Asks no service."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError
from service.cli_options import AsJson, show
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from plb_ray.settings import Settings
    from plb_ray.settings.keys import Key
    from plb_ray.settings.sources import Resolved

HELP = """The settings: check them, see what is in force and from where, help your editor.

plb.toml is read as `plb serve --config` reads it, under the environment: PLB_BALANCER__HEADROOM=0.8 stands for
balancer.headroom. docs/settings.md describes each setting.
"""
HIDDEN = "(hidden)"

group = typer.Typer(help=HELP, no_args_is_help=True)
File = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="plb.toml. Default: the defaults, under the environment.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="config", rich_help_panel="Offline")


@group.command()
def check(file: File = None, *, as_json: AsJson = False) -> None:
    """Check a configuration and list every fault, each with its place. Leaves with 2 if there is one.

    Example: plb config check plb.toml
    """
    resolved = _resolved(file)
    faults = [{"place": fault.place, "key": fault.key, "what": fault.what} for fault in resolved.faults]
    lines = [f"{fault['place']}: {fault['key']}: {fault['what']}" for fault in faults]
    verdict = f"{len(faults)} to correct; docs/settings.md describes each setting" if faults else "all is well"
    if as_json:
        typer.echo(json.dumps({"ok": not faults, "faults": faults}, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join([*lines, verdict]))
    raise typer.Exit(ExitCode.USAGE if faults else ExitCode.OK)


@group.command("show")
def show_values(
    file: File = None,
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Also where each value comes from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the values in force. Secrets are hidden.

    What is printed without --origin is a plb.toml that says the same, but for secrets.

    Example: PLB_HTTP__PORT=9000 plb config show plb.toml --origin
    """
    from plb_ray.settings.keys import keys  # noqa: PLC0415  keeps --help fast

    settings, origins = _in_force(file)
    items = [{"key": key.name, "value": _shown(key, settings), "origin": origins[key.name]} for key in keys()]
    if origin:
        show({"items": items}, _table(items), as_json=as_json)
    elif as_json:
        show({"items": [{name: item[name] for name in ("key", "value")} for item in items]}, as_json=True)
    else:
        typer.echo(_as_toml(settings))


@group.command()
def schema() -> None:
    """Print the JSON Schema of plb.toml, for editors: with Taplo or Even Better TOML, name it at the top of plb.toml.

    Example: plb config schema > plb.schema.json; then `#:schema ./plb.schema.json` as the first line of plb.toml
    """
    from plb_ray.settings.schema import settings_schema  # noqa: PLC0415  keeps --help fast

    typer.echo(json.dumps(settings_schema(), indent=2))


@group.command("test-notify")
def try_notify(file: File = None, *, as_json: AsJson = False) -> None:
    """Send a test notification to every URL of [notify], once each, and say what came of it.

    Leaves with 8 if one is not accepted. URLs are secrets: only their hosts are shown.

    Example: PLB_NOTIFY__SLACK_URL=https://hooks.slack.com/services/... plb config test-notify
    """
    from service.notify_send import try_targets  # noqa: PLC0415  imports an HTTP client

    settings, _ = _in_force(file)
    results = try_targets(settings.notify)
    if not results:
        raise BadInputError("notify: no URL is set; set PLB_NOTIFY__WEBHOOK_URL or PLB_NOTIFY__SLACK_URL")
    items = [{"target": found.target, "host": found.host, "error": found.error} for found in results]
    lines = [f"{each['target']} at {each['host']}: {each['error'] or 'accepted'}" for each in items]
    show({"items": items}, *lines, as_json=as_json)
    raise typer.Exit(ExitCode.CHECKS_FAILED if any(found.error for found in results) else ExitCode.OK)


def _resolved(file: Path | None) -> Resolved:
    from plb_ray.settings.sources import resolve  # noqa: PLC0415  keeps --help fast

    return resolve(file, os.environ)


def _in_force(file: Path | None) -> tuple[Settings, dict[str, str]]:
    """Return the settings and the origin of each. Raises BadInputError with every fault."""
    from plb_ray.settings.sources import every_fault  # noqa: PLC0415  keeps --help fast

    resolved = _resolved(file)
    if resolved.settings is None:
        raise BadInputError("config: " + "; ".join(every_fault(resolved)))
    return resolved.settings, resolved.origins


def _shown(key: Key, settings: Settings) -> Any:
    """Return a value in plain types; of a secret only whether it is set."""
    value = key.of(settings)
    if key.secret:
        return HIDDEN if value else ""
    return _plain(value)


def _plain(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass  # noqa: PLC0415  keeps --help fast

    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _table(items: list[dict[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    table = Table("key", "value", "from", box=None, padding=(0, 2, 0, 0))
    for item in items:
        style = "dim" if item["origin"] == "default" else ""
        cells = (item["key"], "" if item["value"] is None else json.dumps(item["value"], ensure_ascii=False), item["origin"])
        table.add_row(*(Text(cell, style) for cell in cells))
    return table


def _as_toml(settings: Settings) -> str:
    """Return TOML that says the same. What has no value is left out, and so are secrets, which may not stand there."""
    from plb_ray.settings.keys import keys  # noqa: PLC0415  keeps --help fast

    lines, table = [], ""
    for key in sorted(keys(), key=lambda key: key.path[:-1]):
        value = _plain(key.of(settings))
        if value is None or key.secret:
            continue
        above = ".".join(key.path[:-1])
        if above != table:
            lines += ["", f"[{above}]"]
            table = above
        lines.append(f"{key.path[-1]} = {_toml(value)}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """Return one value in TOML. JSON writes text, numbers and lists of them alike, but tables otherwise."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
