"""`plb doctor`: what must be so on this machine for plb-ray to run, each thing checked by doing it.

A check is a function that returns what it found, or raises a `PlbError` whose sentence says what is wrong and what to do.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.errors import BadInputError, PlbError, PortInUseError, RetryableError
from plb_ray.settings import Settings, load_settings
from service.local_http import url_of
from service.ports import claim_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.console import Console

    from plb_ray.settings import QueueTlsSettings, ShardAddress

PYTHON_MIN, PYTHON_BELOW = (3, 11), (3, 13)
HEAVY = "import torch, neuralforecast, ray.serve, ortools.sat.python.cp_model, grpc, deltalake, sqlalchemy, fastapi, plotly"
START_RAY = """
import ray
from plb_ray.cluster.runtime import start_ray, stop_ray
start_ray(num_cpus=1)
print(ray.__version__)
stop_ray()
"""
SUBPROCESS_TIMEOUT_S = 120
MEMORY_MIN_BYTES = 2 << 30
DISK_MIN_BYTES = 1 << 30
SYNC_MAX_S = 0.1
SYNCS = 5
SHARD_TIMEOUT_S = 2.0
PROMETHEUS_S = 15 * 60


@dataclass(frozen=True)
class Finding:
    """What one check found; `detail` says what to do if it is not ok."""

    name: str
    ok: bool
    detail: str


def examine(config: Path | None, *, quick: bool) -> Iterator[Finding]:
    """Check one thing after the other, so that each can be shown as soon as it is known.

    Args:
        config: plb.toml; a broken one is a finding, and the rest is checked with the defaults.
        quick: leave out what takes seconds.
    """
    yield _finding("python", check_python)
    yield _finding("packages side by side", check_packages)
    if not quick:
        yield _finding("libraries", check_libraries)
        yield _finding("ray starts", check_ray)
    yield _finding("memory", check_memory)
    yield _finding("settings", lambda: _loaded(config))
    yield from _examine_settings(_settings_or_default(config))


def _examine_settings(settings: Settings) -> Iterator[Finding]:
    yield _finding("state folder", partial(check_state, settings.state_dir))
    yield _finding("http port", partial(check_http, settings))
    queue = settings.queue
    if queue.kind == "embedded":
        yield _finding("queue port", partial(check_listen, queue.listen))
    else:
        yield _finding("queue", partial(check_queue, queue.target, queue.tls))
    for shard in queue.shards:
        yield _finding(f"shard {shard.shard_id}", partial(check_shard, shard))
    if settings.history.prometheus.url:
        yield _finding("prometheus", partial(check_prometheus, settings, wall_time_s()))


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, ok=True, detail=check())
    except PlbError as error:
        return Finding(name, ok=False, detail=str(error))


def show(findings: Iterator[Finding], console: Console) -> bool:
    """Print one line per finding; return whether all are ok."""
    from rich.text import Text  # noqa: PLC0415  keeps the checks free of rendering

    failed = 0
    for found in findings:
        failed += not found.ok
        mark = Text("ok  ", "green") if found.ok else Text("fail", "bold red")
        console.print(Text.assemble(mark, f"  {found.name:<22}", found.detail), soft_wrap=True)
    console.print(f"{failed} failed" if failed else "all is well")
    return not failed


def document(findings: Iterator[Finding]) -> dict[str, Any]:
    """Return all findings as plain JSON values."""
    items = [{"name": found.name, "ok": found.ok, "detail": found.detail} for found in findings]
    return {"ok": all(item["ok"] for item in items), "checks": items}


# ---- the checks


def check_python() -> str:
    """Return the version, if it is one that plb-ray supports."""
    running = ".".join(str(part) for part in sys.version_info[:3])
    if not PYTHON_MIN <= sys.version_info[:2] < PYTHON_BELOW:
        raise BadInputError(f"{running} is not supported; install Python 3.11 or 3.12")
    return running


def check_packages() -> str:
    """Return where the four packages lie, if they lie side by side."""
    from plb_ray.cluster.runtime import check_provenance  # noqa: PLC0415  imports Ray

    return str(check_provenance())


def check_libraries() -> str:
    """Import the heavy libraries in a process of their own; a broken binary fails there."""
    return _succeeds(HEAVY, "reinstall with `pip install --constraint constraints.txt plb-ray`") or "can be imported"


def check_ray() -> str:
    """Start and stop a small Ray in a process of its own."""
    return _succeeds(START_RAY, "see that 500 MB of memory and /dev/shm are free, and that loopback is not blocked")


def _succeeds(code: str, advice: str) -> str:
    """Run Python code in a process of its own and return what it printed."""
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SUBPROCESS_TIMEOUT_S, check=False)  # noqa: S603  our own code
    except subprocess.TimeoutExpired as error:
        raise RetryableError(f"no result after {SUBPROCESS_TIMEOUT_S} s; {advice}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise BadInputError(f"{last}; {advice}")
    return done.stdout.strip()


def check_memory() -> str:
    """Return the free memory, if it is enough for Ray and the networks."""
    free = psutil.virtual_memory().available
    if free < MEMORY_MIN_BYTES:
        raise BadInputError(f"only {free / 1e9:.1f} GB are free; plb-ray needs {MEMORY_MIN_BYTES / 1e9:.0f} GB")
    return f"{free / 1e9:.1f} GB free, {os.cpu_count()} cores"


def _loaded(config: Path | None) -> str:
    load_settings(config)
    return str(config) if config else "the defaults"


def _settings_or_default(config: Path | None) -> Settings:
    try:
        return load_settings(config)
    except BadInputError:
        return Settings()


def check_state(folder: Path) -> str:
    """Write and sync in the state folder (or where it will be made), and return how long a sync takes."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".plb-doctor-") as file:
            sync_s = statistics.median(_sync_s(file.fileno()) for _ in range(SYNCS))
    except OSError as error:
        raise BadInputError(f"cannot write to {existing}: {error.strerror}; choose another state_dir in plb.toml") from error
    free = shutil.disk_usage(existing).free
    if free < DISK_MIN_BYTES:
        raise BadInputError(f"only {free / 1e9:.1f} GB are free in {existing}; make room or choose another state_dir")
    if sync_s > SYNC_MAX_S:
        raise BadInputError(f"a disk sync in {existing} takes {sync_s * 1e3:.0f} ms; choose a state_dir on a local disk")
    return f"{folder}: writable, a disk sync takes {sync_s * 1e3:.1f} ms"


