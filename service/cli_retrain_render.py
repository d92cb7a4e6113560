"""What the command line shows of retrainings, made of the API's JSON: tables, and a bar or lines for who follows one."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

STYLES = {"done": "green", "failed": "red", "cancelled": "yellow", "skipped": "yellow", "waiting": "dim"}


def retraining_table(items: list[dict[str, Any]]) -> Table:
    """Return one row per retraining, in the order given."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("submitted (UTC)", "id"):
        table.add_column(name, no_wrap=True)
    for name in ("groups", "horizons", "since", "state"):
        table.add_column(name, overflow="fold")
    table.add_column("done", justify="right")
    for each in items:
        table.add_row(
            each["submitted_at"][:16].replace("T", " "),
            Text(each["retraining_id"]),
            str(len(each["groups"])),
            ", ".join(each["horizons"]),
            Text(each["since"] or "enough"),
            _state(each["state"]),
            f"{each['fraction']:.0%}",
        )
    return table


def retraining_lines(found: dict[str, Any]) -> list[Text]:
    """Return the head of one retraining."""
    lines = [Text.assemble(f"retraining {found['retraining_id']}  ", _state(found["state"]), f"  {_how_far(found)}")]
    if found["error"]:
        lines.append(Text(found["error"], "red"))
    if found["state"] in ("waiting", "running"):
        lines.append(Text(f"`plb retrain show {found['retraining_id']} --follow` watches it", "dim"))
    return lines


def part_table(found: dict[str, Any]) -> Table:
    """Return one row per group and horizon."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("group", "horizon", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("done", "took", "attempts"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where")
    table.add_column("note", overflow="fold")
    for part in found["parts"]:
        table.add_row(
            Text(part["group"]),
            part["horizon"],
            _state(part["state"]),
            f"{part['fraction']:.0%}",
            _duration(part["took_s"]),
            str(part["attempts"]) if part["attempts"] else "",
            part["where"],
            Text(part["note"]),
        )
    return table


def log_lines(found: dict[str, Any]) -> list[Text]:
    """Return the end of one retraining's log."""
    return [Text(line, "dim") for line in found["log"]]


@contextmanager
def watcher(console: Console, *, silent: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show a retraining while the block runs: its log, and on a terminal a bar below it. Nothing for machines."""
    if silent:
        yield lambda _found: None
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[eta]}", style="dim"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("submitted", total=1.0, eta="")

            def watch(found: dict[str, Any]) -> None:
                _print_log(console, found)
                eta = f"ETA {_duration(found['eta_s'])}" if found["eta_s"] is not None else ""
                progress.update(task, completed=found["fraction"], description=_doing(found), eta=eta)

            yield watch
    else:
        yield lambda found: _print_log(console, found)


def _print_log(console: Console, found: dict[str, Any]) -> None:
    for line in found["log"]:
        console.print(line, soft_wrap=True, markup=False)


def _doing(found: dict[str, Any]) -> str:
    """Return what is under way, short enough for a line."""
    training = [f"{part['group']}/{part['horizon']}" for part in found["parts"] if part["state"] == "training"]
    more = f" and {len(training) - 2} more" if len(training) > 2 else ""
    return (", ".join(training[:2]) + more or found["state"]).replace("[", r"\[")


def _how_far(found: dict[str, Any]) -> str:
    done = sum(part["state"] == "done" for part in found["parts"])
    eta = f", ETA {_duration(found['eta_s'])}" if found["eta_s"] is not None else ""
    return f"{found['fraction']:.0%}: {done} of {len(found['parts'])} networks{eta}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _state(state: str) -> Text:
    return Text(state, STYLES.get(state, "blue"))
