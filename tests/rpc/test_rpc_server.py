"""The server's plumbing, over loopback."""
# ruff: noqa: N802, ARG002 - names and signatures are those of the generated servicer

import logging
import shutil

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from plb_ray import errors
from plb_ray.rpc.channel import MAX_MESSAGE_BYTES, open_channel
from plb_ray.rpc.errors import Peer, answer, answers
from plb_ray.rpc.server import start_server
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardDataServicer, ShardDataStub
from tests.tools import proto_drift


class Failing(ShardDataServicer):
    """Raises what it is given."""

    def __init__(self, error):
        self.error = error
        self.calls = 0

    async def Append(self, request, context):
        self.calls += 1
        raise self.error

    async def Export(self, request, context):
        yield pb.MessageChunk()
        raise self.error


@pytest.fixture
async def serve():
    """Start servers and channels that the test's end closes."""
    closers = []

    async def start(error):
        server = await start_server("127.0.0.1:0", {"ShardData": Failing(error)}, "test server")
        channel = open_channel(server.endpoint)
        closers.extend((channel.close, server.stop))
        return server, channel

    yield start
    for close in closers:
        await close()


async def test_errors_arrive_as_they_were_raised(serve):
    """A servicer just raises; the caller of a unary call and of a stream gets the same error."""
    error = errors.MovedError("K", "shard-1", "127.0.0.1:2", 7)
    server, channel = await serve(error)
    stub, peer = ShardDataStub(channel), Peer("s", server.endpoint)
    with pytest.raises(errors.MovedError) as caught:
        await answer(stub.Append(pb.AppendRequest()), peer, mutating=True)
    assert caught.value.args == error.args
    stream = answers(stub.Export(pb.ExportRequest()), peer, mutating=False)
    await anext(stream)
    with pytest.raises(errors.MovedError):
        await anext(stream)


async def test_mistakes_of_ours_become_internal(serve, caplog):
    """An unexpected exception is logged with its traceback and answered with a short INTERNAL."""
    _, channel = await serve(ZeroDivisionError("secret"))
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as caught:
        await ShardDataStub(channel).Append(pb.AppendRequest())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in caught.value.details()
    assert any(record.exc_info for record in caplog.records)


async def test_oversized_request_is_refused_before_the_servicer(serve):
    """A request above the limit gets RESOURCE_EXHAUSTED, which is BAD_INPUT for the caller, and changes nothing."""
    servicer = Failing(errors.BadInputError("x"))
    server = await start_server("127.0.0.1:0", {"ShardData": servicer}, "test server")
    async with grpc.aio.insecure_channel(server.endpoint, options=[("grpc.max_send_message_length", -1)]) as channel:
        request = pb.AppendRequest(payloads=[bytes(MAX_MESSAGE_BYTES)])
        with pytest.raises(errors.BadInputError):
            await answer(ShardDataStub(channel).Append(request), Peer("s", server.endpoint), mutating=True)
    assert servicer.calls == 0
    await server.stop()


async def test_health_and_reflection(serve):
    """The server reports SERVING for itself and its services, and lists them by reflection."""
    _, channel = await serve(errors.BadInputError("x"))
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "plb.v1.ShardData"):
        found = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert found.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    async for response in call:
        names = {service.name for service in response.list_services_response.service}
        assert {"plb.v1.ShardData", "grpc.health.v1.Health"} <= names


async def test_taken_port_is_said_so(serve):
    """A second server on the same port fails with PORT_IN_USE instead of sharing it."""
    server, _ = await serve(errors.BadInputError("x"))
    with pytest.raises(errors.PortInUseError, match="second server cannot listen on"):
        await start_server(server.endpoint, {}, "second server")


@pytest.mark.parametrize("listen", ["", "nonsense", "127.0.0.1:", "127.0.0.1:99999", ":80", "203.0.113.7:0"])
async def test_malformed_address_is_said_so(listen):
    """What is no address, or none of this machine, is BAD_INPUT."""
    with pytest.raises(errors.BadInputError):
        await start_server(listen, {}, "server")


async def test_dead_server_is_unavailable(serve):
    """After the server has gone a call raises SHARD_UNAVAILABLE with the shard's name."""
    server, channel = await serve(errors.BadInputError("x"))
    await server.stop()
    with pytest.raises(errors.ShardUnavailableError, match="shard 's'"):
        await answer(ShardDataStub(channel).Append(pb.AppendRequest()), Peer("s", server.endpoint), mutating=True)


def test_generated_code_is_what_the_proto_makes(tmp_path):
    """The drift check passes on the repository and fails on a changed proto."""
    assert proto_drift.drifted() == []
    copy = tmp_path / proto_drift.PROTO.parent
    shutil.copytree(proto_drift.ROOT / proto_drift.PROTO.parent, copy)
    (tmp_path / proto_drift.PROTO).write_text(
        (copy / "queue.proto").read_text().replace("uint64 last_seq = 1; bool", "uint64 last_seq = 9; bool")
    )
    assert proto_drift.drifted(tmp_path) != []
