from __future__ import annotations

import asyncio
import socket

import pytest
from fake_balancer import FakeBalancer
from fastapi import FastAPI

from plb_ray.errors import BadInputError, PermanentError, RetryableError
from plb_ray.ingest import prometheus
from plb_ray.rpc.server import start_server
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlServicer
from plb_ray.settings import HttpSettings, QueueTlsSettings, Settings, ShardAddress
from service import cli, doctor
from service.api.app import create_app
from service.exit_codes import ExitCode
from service.local_http import serving

PLAIN = QueueTlsSettings()


@pytest.fixture
def taken():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def _config(folder, text):
    path = folder / "plb.toml"
    path.write_text(f'state_dir = "{folder}"\n{text}')
    return str(path)


def test_a_well_machine_leaves_with_zero(tmp_path, capsys):
    """When all is well each check says ok and the exit code is 0."""
    config = _config(tmp_path, '[http]\nport = 0\n[queue]\nlisten = "127.0.0.1:0"\n')
    assert cli.run(["doctor", "--quick", "--config", config]) == 0
    out = capsys.readouterr().out
    assert "fail" not in out
    for name in ("python", "packages side by side", "memory", "settings", "state folder", "http port", "queue port"):
        assert name in out


def test_each_trouble_is_a_line(tmp_path, taken, capsys):
    """A port in use and shards that are not there are one line each, and the exit code says that a check failed."""
    shards = '[[queue.shards]]\nshard_id = "s1"\nendpoint = "127.0.0.1:1"\n'
    config = _config(tmp_path, f'[http]\nport = {taken}\n[queue]\nlisten = "nonsense"\n{shards}')
    assert cli.run(["doctor", "--quick", "--config", config]) == ExitCode.CHECKS_FAILED
    captured = capsys.readouterr()
    lines = [line for line in captured.out.splitlines() if line.startswith("fail")]
    assert [line.split()[1] for line in lines] == ["http", "queue", "shard"]
    assert f"127.0.0.1:{taken}" in lines[0]
    assert "does not answer" in lines[2]
    assert "Traceback" not in captured.out + captured.err


def test_a_broken_config_does_not_stop_the_rest(tmp_path, capsys):
    """A malformed configuration is one finding; the machine is still checked."""
    path = tmp_path / "plb.toml"
    path.write_text("[http\n")
    assert cli.run(["doctor", "--quick", "--config", str(path)]) == ExitCode.CHECKS_FAILED
    out = capsys.readouterr().out
    assert "cannot be read as TOML" in out
    assert "state folder" in out


def test_state_folder_that_is_a_file(tmp_path):
    """A state folder below a file cannot be written, and the sentence says what to change."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(BadInputError, match="state_dir"):
        doctor.check_state(blocker / "state")


def test_state_folder_is_not_littered(tmp_path):
    """The check leaves nothing behind, and does not make the folder."""
    assert "writable" in doctor.check_state(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_queue_target(taken):
    """A queue target that accepts connections is found, one that does not is said to be absent."""
    assert "accepts" in doctor.check_connection(f"127.0.0.1:{taken}")
    with pytest.raises(RetryableError, match="nothing answers"):
        doctor.check_connection("127.0.0.1:1")
    with pytest.raises(RetryableError, match="nothing answers"):
        doctor.check_connection("nonsense")


async def test_a_queue_of_somebody_s_own():
    """A queue that lists shards is found with them; one that lists none, and what is no queue, are said."""
    servers = [await start_server("127.0.0.1:0", {"QueueControl": Lists(*names)}, "a queue") for names in ((), ("a", "b"))]
    stranger = await start_server("127.0.0.1:0", {}, "a stranger")
    empty, good = servers
    assert await asyncio.to_thread(doctor.check_queue, good.endpoint, PLAIN) == f"{good.endpoint} lists 2 shards: a, b"
    with pytest.raises(RetryableError, match="lists no shard"):
        await asyncio.to_thread(doctor.check_queue, empty.endpoint, PLAIN)
    with pytest.raises(PermanentError, match=r"does not speak this part of plb\.v1"):
        await asyncio.to_thread(doctor.check_queue, stranger.endpoint, PLAIN)
    for server in (*servers, stranger):
        await server.stop(0)


class Lists(QueueControlServicer):
    """A queue that only lists its shards."""

    def __init__(self, *shard_ids):
        self._shards = [pb.ShardInfo(shard_id=shard_id, capacity=pb.Resources(cpu_cores=1)) for shard_id in shard_ids]

    async def ListShards(self, _request, _context):  # noqa: N802 - gRPC's name
        return pb.ListShardsResponse(shards=self._shards)


def test_silent_shard():
    """A shard that does not answer is named with its endpoint."""
    with pytest.raises(RetryableError, match=r"127\.0\.0\.1:1"):
        doctor.check_shard(ShardAddress("s1", "127.0.0.1:1"))


def test_code_that_fails_is_reported_by_its_last_line():
    """A library that cannot be imported is named, with what to do."""
    with pytest.raises(BadInputError, match=r"No module named 'no_such_library'; do this"):
        doctor._succeeds("import no_such_library", "do this")


def test_old_python_is_refused(monkeypatch):
    """Another Python than the supported ones is said to be so."""
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 4))
    with pytest.raises(BadInputError, match=r"3\.10\.4 is not supported"):
        doctor.check_python()


def test_a_prometheus_that_is_down_is_a_line(tmp_path, monkeypatch, capsys):
    """A Prometheus that is set and does not answer is one finding, with its address."""
    monkeypatch.setattr(prometheus, "FIRST_WAIT_S", 0.0)
    asked = '[history.prometheus]\nurl = "http://127.0.0.1:1"\nquery = "up"\n'
    config = _config(tmp_path, f'[http]\nport = 0\n[queue]\nlisten = "127.0.0.1:0"\n{asked}')
    assert cli.run(["doctor", "--quick", "--config", config]) == ExitCode.CHECKS_FAILED
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fail")]
    assert "Prometheus at http://127.0.0.1:1 does not answer" in line


async def test_its_own_service_is_no_trouble(tmp_path):
    """A port that plb-ray itself listens on is said to be so; any other program on it stays a failure."""
    async with serving(create_app(FakeBalancer())) as url:
        port = int(url.rpartition(":")[2])
        settings = Settings(state_dir=tmp_path, http=HttpSettings(port=port))
        assert await asyncio.to_thread(doctor.check_http, settings) == f"plb-ray runs there already: {url}"
    async with serving(FastAPI()) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(PermanentError, match="the port is in use"):
            await asyncio.to_thread(doctor.check_http, Settings(state_dir=tmp_path, http=HttpSettings(port=port)))
