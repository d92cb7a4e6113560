"""The scenarios that come with plb-ray: text files in `library/`, each with what came of it when it was last played."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from plb_ray.errors import BadInputError
from plb_ray.simulation.scenarios.parse import RULE, split

ENDING = ".txt"


def names() -> tuple[str, ...]:
    """Return their names, sorted."""
    folder = files("plb_ray.simulation.scenarios") / "library"
    return tuple(sorted(each.name.removesuffix(ENDING) for each in folder.iterdir() if each.name.endswith(ENDING)))


def path_of(name: str) -> Path:
    """Return the file of a scenario that comes with plb-ray. Raises BadInputError."""
    if name not in names():
        raise BadInputError(f"there is no scenario {name!r}; there are {', '.join(names())}; or give the path of a file")
    return Path(str(files("plb_ray.simulation.scenarios") / "library" / f"{name}{ENDING}"))


def read_scenario(path: Path) -> str:
    """Return the text of a scenario's file. Raises BadInputError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"scenario {path}: cannot be read: {error}") from error


def rewrite(path: Path, came: str) -> None:
    """Write what came of a scenario below it. Raises BadInputError."""
    said, _ = split(read_scenario(path))
    try:
        path.write_text(f"{said}{RULE}\n{came}", encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"scenario {path}: cannot be written: {error.strerror}") from error