def _sync_s(descriptor: int) -> float:
    started_s = monotonic_s()
    os.write(descriptor, b"plb")
    os.fsync(descriptor)
    return monotonic_s() - started_s


def check_port(host: str, port: int, what: str) -> str:
    """Return that a port is free."""
    claim_port(host, port, what)
    return f"{host}:{port} is free" if port else f"{host}: a free one will be taken"


def check_http(settings: Settings) -> str:
    """Return that the port of the HTTP service is free, or that plb-ray itself listens there."""
    host, port = settings.http.host, settings.http.port
    try:
        return check_port(host, port, "the HTTP service")
    except PortInUseError:
        url = url_of(host, port, tls=settings.http.tls.cert is not None)
        if not _answers_as_ours(url):
            raise
        return f"plb-ray runs there already: {url}"


def _answers_as_ours(url: str) -> bool:
    import httpx  # noqa: PLC0415  slow to import

    try:
        answer = httpx.get(f"{url}/healthz", timeout=SHARD_TIMEOUT_S, verify=False, trust_env=False)  # noqa: S501  nothing is sent or believed
        return "x-request-id" in answer.headers and answer.json() == {"status": "ok"}
    except (httpx.TransportError, ValueError):
        return False


def check_listen(endpoint: str) -> str:
    """Return that the port of `host:port` is free, or that a queue service answers there."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal():
        raise BadInputError(f"[queue] listen is {endpoint!r}, not HOST:PORT; for example 127.0.0.1:7070")
    try:
        return check_port(host, int(port), "the queue service")
    except PortInUseError as error:
        try:
            return f"a queue service runs there already: {asyncio.run(_listed(endpoint))}"
        except PlbError:
            raise error from None


def check_connection(target: str) -> str:
    """Return that something accepts connections at `host:port`."""
    host, _, port = target.rpartition(":")
    try:
        asyncio.run(_connect(host, int(port)))
    except (OSError, ValueError, TimeoutError) as error:
        raise RetryableError(f"nothing answers at {target!r}; start the queue, or correct [queue] target") from error
    return f"{target} accepts connections"


def check_queue(target: str, tls: QueueTlsSettings) -> str:
    """Return which shards a queue system lists."""
    check_connection(target)
    return asyncio.run(_listed(target, tls))


async def _listed(target: str, tls: QueueTlsSettings) -> str:
    from plb_ray.rpc.queue_client import QueueClient  # noqa: PLC0415  imports gRPC
    from service.queue_tls import tls_files  # noqa: PLC0415  the same

    client = QueueClient(target, timeout_s=SHARD_TIMEOUT_S, tls=tls_files(tls))
    try:
        shards = await client.shards()
    finally:
        await client.close()
    if not shards:
        raise RetryableError(f"{target} lists no shard; start some")
    return f"{target} lists {len(shards)} shards: {', '.join(shard.shard_id for shard in shards[:5])}"


async def _connect(host: str, port: int) -> None:
    _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), SHARD_TIMEOUT_S)
    writer.close()
    await writer.wait_closed()


def check_shard(address: ShardAddress) -> str:
    """Return what a shard says of itself."""
    return asyncio.run(_describe(address))


async def _describe(address: ShardAddress) -> str:
    from plb_ray.rpc.shard_client import ShardClient  # noqa: PLC0415  imports gRPC

    client = ShardClient(address.shard_id, address.endpoint, timeout_s=SHARD_TIMEOUT_S)
    try:
        shard = await client.describe()
    finally:
        await client.close()
    return f"answers at {address.endpoint}, {shard.capacity.cpu_cores:g} cores"


def check_prometheus(settings: Settings, now_s: float) -> str:
    """Return what the history's query finds over the last quarter of an hour."""
    return asyncio.run(_query(settings, now_s))


async def _query(settings: Settings, now_s: float) -> str:
    from plb_ray.ingest.prometheus import PrometheusQuery, PrometheusSource  # noqa: PLC0415  imports httpx

    asked, step_s = settings.history.prometheus, settings.balancer.step_s
    source = PrometheusSource(PrometheusQuery.of(asked, step_s))
    try:
        end_s = int(now_s // step_s) * step_s
        page = await source.read(end_s - max(1, PROMETHEUS_S // step_s) * step_s, end_s)
    finally:
        await source.close()
    names = {series.order_param for series in page.batch.series}
    if not names:
        return "it answers, but the query gives nothing now; check history.prometheus.query"
    return f"it answers with {len(names)} order params, for example {min(names)!r}"
