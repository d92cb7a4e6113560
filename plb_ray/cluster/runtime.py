"""Start or join Ray, and prove that every process runs the same plb-ray.

The top-level names `models`, `optimizer`, `service` are plain words. Ray puts the driver's script folder and current folder
on the path of its workers, so a folder of one of these names beside the caller would be imported there in place of ours.
Two things prevent that: workers start in an empty folder of our own, and every actor checks where it imports from.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import ray

from plb_ray.errors import BadInputError, RetryableError

log = logging.getLogger(__name__)

NAMESPACE = "plb"
PACKAGES = ("plb_ray", "models", "optimizer", "service")
OBJECT_STORE_BYTES = 200 * 1024 * 1024
CURRENT_CLUSTER = "ray_current_cluster"
STARTS_MAX = 3
ENDS_WITHIN_S = 10
TIMED_OUT = "timed out during startup"  # Ray raises a plain Exception with these words

ENVIRONMENT = {
    "RAY_worker_niceness": "0",  # Ray gives its workers 15; a tick would then wait behind everything else on a busy machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns about a change to come that does not concern us
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # else Serve kills a proxy that a busy machine has not started after 5 s
    "RAY_USAGE_STATS_ENABLED": "0",
}


def start_ray(
    address: str | None = None,
    num_cpus: int | None = None,
    object_store_bytes: int = OBJECT_STORE_BYTES,
    *,
    job_server: bool = False,
) -> None:
    """Start Ray on this machine, or join the cluster at `address`; does nothing if this process has done so already.

    Args:
        address: of a running cluster; None starts one that ends with this process.
        num_cpus: None = all of the machine; not used when joining.
        object_store_bytes: shared memory to reserve; not used when joining.
        job_server: start also Ray's dashboard, whose part it is, on a free port of the loopback interface; not used when
            joining. It costs memory and some seconds, and works in one Ray of a machine only.

    Raises:
        BadInputError: the four packages are not our own, or there is no cluster at `address`.
        RetryableError: Ray's processes were too slow to start, `STARTS_MAX` times (some 30 s each).
    """
    check_provenance()
    if ray.is_initialized():
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    own: dict[str, Any] = {"num_cpus": num_cpus, "object_store_memory": object_store_bytes}
    if address:
        _init(address, {})
        return
    if not job_server:
        _start({**own, "include_dashboard": False})
        return
    folder = _own_folder()
    _start({**own, "include_dashboard": None, "_temp_dir": str(folder)})  # None: go on without if it does not start
    (folder / CURRENT_CLUSTER).write_text(cluster_address(), encoding="ascii")


def _start(own: dict[str, Any]) -> None:
    """Start Ray here, again if it was too slow.

    Ray gives its agents 15 s to come up, which cannot be set, and its raylet dies when they need longer, as on a machine
    that is busy for a moment (ray-project/ray#65983). The next start finds them in the file system's cache.
    """
    for start in range(1, STARTS_MAX + 1):
        try:
            _init("local", own)
        except Exception as error:  # Ray has no class of its own for this
            if TIMED_OUT not in str(error):
                raise
            _end_what_a_failed_start_left()
            if start == STARTS_MAX:
                raise RetryableError(
                    f"Ray's processes did not come up in {STARTS_MAX} starts; is the machine overloaded? try again when it "
                    f"is less busy; their logs are in session_latest/logs of {own.get('_temp_dir', '/tmp/ray')}"  # noqa: S108
                ) from error
            log.warning("Ray's processes were too slow to come up; starting them again (%d of %d)", start + 1, STARTS_MAX)
        else:
            return


def _end_what_a_failed_start_left() -> None:
    """Kill what belongs to a Ray session of this process; Ray forgets it when a start fails."""
    session = re.compile(rf"session_[-_\d]+_{os.getpid()}\b")
    killed = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if session.search(" ".join(child.cmdline())):
                killed += [child, *child.children(recursive=True)]
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed, timeout=ENDS_WITHIN_S)


def _init(address: str, own: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="plb-ray-workers-") as empty:
        try:
            ray.init(
                address=address,
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


def _own_folder() -> Path:
    """Return a new folder for a Ray of our own, instead of the one that all Rays of the machine share.

    The processes of a job look up the cluster that they belong to in a file of this folder. In the shared one another Ray,
    or one that is long dead, may have written it.
    """
    beside = Path(os.environ.get("RAY_TMPDIR", "/tmp"))  # noqa: S108  as Ray; sockets need a short path
    return Path(tempfile.mkdtemp(prefix="plb-ray-", dir=beside))


def stop_ray() -> None:
    """Leave Ray; a cluster that this process started ends."""
    ray.shutdown()


def cluster_address() -> str:
    """Return the address of the cluster that this process has joined, as HOST:PORT."""
    return str(ray.get_runtime_context().gcs_address)


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
