"""Start or join Ray, and prove that every process runs the same plb-ray.

The top-level names `models`, `optimizer`, `service` are plain words. Ray puts the driver's script folder and current folder
on the path of its workers, so a folder of one of these names beside the caller would be imported there in place of ours.
Two things prevent that: workers start in an empty folder of our own, and every actor checks where it imports from.
"""

from __future__ import annotations

import logging
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import ray

from plb_ray.errors import BadInputError

NAMESPACE = "plb"
PACKAGES = ("plb_ray", "models", "optimizer", "service")
OBJECT_STORE_BYTES = 200 * 1024 * 1024

ENVIRONMENT = {
    "RAY_worker_niceness": "0",  # Ray gives its workers 15; a tick would then wait behind everything else on a busy machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns about a change to come that does not concern us
    "RAY_USAGE_STATS_ENABLED": "0",
}


def start_ray(address: str | None = None, num_cpus: int | None = None, object_store_bytes: int = OBJECT_STORE_BYTES) -> None:
    """Start Ray on this machine, or join the cluster at `address`; does nothing if this process has done so already.

    Args:
        address: of a running cluster; None starts one that ends with this process.
        num_cpus: None = all of the machine; not used when joining.
        object_store_bytes: shared memory to reserve; not used when joining.

    Raises:
        BadInputError: the four packages are not our own, or there is no cluster at `address`.
    """
    check_provenance()
    if ray.is_initialized():
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    own = {} if address else {"num_cpus": num_cpus, "object_store_memory": object_store_bytes, "include_dashboard": False}
    with tempfile.TemporaryDirectory(prefix="plb-ray-workers-") as empty:
        try:
            ray.init(
                address=address or "local",
                namespace=NAMESPACE,
                runtime_env={"working_dir": empty},
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **own,
            )
        except ConnectionError as error:
            raise BadInputError(
                f"no Ray cluster answers at {address!r} ({error}); check [ray] address or leave it out"
            ) from error


def stop_ray() -> None:
    """Leave Ray; a cluster that this process started ends."""
    ray.shutdown()


def check_provenance(packages: tuple[str, ...] = PACKAGES) -> Path:
    """Return the folder in which all our packages lie side by side.

    Raises:
        BadInputError: one is missing, or another package of its name would be imported.
    """
    homes = {name: _home_of(name) for name in packages}
    expected = Path(__file__).resolve().parents[2]
    for name, home in homes.items():
        if home != expected:
            found = f"is found in {home}" if home else "cannot be found"
            raise BadInputError(
                f"package {name!r} of plb-ray {found}, not in {expected} beside the others; start from another folder, "
                f"or remove what hides it from PYTHONPATH"
            )
    return expected


def _home_of(package: str) -> Path | None:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve().parents[1]
