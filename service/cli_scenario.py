"""The scenario side of `plb replay`: plays a file, shows what came of it, and compares that with what is recorded."""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from plb_ray.errors import BadInputError
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.simulation.scenarios.play import Played

ENDING = ".txt"


def scenario_file(name: str | None, trace: Path | None) -> Path | None:
    """Return the scenario that `plb replay` was asked for: by name, or by a path that ends in `.txt`; None for a trace.

    Raises:
        BadInputError: there is no scenario of this name, or both are given.
    """
    if name is None:
        return trace if trace is not None and trace.suffix == ENDING else None
    if trace is not None:
        raise BadInputError("--scenario: give a name or a file, not both")
    from plb_ray.simulation.scenarios.library import path_of  # noqa: PLC0415  keeps --help fast

    return path_of(name)


def show_scenario(path: Path, json_path: Path | None, tell: Callable[[str, float], None], *, renew: bool) -> None:
    """Play a scenario and show what came of it. Exits with CHECKS_FAILED if it is not what the file says.

    Args:
        path: of the file.
        json_path: where to write the figures; `-` prints them.
        tell: told the progress.
        renew: write what came of it into the file instead of comparing.
    """
    from plb_ray.simulation.scenarios.library import read_scenario, rewrite  # noqa: PLC0415  keeps --help fast
    from plb_ray.simulation.scenarios.parse import split  # noqa: PLC0415  the same
    from service.scenario_run import play_text  # noqa: PLC0415  imports the solver

    text = read_scenario(path)
    came, played = play_text(text, str(path), tell=tell)
    if json_path is not None:
        _write_json(json_path, {arm: _figures(each) for arm, each in played.items()})
    if json_path != Path("-"):
        typer.echo(came.rstrip("\n"))
    if renew:
        rewrite(path, came)
        typer.echo(f"written: {path}", err=True)
        return
    recorded = split(text)[1]
    if recorded and recorded != came:
        typer.echo("\n".join(difflib.unified_diff(recorded.splitlines(), came.splitlines(), "recorded", "now")), err=True)
        typer.echo("this is not what the file says came of it; --rewrite records it", err=True)
        raise typer.Exit(ExitCode.CHECKS_FAILED)


def _figures(played: Played) -> dict[str, Any]:
    totals = played.totals
    return {
        "overload_shard_seconds": totals.overload_shard_s,
        "excess_messages": totals.excess_messages,
        "delay_s": {"p50": totals.delay_s(0.5), "p99": totals.delay_s(0.99), "p999": totals.delay_s(0.999)},
        "migrations": totals.migrations,
        "bytes_moved": totals.moved_bytes,
        "shard_hours": totals.shard_s / 3600,
        "thrash_pct": 100 * played.thrash,
        "most_waiting": played.most_waiting,
        "ticks_on_forecast": played.on_forecast,
        "held_back": dict(played.held_back),
        "notes": dict(played.notes),
        "moves": [{"bin": each.bin, "undone": each.undone, **asdict(each.move)} for each in played.sent],
    }


def _write_json(path: Path, figures: dict[str, Any]) -> None:
    if path == Path("-"):
        typer.echo(json.dumps({"arms": figures}, indent=1, allow_nan=False))
        return
    from service.plan_report import write_json  # noqa: PLC0415  imports numpy

    write_json(path, {"arms": figures})
