"""Ray's raylet dies when its agents are slow to come up: `start_ray` starts it again, and leaves nothing behind."""

import os
import subprocess
import sys

import pytest

AGENT_THAT_DIES = """
import os, pathlib, sys
marks = os.environ.get("PLB_TEST_MARKS")
if marks and "dashboard/agent.py" in pathlib.Path("/proc/self/cmdline").read_text():
    before = len(os.listdir(marks))
    pathlib.Path(marks, str(os.getpid())).touch()
    if before < int(os.environ["PLB_TEST_DEATHS"]):
        sys.exit(1)
"""
DRIVER = """
import os, time, types
import psutil, ray, ray._private.node
from plb_ray.cluster.runtime import start_ray, stop_ray
from plb_ray.errors import RetryableError
quick = types.SimpleNamespace(**vars(time))
def dies():
    return len(os.listdir(os.environ["PLB_TEST_MARKS"])) <= int(os.environ["PLB_TEST_DEATHS"])
pace = float(os.environ["PLB_TEST_PACE"])
quick.monotonic = lambda: time.monotonic() * (pace if dies() else 1)
ray._private.node.time = quick
try:
    start_ray(num_cpus=1, object_store_bytes=80 * 1024 * 1024)
    print(ray.get(ray.remote(num_cpus=0)(lambda: "served").remote()))
    stop_ray()
except RetryableError as error:
    print(error)
print(psutil.Process().children(recursive=True))
"""


def outcome(folder, deaths: int, pace: float) -> subprocess.CompletedProcess[str]:
    """Start Ray in a process of its own, with an agent that dies so many times; Ray's 30 s pass so much faster meanwhile."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(AGENT_THAT_DIES)
    (folder / "marks").mkdir()
    environment = {
        **os.environ,
        "RAY_raylet_start_wait_time_s": "1",
        "PYTHONPATH": str(folder / "site"),
        "PLB_TEST_MARKS": str(folder / "marks"),
        "PLB_TEST_DEATHS": str(deaths),
        "PLB_TEST_PACE": str(pace),
    }
    command = [sys.executable, "-c", DRIVER]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.ray
def test_a_start_that_was_too_slow_is_made_again(tmp_path):
    """The second start serves; of the first nothing runs on."""
    done = outcome(tmp_path, deaths=1, pace=5)
    assert done.stdout == "served\n[]\n", done.stderr
    assert "starting them again (2 of 3)" in done.stderr
    assert len(list((tmp_path / "marks").iterdir())) >= 2  # the machine may be too slow for the second as well


@pytest.mark.ray
def test_starts_that_are_always_too_slow_are_given_up(tmp_path):
    """After three the error says what to do, and nothing runs on."""
    done = outcome(tmp_path, deaths=99, pace=30)
    told, left = done.stdout.splitlines()
    assert "did not come up in 3 starts" in told
    assert "session_latest/logs of /tmp/ray" in told
    assert left == "[]"
