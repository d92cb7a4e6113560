"""`plb history`: look at the observed arrival rates of a state folder, fill them from files, and write them to files."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli_options import URL, AsJson, Url, client_of, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from plb_ray.domain.rates import RateHistory
    from plb_ray.settings import Settings

HELP = """Observed arrival rates: show, import, export, push.

The history is what forecasts are made from. A balancer fills it by itself, from what the queue tells and, if it is set, from
a Prometheus (`[history.prometheus]` in docs/settings.md). Files fill it too: `import` while no balancer runs on the state
folder, `push` while one does.

A file is parquet or CSV with the columns `order_param`, `ts` (start of the bin, UTC) and `messages` (count in the bin); bins
without a row are zero.
"""

group = typer.Typer(help=HELP, no_args_is_help=True)

TraceFile = Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, CSV or CSV.GZ.")]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="plb.toml of the balancer. Default: the defaults.")
]
State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="State folder. Default: state_dir of the configuration.")
]
AsJsonOffline = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="history", rich_help_panel="Offline")


@group.command("show")
def show_history(*, config: Config = None, state: State = None, as_json: AsJsonOffline = False) -> None:
    """Show what a history holds: steps, their span, order params, gaps. Also while a balancer writes it.

    What became of samples that were pushed to a running balancer is in `plb status --json`, under `history`.
    """
    from plb_ray.history.reader import read_picture  # noqa: PLC0415  keeps --help fast
    from service.history_files import described  # noqa: PLC0415  keeps --help fast

    folder = _settings(config, state).state_dir / "history"
    with _waiting("reading the history", as_json=as_json):
        found = {"folder": str(folder), **described(read_picture(folder))}
    _tell(found, _lines(found), as_json=as_json)


@group.command("import")
def import_history(file: TraceFile, *, config: Config = None, state: State = None, as_json: AsJsonOffline = False) -> None:
    """Take a file into the history of a state folder. No balancer may run on it: push to a running one instead.

    Steps that were observed already stay as they are, so importing twice is harmless. Bins must be the balancer's steps
    (`balancer.step_s`) or parts of them.

    Example: plb history import 2025.parquet --config plb.toml
    """
    from service.history_files import import_file  # noqa: PLC0415  keeps --help fast

    settings = _settings(config, state)
    with _waiting(f"importing {file}", as_json=as_json):
        found = asdict(import_file(file, settings))
    words = (
        f"{found['new_steps']:,} steps imported, {found['known_steps']:,} known already; "
        f"{settings.state_dir / 'history'} has {found['order_params']:,} order params now"
    )
    _tell(found, [words], as_json=as_json)


@group.command("export")
def export_history(
    file: TraceFile,
    *,
    days: Annotated[
        float | None, typer.Option("--days", min=0, metavar="DAYS", help="Only the last so many. Default: all there is.")
    ] = None,
    config: Config = None,
    state: State = None,
    as_json: AsJsonOffline = False,
) -> None:
    """Write a history to a file that `import`, `push` and `plb demo` read. Also while a balancer writes it.

    The file appears whole or not at all. Steps that were not observed are written with the values that forecasts see.
    """
    from plb_ray.history.reader import read_history  # noqa: PLC0415  keeps --help fast
    from service.history_files import export_file  # noqa: PLC0415  keeps --help fast

    with _waiting(f"exporting to {file}", as_json=as_json):
        history = read_history(_settings(config, state).state_dir / "history")
        if days is not None:
            history = history.last(round(days * 86_400 / history.step_s))
        rows = export_file(history, file)
    steps = history.messages_per_s.shape[1]
    found = {"file": str(file), "rows": rows, "steps": steps, "order_params": len(history.order_params)}
    words = f"{steps:,} steps of {found['order_params']:,} order params written to {file}"
    _tell(found, [words], as_json=as_json)


@group.command("push")
def push_history(file: TraceFile, *, url: Url = URL, as_json: AsJson = False) -> None:
    """Push a file to a running balancer, and say what became of it.

    What is pushed counts more than what was observed, and a later push more than an earlier one. Pushing the same twice
    is harmless: after a failure just repeat it. Steps older than what the balancer has in memory are too late.

    Example: plb history push 2025.parquet --url http://127.0.0.1:8080
    """
    from service.history_files import history_of, pushes  # noqa: PLC0415  keeps --help fast

    with client_of(url) as client:
        step_s = client.status()["history"]["step_s"]
        history = history_of(file, step_s)
        found = _pushed(history, pushes(history), client.push_samples, as_json=as_json)
    _tell(found, _outcome_lines(found), as_json=as_json)


def _pushed(
    history: RateHistory,
    bodies: Iterator[dict[str, Any]],
    push: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    as_json: bool,
) -> dict[str, Any]:
    """Push body after body, showing how far it is; return what became of all."""
    from rich.progress import Progress  # noqa: PLC0415  keeps --help fast

    found: dict[str, Any] = {}
    console = _stderr()
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as progress:
        task = progress.add_task("pushing", total=history.messages_per_s.size)
        for body in bodies:
            found = {name: found.get(name, type(value)()) + value for name, value in push(body).items()}
            progress.advance(task, len(body["samples"]))
    return {**found, "reasons": found["reasons"][:5]}


def _settings(config: Path | None, state: Path | None) -> Settings:
    from plb_ray.settings import load_settings  # noqa: PLC0415  keeps --help fast

    settings = load_settings(config)
    return settings if state is None else replace(settings, state_dir=state)


def _waiting(words: str, *, as_json: bool) -> AbstractContextManager[object]:
    """Show that work goes on, where a person looks."""
    return nullcontext() if as_json else _stderr().status(words)


def _stderr() -> Any:
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    return Console(stderr=True)


def _tell(found: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print JSON, or lines as they are: names of order params and files may look like rich's markup."""
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    show(found, *(Text(line) for line in lines), as_json=as_json)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield found["folder"]
    if not found["steps"]:
        yield (
            "no steps yet; a balancer writes one every balancer.step_s while messages arrive, and "
            "`plb history import FILE` takes in what was measured before (`plb history push FILE` while a balancer runs)"
        )
        return
    yield f"{found['steps']:,} steps of {found['step_s']} s, from {found['start']} to {found['end']}"
    yield f"{found['order_params']:,} order params; the busiest, in messages/s on average:"
    yield from (f"  {each['messages_per_s']:,.3f}  {each['order_param']}" for each in found["busiest"])
    yield f"{found['gap_steps']:,} steps were not observed and repeat the values before them"
    yield f"{found['pushed_cells']:,} values were pushed"


def _outcome_lines(found: dict[str, Any]) -> Iterator[str]:
    words = ("new", "late", "replaced", "duplicate", "too_late", "refused")
    yield ", ".join(f"{found[word]:,} {word.replace('_', ' ')}" for word in words)
    yield from (f"refused: {reason}" for reason in found["reasons"])
