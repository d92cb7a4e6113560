"""Start and stop a grpc.aio server with health checking, reflection and our errors."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from plb_ray.errors import BadInputError, PortInUseError
from plb_ray.rpc.channel import MAX_MESSAGE_BYTES
from plb_ray.rpc.errors import ErrorInterceptor
from plb_ray.rpc.traced import TraceInterceptor
from plb_ray.rpc.v1 import queue_pb2, queue_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # else a second server on the same port would silently share its connections
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True)
class RpcServer:
    """A running server. `endpoint` is where it listens, with the real port if port 0 was asked for."""

    endpoint: str
    server: grpc.aio.Server
    health: Any

    async def stop(self, grace_s: float = 0.5) -> None:
        """Refuse new calls, give running ones `grace_s`, then cancel them."""
        await self.health.enter_graceful_shutdown()
        await self.server.stop(grace_s)


async def start_server(listen: str, servicers: Mapping[str, object], what: str) -> RpcServer:
    """Serve on `host:port`.

    Args:
        listen: `host:port`; port 0 takes a free one.
        servicers: service name in plb.v1 ("ShardData", "QueueControl", ...) -> its servicer.
        what: the server's name in error texts, for instance "shard shard-0".

    Raises:
        BadInputError: `listen` is malformed, or names no address of this machine.
        PortInUseError: the port is taken.
    """
    host = _host_of(listen, what)
    server = grpc.aio.server(interceptors=(ErrorInterceptor(), TraceInterceptor()), options=_OPTIONS)
    names = [_add(server, name, servicer) for name, servicer in servicers.items()]
    checker = await _add_health_and_reflection(server, names)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise _listen_error(listen, what) from error
    await server.start()
    return RpcServer(f"{host}:{port}", server, checker)


def _add(server: grpc.aio.Server, name: str, servicer: object) -> str:
    getattr(queue_pb2_grpc, f"add_{name}Servicer_to_server")(servicer, server)
    return str(queue_pb2.DESCRIPTOR.services_by_name[name].full_name)


async def _add_health_and_reflection(server: grpc.aio.Server, names: list[str]) -> Any:
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    for name in ("", *names):
        await checker.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return checker


def _host_of(listen: str, what: str) -> str:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadInputError(f"{what} cannot listen on {listen!r}: write it as host:port, for instance 127.0.0.1:0")
    return host


def _listen_error(listen: str, what: str) -> Exception:
    """Bind by hand to learn why gRPC could not: it does not say."""
    host, _, port = listen.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return BadInputError(f"{what} cannot listen on {listen}: {error.strerror or error}")
    return PortInUseError(listen, what)
