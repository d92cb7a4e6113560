"""A Prometheus of the tests' own over samples that were made beforehand, where one is installed (Debian packages it)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

import httpx
import pytest

START_S = 30.0
POLL_S = 0.05


@contextmanager
def prometheus_server(folder, openmetrics):
    """Run a server that knows these samples (OpenMetrics text) while the block runs; yields its URL."""
    prometheus, promtool = shutil.which("prometheus"), shutil.which("promtool")
    if prometheus is None or promtool is None:
        pytest.skip("no Prometheus is installed (Debian: apt-get install prometheus)")
    (folder / "samples.txt").write_text(openmetrics)
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    blocks = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", "samples.txt", "data"]
    subprocess.run(blocks, cwd=folder, check=True, capture_output=True, timeout=60)
    url = f"http://127.0.0.1:{_free_port()}"
    command = [
        prometheus,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--log.level=error",
    ]
    with subprocess.Popen(command, cwd=folder) as server:
        try:
            _await_ready(server, url)
            yield url
        finally:
            server.terminate()
            server.wait(START_S)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await_ready(server, url):
    for _ in range(round(START_S / POLL_S)):
        assert server.poll() is None, "Prometheus ended"
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_S)
    pytest.fail(f"Prometheus is not ready after {START_S} s")
