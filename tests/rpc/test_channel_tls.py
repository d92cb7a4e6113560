"""Commands to a queue over TLS, with a real server and real certificates."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from plb_ray.conformance.catalogue import chosen
from plb_ray.conformance.runner import Options, examine
from plb_ray.errors import BadInputError, ShardUnavailableError
from plb_ray.rpc.channel import TlsFiles
from plb_ray.rpc.queue_client import QueueClient
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlServicer, add_QueueControlServicer_to_server
from plb_ray.settings import QueueTlsSettings
from service.doctor import check_queue
from tests.service.certificates import write_certificate


class OneShard(QueueControlServicer):
    async def ListShards(self, _request, _context):  # noqa: N802 - gRPC's name
        shard = pb.ShardInfo(shard_id="s0", endpoint="127.0.0.1:1", capacity=pb.Resources(cpu_cores=1))
        return pb.ListShardsResponse(shards=[shard])


@pytest.fixture
def queue_files(tmp_path):
    folder = tmp_path / "queue"
    folder.mkdir()
    return write_certificate(folder)


@pytest.fixture
def our_files(tmp_path):
    folder = tmp_path / "ours"
    folder.mkdir()
    return write_certificate(folder)


@asynccontextmanager
async def queue_with(files, callers=None):
    """Serve with the certificate in a folder; ask who calls if a folder vouches for callers. Yields the endpoint."""
    server, pair = grpc.aio.server(), ((files / "key.pem").read_bytes(), (files / "cert.pem").read_bytes())
    add_QueueControlServicer_to_server(OneShard(), server)
    roots = None if callers is None else (callers / "cert.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=callers is not None)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def listed(endpoint, tls):
    client = QueueClient(endpoint, timeout_s=2, tls=tls)
    try:
        return [shard.shard_id for shard in await client.shards()]
    finally:
        await client.close()


async def test_a_queue_is_commanded_over_tls_and_none_that_is_not_vouched_for(queue_files, our_files):
    """With the right authority it answers; with another's, or without TLS, nothing is said to it."""
    async with queue_with(queue_files) as endpoint:
        assert await listed(endpoint, TlsFiles(ca=queue_files / "cert.pem")) == ["s0"]
        for wrong in (TlsFiles(ca=our_files / "cert.pem"), TlsFiles(), None):
            with pytest.raises(ShardUnavailableError):
                await listed(endpoint, wrong)


async def test_a_queue_that_asks_who_commands_it_is_told(queue_files, our_files):
    """Mutual TLS: with our certificate it answers, without it does not."""
    ca = queue_files / "cert.pem"
    async with queue_with(queue_files, callers=our_files) as endpoint:
        assert await listed(endpoint, TlsFiles(ca, our_files / "cert.pem", our_files / "key.pem")) == ["s0"]
        with pytest.raises(ShardUnavailableError):
            await listed(endpoint, TlsFiles(ca))


async def test_the_kit_speaks_tls_too(queue_files):
    """It connects, asks what is offered, and says which target that is."""
    async with queue_with(queue_files) as endpoint:
        options = Options((endpoint,), "tls", tls=TlsFiles(ca=queue_files / "cert.pem"))
        report = await examine(chosen(("append",)), options)
        assert report.targets == (f"{endpoint}: QueueControl",)
        with pytest.raises(ShardUnavailableError):
            await examine(chosen(("append",)), Options((endpoint,), "plain"))


async def test_a_file_that_is_not_there_is_named(tmp_path):
    """Before anything is sent."""
    with pytest.raises(BadInputError, match=r"absent\.pem cannot be read"):
        QueueClient("127.0.0.1:1", tls=TlsFiles(ca=tmp_path / "absent.pem"))


async def test_the_doctor_tries_it(queue_files):
    """What `plb doctor` says of such a queue."""
    async with queue_with(queue_files) as endpoint:
        found = await asyncio.to_thread(check_queue, endpoint, QueueTlsSettings(enabled=True, ca=queue_files / "cert.pem"))
        assert found == f"{endpoint} lists 1 shards: s0"
        with pytest.raises(ShardUnavailableError):
            await asyncio.to_thread(check_queue, endpoint, QueueTlsSettings())
