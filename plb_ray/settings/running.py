"""`[ray]`: where the service runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from plb_ray.settings.kinds import STRICT_KEYS


@dataclass(frozen=True)
class RaySettings:
    """Which Ray: an `address` joins a running cluster, none starts one on this machine.

    Attributes:
        address: of a running cluster to join.
        num_cpus: of the one that is started; None: all of the machine.
        object_store_mb: shared memory of the one that is started.
        job_server: whether the one that is started takes retraining jobs (`plb retrain`); Ray's dashboard comes with it.
    """

    __pydantic_config__ = STRICT_KEYS

    address: str | None = None
    num_cpus: Annotated[int, Field(ge=1)] | None = None
    object_store_mb: Annotated[int, Field(ge=80)] = 200
    job_server: bool = True
