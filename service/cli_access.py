"""What every command that asks a service can be told of how to be let in: `--token`, `--token-file`, `--ca-file`.

They stand beside `--url` without each command having to name them: `with_access` adds them to whatever has a `--url`.
What was given is kept while the command runs; `access_here` returns it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.client import Access

PANEL = "Service"


@dataclass(frozen=True)
class _Given:
    """One option that was given, and whether on the command line rather than in the environment."""

    value: Any
    typed: bool


_GIVEN: ContextVar[dict[str, _Given]] = ContextVar("plb_access")


@contextmanager
def asking() -> Iterator[None]:
    """Forget at the end of the block what was given in it."""
    before = _GIVEN.set({})
    try:
        yield
    finally:
        _GIVEN.reset(before)


def access_here() -> Access:
    """Return how the running command is to be let in. What is typed counts more than the environment.

    Raises:
        BadInputError: both ways to give a token are used, or the file cannot be read.
    """
    from service.client import Access  # noqa: PLC0415  keeps --help fast

    given = _GIVEN.get({})
    token, file, ca_file = (given.get(name) for name in ("token", "token_file", "ca_file"))
    if token and file and token.typed == file.typed:
        raise BadInputError("--token and --token-file: give one of them (or of PLB_TOKEN and PLB_TOKEN_FILE)")
    if file and not (token and token.typed):
        return Access(_first_line(file.value), ca_file.value if ca_file else None)
    return Access(token.value.strip() if token else "", ca_file.value if ca_file else None)


def with_access(command: Any) -> Any:
    """Return a command, or a group of them, after the options were added to each part of it that has a `--url`."""
    options = _options()
    for part in _parts(command):
        if any("--url" in each.opts for each in part.params):
            part.params.extend(options)
    return command


def _parts(command: Any) -> Iterator[Any]:
    yield command
    for part in getattr(command, "commands", {}).values():
        yield from _parts(part)


def _keep(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:
    if value is not None and option.name is not None:
        source = context.get_parameter_source(option.name)
        _GIVEN.get()[option.name] = _Given(value, typed=source is not None and source.name == "COMMANDLINE")
    return value


def _options() -> list[Any]:
    """Return the options, as typer makes them."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def _command(
        *,
        token: Annotated[
            str | None,
            typer.Option(
                envvar="PLB_TOKEN",
                metavar="TOKEN",
                help="Shown to the service. Others on this machine may see it while the command runs; a file is safer.",
                rich_help_panel=PANEL,
                callback=_keep,
                expose_value=False,
            ),
        ] = None,
        token_file: Annotated[
            Path | None,
            typer.Option(
                envvar="PLB_TOKEN_FILE",
                metavar="FILE",
                help="Its first line is the token.",
                rich_help_panel=PANEL,
                callback=_keep,
                expose_value=False,
            ),
        ] = None,
        ca_file: Annotated[
            Path | None,
            typer.Option(
                envvar="PLB_CA_FILE",
                metavar="FILE",
                help="Certificates in PEM of who vouches for the service. Default: those of the system.",
                rich_help_panel=PANEL,
                callback=_keep,
                expose_value=False,
            ),
        ] = None,
    ) -> None:
        pass

    return [each for each in typer.main.get_command(app).params if each.name in {"token", "token_file", "ca_file"}]


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"--token-file {path}: cannot be read: {error}") from error
    if not lines or not lines[0].strip():
        raise BadInputError(f"--token-file {path}: its first line is empty; it should hold the token")
    return lines[0].strip()
