"""Watching one migration on the command line: a bar on a terminal, a line per step elsewhere, nothing for machines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.cli_render import moment_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

Watcher = Callable[[dict[str, Any]], None]
"""Takes a migration as the API shows it, each time that it was asked for."""


@contextmanager
def watcher(console: Console, *, silent: bool) -> Iterator[Watcher]:
    """Show a migration while the block runs."""
    if silent:
        yield lambda _found: None
    elif console.is_terminal:
        with _progress(console) as progress:
            yield _Bar(progress)
    else:
        yield _Lines(console)


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.fields[step]}", style="blue"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("messages"),
        TextColumn("{task.fields[eta]}", style="dim"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)


class _Bar:
    """What is copied of what is known to be there; full when the migration has ended."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, step="", eta="")

    def __call__(self, found: dict[str, Any]) -> None:
        """See `Watcher`."""
        copied = found["messages_copied"]
        total = copied if found["finished"] else copied + found["lag_messages"]
        self._progress.update(
            self._task,
            description=f"{found['order_param']} {found['source']} → {found['destination']}".replace("[", r"\["),
            completed=copied,
            total=total or None,
            step=found["step"],
            eta="" if found["eta_s"] is None or found["finished"] else f"ETA {found['eta_s']:.1f} s",
        )


class _Lines:
    """One line per step and failure, in order, each once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = 0

    def __call__(self, found: dict[str, Any]) -> None:
        """See `Watcher`."""
        for moment in found["timeline"][self._shown :]:
            self._console.print(moment_line(moment), soft_wrap=True, markup=False)
        self._shown = max(self._shown, len(found["timeline"]))
