"""Two ways to the registry of trained forecasters for the command line, with the same answers: a folder, or a service."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from plb_ray.errors import BadInputError
from service.client import Access, ServiceClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from models.registry import ModelRegistry

PAGE = 1000


class ModelDoor(Protocol):
    """Versions of forecasters as plain values."""

    where: str

    def versions(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the versions of every group and horizon, newest first within each, and what else cannot be read."""
        ...

    def detail(self, group: str, horizon: str) -> dict[str, Any]:
        """Return champion, why that cannot be told (`error`), former champions, versions and events of one forecaster."""
        ...

    def serve(self, group: str, horizon: str, version: str | None, reason: str) -> None:
        """Let a version serve, or the baseline (None)."""
        ...


class _FolderDoor:
    """Implements `ModelDoor` over a registry in a folder of this machine."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self.where = str(registry.root)

    def versions(self) -> tuple[list[dict[str, Any]], list[str]]:
        """See `ModelDoor`."""
        from service.model_items import champion_of, version_items  # noqa: PLC0415  not needed for the other door

        folders = self._registry.folders()
        items = [item for name, horizon, folder in folders for item in version_items(name, horizon, folder)]
        return items, [trouble for _, _, folder in folders if (trouble := champion_of(folder)[1])]

    def detail(self, group: str, horizon: str) -> dict[str, Any]:
        """See `ModelDoor`."""
        from service.model_items import champion_of, version_items  # noqa: PLC0415  not needed for the other door

        folder = self._registry.of(group, horizon)
        champion, error = champion_of(folder)
        return {
            "folder": str(folder.folder),
            "champion": champion,
            "error": error,
            "former_champions": list(folder.former_champions()),
            "versions": version_items(group, horizon, folder),
            "events": [asdict(event) for event in folder.events()],
        }

    def serve(self, group: str, horizon: str, version: str | None, reason: str) -> None:
        """See `ModelDoor`."""
        folder = self._registry.of(group, horizon)
        try:
            if version is None:
                folder.demote(reason, _who())
            else:
                folder.rollback(version, reason, _who())
        except OSError as error:
            raise BadInputError(f"{folder.folder} cannot be changed: {error}; check who may write there") from error


class _ServiceDoor(ServiceClient):
    """Implements `ModelDoor` by HTTP."""

    def __init__(self, url: str, access: Access) -> None:
        super().__init__(url, access=access)
        self.where = url

    def versions(self) -> tuple[list[dict[str, Any]], list[str]]:
        """See `ModelDoor`."""
        return [item for group, horizon in self._forecasters() for item in self.detail(group, horizon)["versions"]], []

    def detail(self, group: str, horizon: str) -> dict[str, Any]:
        """See `ModelDoor`."""
        return {"error": "", **self._ask("GET", _path(group, horizon))}

    def serve(self, group: str, horizon: str, version: str | None, reason: str) -> None:
        """See `ModelDoor`."""
        self._ask("PUT", f"{_path(group, horizon)}/champion", json={"version": version, "reason": reason})

    def _forecasters(self) -> Iterator[tuple[str, str]]:
        offset, total = 0, 1
        while offset < total:
            page = self._ask("GET", "/v1/models", params={"limit": PAGE, "offset": offset})
            yield from ((item["group"], item["horizon"]) for item in page["items"])
            offset, total = offset + PAGE, page["total"]


def service_door(url: str, access: Access) -> AbstractContextManager[ModelDoor]:
    """Return the door of a running service."""
    return _ServiceDoor(url, access)


@contextmanager
def folder_door(config: Path | None, state: Path | None) -> Iterator[ModelDoor]:
    """Open the door of a state folder: that of the configuration, unless another one is given."""
    from models.registry import ModelRegistry  # noqa: PLC0415  imports numpy
    from plb_ray.clock import wall_time_s  # noqa: PLC0415  the same
    from plb_ray.settings import load_settings  # noqa: PLC0415  the same

    settings = load_settings(config)
    settings = settings if state is None else replace(settings, state_dir=state)
    yield _FolderDoor(ModelRegistry(settings.state_dir / "networks", wall_time_s))


def _path(group: str, horizon: str) -> str:
    return f"/v1/models/{quote(group, safe='')}/{quote(horizon, safe='')}"


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container whose user has no name
        return "somebody"
