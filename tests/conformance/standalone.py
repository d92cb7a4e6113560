"""Shards that outlive who starts them, for `--restart-command`.

python -m tests.conformance.standalone start DIRECTORY SHARD_ID     prints its endpoint
python -m tests.conformance.standalone restart DIRECTORY SHARD_ID   SIGKILL, then on the same data and port
python -m tests.conformance.standalone kill DIRECTORY SHARD_ID
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

READY_S = 20.0


def start(directory, shard_id):
    """Start a shard, on the port it had before if it had one; return its endpoint when it serves."""
    home = directory / shard_id
    home.mkdir(parents=True, exist_ok=True)
    known, out = home / "endpoint", home / "out"
    listen = known.read_text() if known.exists() else "127.0.0.1:0"
    options = ["--shard-id", shard_id, "--listen", listen, "--data", str(home / "data")]
    command = [sys.executable, "-m", "plb_ray.queues.embedded", *options]
    with out.open("w") as stream, (home / "log").open("a") as log:  # nothing of ours, else who started us waits for its end
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=log, start_new_session=True)
    (home / "pid").write_text(str(process.pid))
    until = time.monotonic() + READY_S  # noqa: TID251 - a script of its own
    while not (words := out.read_text()).startswith("ready "):
        if process.poll() is not None or time.monotonic() > until:  # noqa: TID251 - the same
            sys.exit(f"{shard_id} does not get ready: {words}")
        time.sleep(0.02)
    known.write_text(words.split()[1])
    return known.read_text()


def kill(directory, shard_id):
    """SIGKILL, and wait until it is gone."""
    pid = int((directory / shard_id / "pid").read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while _lives(pid):
        time.sleep(0.01)


def _lives(pid):
    """Whether a process still holds its files; one that is a child of ours is reaped here."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def main(act, directory, shard_id):
    """Do what is asked."""
    if act in ("restart", "kill"):
        kill(Path(directory), shard_id)
    if act in ("start", "restart"):
        print(start(Path(directory), shard_id))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main(*sys.argv[1:])
