"""`plb models`: the versions of every trained forecaster, which of them serve, and how to go back to an earlier one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError, NoForecastError
from service.cli_access import access_here
from service.cli_history import Config, State  # noqa: TC001 (typer reads the annotations)
from service.cli_options import show
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from service.model_doors import ModelDoor

HELP = """Trained forecasters: their versions, which of them serve, and back to an earlier one.

Each group of order params has versions for each horizon. One of them, the champion, serves; where there is none the baseline
does (seasonal naive). A balancer that runs takes a change over with its next forecast. The commands look at a state folder,
or with --url at a running service. docs/models.md tells the whole.
"""
BASELINE = "the baseline"

group = typer.Typer(help=HELP, no_args_is_help=True)

Group = Annotated[str, typer.Argument(metavar="GROUP", help="As `plb models list` shows it.")]
HorizonName = Annotated[str, typer.Argument(metavar="HORIZON", help="short or medium.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="PLB_URL", metavar="URL", help="A running service, in place of a state folder."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="models", rich_help_panel="Offline")


@group.command("list")
def list_models(*, config: Config = None, state: State = None, url: Url = None, as_json: AsJson = False) -> None:
    """List the versions of every group and horizon; the champion is the one that serves.

    WQL is the weighted quantile loss on the days that were held out, smaller is better; the baseline's beside it is for the
    same days. Coverage is how much of what came lay within the intervals of 80 % and 95 %.
    """
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    with _door(url, config, state) as door:
        items, troubles = door.versions()
    for trouble in troubles:
        typer.echo(f"plb: {trouble}", err=True)
    none_yet = Text(f"no trained versions in {door.where} yet; a balancer trains some when it has enough history")
    show({"folder": door.where, "items": items}, _version_table(items) if items else none_yet, as_json=as_json)


@group.command("show")
def show_one(
    name: Group,
    horizon: HorizonName,
    *,
    config: Config = None,
    state: State = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the versions of one group and horizon, and all that happened to them."""
    with _door(url, config, state) as door:
        found = door.detail(name, horizon)
    _say_damage(found)
    found.pop("error")
    show(found, _version_table(found["versions"]), "", _event_table(found["events"]), as_json=as_json)


@group.command("rollback")
def rollback(
    name: Group,
    horizon: HorizonName,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="Default: the champion before the present one.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the audit.")] = "",
    yes: Yes = False,
    config: Config = None,
    state: State = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let an earlier version serve again. The present one stays in the registry.

    The next training challenges it as any champion. Repeating it with the same --to changes nothing.

    Example: plb models rollback group-0 short --to v0003 --reason "too high since Monday"
    """
    with _door(url, config, state) as door:
        found = door.detail(name, horizon)
        _say_damage(found)
        to = to or _earlier(found, name, horizon)
        _known(found, to, name, horizon)  # one that is not there is refused before anybody is asked
        _ask(f"{name} {horizon}: let {to} serve in place of {found['champion'] or BASELINE}?", yes=yes)
        door.serve(name, horizon, to, reason)
    _tell(name, horizon, found["champion"], to, as_json=as_json)


@group.command("demote")
def demote(
    name: Group,
    horizon: HorizonName,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the audit.")],
    yes: Yes = False,
    config: Config = None,
    state: State = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let the baseline serve in place of the champion, until a training brings a version that is better than the baseline.

    Example: plb models demote hot-0 medium --reason "the tenant has moved away"
    """
    with _door(url, config, state) as door:
        found = door.detail(name, horizon)
        _say_damage(found)
        _ask(f"{name} {horizon}: let {BASELINE} serve in place of {found['champion'] or BASELINE}?", yes=yes)
        door.serve(name, horizon, None, reason)
    _tell(name, horizon, found["champion"], None, as_json=as_json)


def _door(url: str | None, config: Path | None, state: Path | None) -> AbstractContextManager[ModelDoor]:
    from service.model_doors import folder_door, service_door  # noqa: PLC0415  keeps --help fast

    return folder_door(config, state) if url is None else service_door(url, access_here())


def _say_damage(found: dict[str, Any]) -> None:
    """Say if it cannot be told which version serves: the pointer is damaged."""
    if found["error"]:
        typer.echo(f"plb: {found['error']}", err=True)


def _earlier(found: dict[str, Any], name: str, horizon: str) -> str:
    if not found["former_champions"]:
        raise NoForecastError(f"no other version of {name} {horizon} was champion before; name one with --to")
    return str(found["former_champions"][-1])


def _known(found: dict[str, Any], version: str, name: str, horizon: str) -> None:
    """Refuse a version that is not there, or that cannot be read."""
    item = next((each for each in found["versions"] if each["version"] == version), None)
    if item is None:
        known = ", ".join(sorted(each["version"] for each in found["versions"]))
        raise NoForecastError(f"there is no version {version!r} of {name} {horizon}; there are: {known}")
    if item.get("error"):
        raise NoForecastError(item["error"])


def _ask(question: str, *, yes: bool) -> None:
    """Go on only if a person says so."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInputError(f"{question} Nobody is there to answer; give --yes to go on without asking")
    if not typer.confirm(question, err=True):
        typer.echo("plb: nothing was changed", err=True)
        raise typer.Exit(ExitCode.REFUSED)


def _tell(name: str, horizon: str, before: str | None, after: str | None, *, as_json: bool) -> None:
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    found = {"group": name, "horizon": horizon, "before": before, "champion": after}
    if before == after:
        words = f"{name} {horizon}: {after or BASELINE} serves already"
    else:
        words = f"{name} {horizon}: {after or BASELINE} serves in place of {before or BASELINE}, from the next forecast on"
    show(found, Text(words), as_json=as_json)


def _version_table(items: list[dict[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    names = ("group", "horizon", "version", "", "made at", "learnt from", "to", "WQL", "baseline", "80 %", "95 %", "plb-ray")
    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for item in items:
        mark = Text("champion" if item["champion"] else "", "green")
        rest = [Text(item["error"], "red")] if item.get("error") else _cells(item)
        table.add_row(Text(item["group"]), item["horizon"], item["version"], mark, *rest)
    return table


def _cells(item: dict[str, Any]) -> Iterator[str]:
    from service.cli_render import clock  # noqa: PLC0415  keeps --help fast

    metrics, data = item["metrics"], item["data"]
    yield from (clock(at) for at in (item["made_at"], data["start"], data["learnt_until"]))
    for name, form in (("wql", ".4f"), ("wql_baseline", ".4f"), ("coverage_80", ".1%"), ("coverage_95", ".1%")):
        yield "?" if metrics.get(name) is None else format(metrics[name], form)
    yield item["code_version"]


def _event_table(events: list[dict[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from service.cli_render import clock  # noqa: PLC0415  keeps --help fast

    table = Table("at", "what", "version", "by", "reason", box=None, pad_edge=False, header_style="dim")
    for event in events:
        words = (event["what"], event["version"] or "baseline", event["who"], event["reason"])
        table.add_row(clock(event["at"]), *map(Text, words))
    return table
