"""Client channels: their limits, keepalive, encryption and how fast they come back after a server's restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

MAX_MESSAGE_BYTES = 16 << 20  # of one gRPC message, both ways
MAX_PAYLOAD_BYTES = 1 << 20  # of one queued message; larger ones are refused as BAD_INPUT
BATCH_BYTES = 4 << 20  # where batches and chunks are cut, so that they stay far below MAX_MESSAGE_BYTES
CALL_TIMEOUT_S = 5.0
STALL_TIMEOUT_S = 10.0  # longest silence within a stream

_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class TlsFiles:
    """How a server is believed to be who it says, and how we prove who we are; files in PEM.

    Attributes:
        ca: authorities that may vouch for the server; None: those that gRPC knows.
        cert, key: our certificate and its key, for a server that asks for one; both or neither.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def open_channel(endpoint: str, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """Return a channel to `host:port`. It connects when first used and reconnects by itself; close it when done.

    Args:
        endpoint: `host:port`.
        tls: encrypts, and talks to nobody else than who the certificate is for; None: plain.

    Raises:
        BadInputError: a file cannot be read.
    """
    if tls is None:
        return grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
    ca, key, cert = (_pem(path) for path in (tls.ca, tls.key, tls.cert))
    return grpc.aio.secure_channel(endpoint, grpc.ssl_channel_credentials(ca, key, cert), options=_OPTIONS)


def _pem(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise BadInputError(f"TLS: {path} cannot be read: {error.strerror or error}") from error
