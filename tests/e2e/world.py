"""What the browser looks at: `plb serve` with embedded shards, a history of many order params, real traffic, and tokens.

The shards are started here, so that they copy backlogs slowly: a migration of the held order param can be watched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from plb_ray.clock import monotonic_s, wall_time_s
from service.auth.roles import Role
from service.auth.tokens import TokenStore
from service.ports import claim_port

ROOT = Path(__file__).parent.parent.parent
STEP_S = 60
HISTORY_STEPS = 180
BUSY = tuple(f"shop-{country}-{row}" for country in ("de", "fr", "us") for row in range(10))
ODD = ("tenant/7/orders", "100% café ☕", "<b>bold</b>", "q?x=1&y=2#frag")
HELD = "held-orders"
"""Is not consumed: its backlog takes half a minute to copy."""

HELD_SENDS, HELD_AT_ONCE, HELD_BYTES, COPY_BYTES_PER_S = 25, 32, 64 << 10, 2e6
QUIET_COUNT = int(os.environ.get("PLB_E2E_ORDER_PARAMS", "10000"))
SHARDS = 3
SERVICE_RATE_PER_S = 120.0
READY_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 60.0

CONFIG = """
state_dir = "{state}"
[balancer]
mode = "predictive"
step_s = {step_s}
[queue]
listen = "127.0.0.1:{queue_port}"
shards = [{shards}]
[history]
import_file = "{history}"
[forecast]
min_history_steps = 100000
[http]
port = {http_port}
[http.auth]
mode = "token"
[ray]
job_server = false
"""


@dataclass(frozen=True)
class World:
    """A running service.

    Attributes:
        url: of the API; the dashboard is below /dashboard/.
        queue: HOST:PORT for producers and consumers.
        admin, viewer: API tokens.
        ready_s: how long the start took, until /readyz said so.
    """

    url: str
    queue: str
    admin: str
    viewer: str
    ready_s: float

    @property
    def dashboard(self) -> str:
        """Where the browser goes."""
        return f"{self.url}/dashboard/"

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        """Ask the API as admin."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.admin}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


class Running:
    """Starts it all; `stop` ends it all. What the processes say is in the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> World:
        """Return the service when it is ready, with traffic running. Raises TimeoutError."""
        state = self._folder / "state"
        tokens = TokenStore(state)
        admin, _ = tokens.create("e2e-admin", Role.ADMIN, None)
        viewer, _ = tokens.create("e2e-viewer", Role.VIEWER, None)
        http_port, queue_port, *shard_ports = (claim_port("127.0.0.1", 0, "e2e") for _ in range(2 + SHARDS))
        history = write_history(self._folder / "history.parquet", wall_time_s())
        config = self._folder / "plb.toml"
        shards = ", ".join(self._shard(f"shard-{number}", port) for number, port in enumerate(shard_ports))
        values = {"state": state, "step_s": STEP_S, "queue_port": queue_port, "shards": shards, "history": history}
        config.write_text(CONFIG.format(**values, http_port=http_port), encoding="utf-8")
        plb = Path(sys.executable).parent / "plb"
        started = monotonic_s()
        self._run([str(plb), "serve", "--config", str(config)], "serve.log")
        world = World(f"http://127.0.0.1:{http_port}", f"127.0.0.1:{queue_port}", admin, viewer, 0.0)
        self._wait_for(world, "/healthz")
        self._run([sys.executable, "-m", "tests.e2e.traffic", world.queue], "traffic.log")
        self._wait_for(world, "/readyz")
        return World(world.url, world.queue, admin, viewer, monotonic_s() - started)

    def stop(self) -> None:
        """End the processes, traffic first."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _shard(self, shard_id: str, port: int) -> str:
        """Start a shard and return what the configuration says of it."""
        limits = ("--service-rate", str(SERVICE_RATE_PER_S), "--copy-bytes-per-s", str(COPY_BYTES_PER_S))
        where = ("--listen", f"127.0.0.1:{port}", "--data", str(self._folder / shard_id))
        module = "plb_ray.queues.embedded"
        self._run([sys.executable, "-m", module, "--shard-id", shard_id, *where, *limits], f"{shard_id}.log")
        return f'{{shard_id = "{shard_id}", endpoint = "127.0.0.1:{port}"}}'

    def _run(self, command: list[str], log: str) -> None:
        with (self._folder / log).open("wb") as output:
            self._processes.append(subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT))

    def _wait_for(self, world: World, path: str) -> None:
        until = monotonic_s() + READY_TIMEOUT_S
        while monotonic_s() < until:
            if any(process.poll() is not None for process in self._processes):
                raise RuntimeError(f"a process has ended; see {self._folder}")
            try:
                if world.get(path)[0] == 200:
                    return
            except (OSError, ValueError):  # not there yet, or answered by Ray alone
                pass
            time.sleep(0.5)
        raise TimeoutError(f"{path} did not answer 200 within {READY_TIMEOUT_S:g} s; see {self._folder}")


def write_history(path: Path, now_s: float) -> Path:
    """Write the arrivals of the last hours: the busy order params in waves, the many quiet ones now and then."""
    rng = np.random.default_rng(1)
    names = [*BUSY, *ODD, *(f"quiet-{row:05d}" for row in range(QUIET_COUNT))]
    last = int(now_s) // STEP_S * STEP_S - STEP_S
    starts_s = last - STEP_S * np.arange(HISTORY_STEPS)[::-1]  # (T,)
    means = np.full((len(names), HISTORY_STEPS), 0.02)
    means[: len(BUSY)] = mean_rates(starts_s.astype(np.float64)) * STEP_S
    messages = rng.poisson(means)  # (K, T)
    messages[:, [0, -1]] = np.maximum(messages[:, [0, -1]], 1)  # each is there from the first step to the last
    rows, columns = np.nonzero(messages)
    times = pa.array(starts_s[columns], pa.int64()).cast(pa.timestamp("s", "UTC"))
    names_column = pa.array([names[row] for row in rows])
    counts = pa.array(messages[rows, columns].astype(np.float64))
    table = pa.table({"order_param": names_column, "ts": times, "messages": counts})
    pq.write_table(table, path)
    return path


def mean_rates(at_s: np.ndarray) -> np.ndarray:
    """Return (BUSY, T) messages per second: waves of half an hour, with one order param as busy as a third of a shard."""
    share = 1.0 / np.arange(1, len(BUSY) + 1)
    wave = 1.0 + 0.45 * np.sin(2 * np.pi * at_s / 1800.0)
    return 72.0 * share[:, None] * wave / 1.4
