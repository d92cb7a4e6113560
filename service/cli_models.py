"""`plb models`: the versions of every trained forecaster, which of them serve, and how to go back to an earlier one."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError, NoForecastError
from service.cli_history import Config, State  # noqa: TC001 (typer reads the annotations)
from service.cli_options import show
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from models.registry import ModelRegistry, VersionFolder
    from models.registry_entry import Event

HELP = """Trained forecasters: their versions, which of them serve, and back to an earlier one.

Each group of order params has versions for each horizon. One of them, the champion, serves; where there is none the baseline
does (seasonal naive). A balancer that runs takes a change over with its next forecast. docs/models.md tells the whole.
"""
BASELINE = "the baseline"

group = typer.Typer(help=HELP, no_args_is_help=True)

Group = Annotated[str, typer.Argument(metavar="GROUP", help="As `plb models list` shows it.")]
HorizonName = Annotated[str, typer.Argument(metavar="HORIZON", help="short or medium.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="models", rich_help_panel="Offline")


@group.command("list")
def list_models(*, config: Config = None, state: State = None, as_json: AsJson = False) -> None:
    """List the versions of every group and horizon; the champion is the one that serves.

    WQL is the weighted quantile loss on the days that were held out, smaller is better; the baseline's beside it is for the
    same days. Coverage is how much of what came lay within the intervals of 80 % and 95 %.
    """
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    registry = _registry(config, state)
    items = [item for name, horizon, folder in registry.folders() for item in _items(name, horizon, folder)]
    none_yet = Text(f"no trained versions in {registry.root} yet; a balancer trains some when it has enough history")
    found = {"folder": str(registry.root), "items": items}
    show(found, _version_table(items) if items else none_yet, as_json=as_json)


@group.command("show")
def show_one(
    name: Group, horizon: HorizonName, *, config: Config = None, state: State = None, as_json: AsJson = False
) -> None:
    """Show the versions of one group and horizon, and all that happened to them."""
    folder = _registry(config, state).of(name, horizon)
    items, events = _items(name, horizon, folder), folder.events()
    found = {
        "folder": str(folder.folder),
        "champion": next((item["version"] for item in items if item["champion"]), None),
        "former_champions": list(folder.former_champions()),
        "versions": items,
        "events": [_event_item(event) for event in events],
    }
    show(found, _version_table(items), "", _event_table(events), as_json=as_json)


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
    as_json: AsJson = False,
) -> None:
    """Let an earlier version serve again. The present one stays in the registry.

    The next training challenges it as any champion. Repeating it with the same --to changes nothing.

    Example: plb models rollback group-0 short --to v0003 --reason "too high since Monday"
    """
    folder = _registry(config, state).of(name, horizon)
    before = _champion(folder)
    to = to or _earlier(folder)
    folder.entry(to)  # one that is not there is refused before anybody is asked
    _ask(f"{name} {horizon}: let {to} serve in place of {before or BASELINE}?", yes=yes)
    _changed(folder, lambda: folder.rollback(to, reason, _who()))
    _tell(name, horizon, before, to, as_json=as_json)


@group.command("demote")
def demote(
    name: Group,
    horizon: HorizonName,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the audit.")],
    yes: Yes = False,
    config: Config = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Let the baseline serve in place of the champion, until a training brings a version that is better than the baseline.

    Example: plb models demote hot-0 medium --reason "the tenant has moved away"
    """
    folder = _registry(config, state).of(name, horizon)
    before = _champion(folder)
    _ask(f"{name} {horizon}: let {BASELINE} serve in place of {before or BASELINE}?", yes=yes)
    _changed(folder, lambda: folder.demote(reason, _who()))
    _tell(name, horizon, before, None, as_json=as_json)


def _registry(config: Path | None, state: Path | None) -> ModelRegistry:
    from models.registry import ModelRegistry  # noqa: PLC0415  imports numpy
    from plb_ray.clock import wall_time_s  # noqa: PLC0415  keeps --help fast
    from plb_ray.settings import load_settings  # noqa: PLC0415  keeps --help fast

    return ModelRegistry((state or load_settings(config).state_dir) / "networks", wall_time_s)


def _champion(folder: VersionFolder) -> str | None:
    """Return the version that serves; None also if the pointer is damaged, which is then said."""
    try:
        return folder.champion()
    except NoForecastError as error:
        typer.echo(f"plb: {error}", err=True)
        return None


def _earlier(folder: VersionFolder) -> str:
    former = folder.former_champions()
    if not former:
        raise NoForecastError(f"no other version in {folder.folder} was champion before; name one with --to")
    return former[-1]


def _ask(question: str, *, yes: bool) -> None:
    """Go on only if a person says so."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInputError(f"{question} Nobody is there to answer; give --yes to go on without asking")
    if not typer.confirm(question, err=True):
        typer.echo("plb: nothing was changed", err=True)
        raise typer.Exit(ExitCode.REFUSED)


def _changed(folder: VersionFolder, change: Callable[[], object]) -> None:
    try:
        change()
    except OSError as error:
        raise BadInputError(f"{folder.folder} cannot be changed: {error}; check who may write there") from error


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container whose user has no name
        return "somebody"


def _tell(name: str, horizon: str, before: str | None, after: str | None, *, as_json: bool) -> None:
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    found = {"group": name, "horizon": horizon, "before": before, "champion": after}
    if before == after:
        words = f"{name} {horizon}: {after or BASELINE} serves already"
    else:
        words = f"{name} {horizon}: {after or BASELINE} serves in place of {before or BASELINE}, from the next forecast on"
    show(found, Text(words), as_json=as_json)


def _items(name: str, horizon: str, folder: VersionFolder) -> list[dict[str, Any]]:
    """Return the versions, newest first; of one that cannot be read, why."""
    from service.model_items import version_items  # noqa: PLC0415  imports numpy

    _champion(folder)  # a damaged pointer is said
    return version_items(name, horizon, folder)


def _event_item(event: Event) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415  keeps --help fast

    return asdict(event)


def _version_table(items: list[dict[str, Any]]) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    names = ("group", "horizon", "version", "", "made at", "learnt from", "to", "WQL", "baseline", "80 %", "95 %", "plb-ray")
    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for item in items:
        mark = Text("champion" if item["champion"] else "", "green")
        rest = [Text(item["error"], "red")] if "error" in item else _cells(item)
        table.add_row(Text(item["group"]), item["horizon"], item["version"], mark, *rest)
    return table


def _cells(item: dict[str, Any]) -> Iterator[str]:
    from service.cli_render import clock  # noqa: PLC0415  keeps --help fast

    metrics, data = item["metrics"], item["data"]
    yield from (clock(at) for at in (item["made_at"], data["start"], data["learnt_until"]))
    for name, form in (("wql", ".4f"), ("wql_baseline", ".4f"), ("coverage_80", ".1%"), ("coverage_95", ".1%")):
        yield format(metrics[name], form) if name in metrics else "?"
    yield item["code_version"]


def _event_table(events: tuple[Event, ...]) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    from service.cli_render import clock  # noqa: PLC0415  keeps --help fast

    table = Table("at", "what", "version", "by", "reason", box=None, pad_edge=False, header_style="dim")
    for event in events:
        words = (event.what, event.version or "baseline", event.who, event.reason)
        table.add_row(clock(event.at), *map(Text, words))
    return table
