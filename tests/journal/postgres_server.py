"""A PostgreSQL server of the tests' own, where one is installed together with the driver psycopg."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

START_S = 30.0
POLL_S = 0.05
HOST = "127.0.0.1"
USER = "plb"


@contextmanager
def postgres_server():
    """Run a server on a fresh folder while the block runs; yields its SQLAlchemy URL without a database name."""
    psycopg = pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    folder = _folder()
    binaries = _binaries()
    try:
        _run(binaries / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        port = _free_port()
        server = _start(binaries, folder, port)
        try:
            _await_answer(psycopg, server, port)
            yield f"postgresql+psycopg://{USER}@{HOST}:{port}"
        finally:
            server.terminate()
            server.wait(START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries():
    """Return where initdb and postgres are; skip the test where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].is_file():
        pytest.skip("no PostgreSQL server is installed")
    return found[-1].parent


def _folder():
    """Return a folder that the server's user may use: PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="plb-postgres-"))
    if os.geteuid() == 0:
        account = _account()
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def _account():
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("this is root, and there is no user postgres to run a server as")


def _as_user():
    if os.geteuid() != 0:
        return {}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True, cwd="/", timeout=60, **_as_user())


def _start(binaries, folder, port):
    command = [binaries / "postgres", "-D", folder / "data", "-h", HOST, "-p", port, "-k", folder, "-c", "fsync=off"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([str(part) for part in command], cwd="/", **quiet, **_as_user())


def _await_answer(psycopg, server, port):
    for _ in range(int(START_S / POLL_S)):
        assert server.poll() is None, "the server has ended"
        try:
            psycopg.connect(host=HOST, port=port, user=USER, dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(POLL_S)  # it tells by answering only
        else:
            return
    raise AssertionError("the server does not answer")


def _free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
