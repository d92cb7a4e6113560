"""`plb conformance`: hold any implementation of the contract against it, over gRPC."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError
from service.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from plb_ray.conformance.outcome import Report, Result
    from plb_ray.conformance.registry import Check
    from plb_ray.rpc.channel import TlsFiles

_MARKS = {"pass": "green", "fail": "bold red", "skip": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel="Offline")(conformance)


def conformance(
    *,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="HOST:PORT", help="A shard or a queue; may be repeated. Migrations need two shards."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="Only this group, or one check as GROUP/NAME; may be repeated.")
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Part of every name that the run uses; to be used once. Default: the time."),
    ] = None,
    restart_command: Annotated[
        str,
        typer.Option(
            metavar="CMD", help="Kills and restarts the shard {shard_id} at {endpoint}. Without it no faults are tried."
        ),
    ] = "",
    ca_file: Annotated[
        Path | None,
        typer.Option("--tls-ca", metavar="FILE", help="Speak TLS; authorities in PEM that vouch for the targets."),
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Speak TLS; our certificate in PEM. With --tls-key.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key in PEM.")] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results there; - prints them.")
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Show the checks and what each demands, and leave.")] = False,
) -> None:
    """Check an implementation of the contract: every promise of queue.proto, passed, failed or skipped, and why.

    Example: plb conformance --target 127.0.0.1:7001 --target 127.0.0.1:7002

    It finds out which services each target offers. It works on order params of its own, whose names begin with
    plb-conformance/ID/, and leaves them empty and unpaused. They stay on record, so use a deployment for tests.
    """
    from plb_ray.conformance.catalogue import chosen  # noqa: PLC0415  imports gRPC

    checks = chosen(only or ())
    if list_only:
        _console(json_path).print(_catalogue(checks))
        return
    _require_usable(targets or [], json_path)
    report = _examined(checks, targets or [], run_id, restart_command, _tls(ca_file, cert, key))
    if json_path is not None:
        _write(json_path, report.as_dict())
    for part in _screen(report):
        _console(json_path).print(part)
    raise typer.Exit(ExitCode.OK if report.conforms else ExitCode.CHECKS_FAILED)


def _require_usable(targets: list[str], json_path: Path | None) -> None:
    """Refuse what cannot be meant, before the work."""
    if not targets:
        raise BadInputError("name at least one --target HOST:PORT, such as --target 127.0.0.1:7001")
    for target in targets:
        host, _, port = target.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise BadInputError(f"--target {target!r}: write it as HOST:PORT, such as 127.0.0.1:7001")
    if json_path is not None and str(json_path) != "-" and (json_path.is_dir() or not json_path.parent.is_dir()):
        raise BadInputError(f"--json {json_path}: cannot be written; name a file in a folder that exists")


def _tls(ca_file: Path | None, cert: Path | None, key: Path | None) -> TlsFiles | None:
    from plb_ray.rpc.channel import TlsFiles  # noqa: PLC0415  imports gRPC

    if (cert is None) != (key is None):
        raise BadInputError("--tls-cert goes with --tls-key: name both files, or neither")
    return TlsFiles(ca_file, cert, key) if ca_file or cert else None


def _examined(
    checks: Sequence[Check], targets: list[str], run_id: str | None, restart_command: str, tls: TlsFiles | None
) -> Report:
    """Run the checks, and say on a terminal which one runs."""
    from rich.console import Console  # noqa: PLC0415  keeps --help fast
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415  keeps --help fast

    from plb_ray.clock import wall_time_s  # noqa: PLC0415  keeps --help fast
    from plb_ray.conformance.runner import Options, examine  # noqa: PLC0415  imports gRPC

    options = Options(tuple(targets), run_id or f"{wall_time_s():.3f}", restart_command, tls)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("connecting", total=len(checks))

        def show(result: Result) -> None:
            progress.update(task, advance=1, description=f"{result.group}/{result.check}: {result.status}")

        return asyncio.run(examine(checks, options, show))


def _screen(report: Report) -> Iterator[Any]:
    """Yield what was tested, a row per check with its reason, what was left behind, and the verdict."""
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    yield from (f"target {target}" for target in report.targets)
    yield _table(report)
    yield from (Text(f"left behind: {what}", "yellow") for what in report.left)
    counts = ", ".join(f"{sum(found.status.value == mark for found in report.results)} {mark}" for mark in _MARKS)
    yield f"run {report.run_id}: {counts}; {'it conforms' if report.conforms else 'it does not conform'}"


def _table(report: Report) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast
    from rich.text import Text  # noqa: PLC0415  keeps --help fast

    table = Table("", "check", "the contract says; what was found", box=None)
    for rows in _rows(report):
        found = rows[0]
        name = f"{found.group}/{found.check}" if len(rows) == 1 else f"{found.group}: {len(rows)} checks"
        says = Text(found.says if len(rows) == 1 else "", "dim")
        if found.reason:
            says = Text("\n").join([says, Text(found.reason, _MARKS[found.status.value])] if says else [Text(found.reason)])
        table.add_row(Text(found.status.value, _MARKS[found.status.value]), name, says)
    return table


def _rows(report: Report) -> Iterator[list[Result]]:
    """Yield the results, those of a group together that were all skipped for one reason."""
    for group in dict.fromkeys(result.group for result in report.results):
        of_group = [result for result in report.results if result.group == group]
        if {(result.status.value, result.reason) for result in of_group} == {("skip", of_group[0].reason)}:
            yield of_group
        else:
            yield from ([result] for result in of_group)


def _catalogue(checks: Sequence[Check]) -> Any:
    from rich.table import Table  # noqa: PLC0415  keeps --help fast

    table = Table("check", "the contract says", title=f"{len(checks)} checks", box=None)
    for check in checks:
        table.add_row(f"{check.group}/{check.name}", check.says)
    return table


def _console(json_path: Path | None) -> Console:
    """Return where people read: standard error when programs read standard output."""
    from rich.console import Console  # noqa: PLC0415  keeps --help fast

    return Console(highlight=False, stderr=json_path == Path("-"))


def _write(path: Path, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if path == Path("-"):
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")
