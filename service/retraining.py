"""Two ways to retrainings for the command line, with the same answers: a running service, or a Ray cluster itself."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from service.client import Access, ServiceClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from plb_ray.cluster.retrain_port import Retrainings

LOG_TAIL = 20


class RetrainDoor(Protocol):
    """Retrainings as the API shows them."""

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return POST /v1/retrainings."""
        ...

    def recent(self) -> dict[str, Any]:
        """Return GET /v1/retrainings."""
        ...

    def find(self, retraining_id: str, log_from: int | None = None) -> dict[str, Any]:
        """Return GET /v1/retrainings/{id}."""
        ...

    def cancel(self, retraining_id: str) -> dict[str, Any]:
        """Return DELETE /v1/retrainings/{id}."""
        ...


class _ServiceDoor(ServiceClient):
    """Implements `RetrainDoor` by HTTP."""

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """See `RetrainDoor`."""
        return self._ask("POST", "/v1/retrainings", json=asked)

    def recent(self) -> dict[str, Any]:
        """See `RetrainDoor`."""
        return self._ask("GET", "/v1/retrainings")

    def find(self, retraining_id: str, log_from: int | None = None) -> dict[str, Any]:
        """See `RetrainDoor`."""
        params = {} if log_from is None else {"log_from": log_from}
        return self._ask("GET", f"/v1/retrainings/{quote(retraining_id, safe='')}", params=params)

    def cancel(self, retraining_id: str) -> dict[str, Any]:
        """See `RetrainDoor`."""
        return self._ask("DELETE", f"/v1/retrainings/{quote(retraining_id, safe='')}")


class _ClusterDoor:
    """Implements `RetrainDoor` over the port."""

    def __init__(self, retrainings: Retrainings) -> None:
        self._retrainings = retrainings

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """See `RetrainDoor`."""
        from plb_ray.cluster.retraining import RetrainRequest  # noqa: PLC0415  not needed for the other door

        request = RetrainRequest(tuple(asked["groups"]), tuple(asked["horizons"]), asked["since"], asked["again"])
        return _shown(self._retrainings.start(request))

    def recent(self) -> dict[str, Any]:
        """See `RetrainDoor`."""
        return {"items": [_shown(record) for record in self._retrainings.recent()]}

    def find(self, retraining_id: str, log_from: int | None = None) -> dict[str, Any]:
        """See `RetrainDoor`."""
        record, log = self._retrainings.find(retraining_id), self._retrainings.log(retraining_id)
        return _shown(record, log, log_from)

    def cancel(self, retraining_id: str) -> dict[str, Any]:
        """See `RetrainDoor`."""
        return _shown(self._retrainings.cancel(retraining_id))


def service_door(url: str, access: Access) -> AbstractContextManager[RetrainDoor]:
    """Return the door of a running service."""
    return _ServiceDoor(url, access=access)


@contextmanager
def cluster_door(address: str, config: Path | None, state: Path | None, python: str | None) -> Iterator[RetrainDoor]:
    """Open the door of a cluster, whose nodes must see the state folder at the same path as this machine.

    Args:
        address: of its job server or of the cluster.
        config: plb.toml of the balancer; None: the defaults.
        state: replaces the state folder of the configuration.
        python: interpreter that has plb-ray on the cluster; None: this one's path.
    """
    from plb_ray.cluster.jobs import COMMAND, JobServer, RayRetrainings  # noqa: PLC0415  imports Ray
    from plb_ray.settings import load_settings  # noqa: PLC0415  the same
    from service.wiring import retrain_place  # noqa: PLC0415  the same

    settings = load_settings(config)
    place = retrain_place(settings if state is None else replace(settings, state_dir=state))
    command = COMMAND if python is None else (python, *COMMAND[1:])
    yield _ClusterDoor(RayRetrainings(place, JobServer(address), command))


def _shown(record: Any, log: tuple[str, ...] | None = None, log_from: int | None = None) -> dict[str, Any]:
    """Return a retraining as the API shows it."""
    from plb_ray.clock import wall_time_s  # noqa: PLC0415  not needed for the other door
    from service.api.retrain_schemas import retraining_detail, retraining_out  # noqa: PLC0415  the same

    now_s = wall_time_s()
    out = retraining_out(record, now_s) if log is None else retraining_detail(record, log, log_from, LOG_TAIL, now_s)
    return out.model_dump(mode="json")
