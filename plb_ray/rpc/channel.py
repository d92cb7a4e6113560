"""Client channels: their limits, keepalive and how fast they come back after a server's restart."""

from __future__ import annotations

import grpc

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


def open_channel(endpoint: str) -> grpc.aio.Channel:
    """Return a channel to `host:port`. It connects when first used and reconnects by itself; close it when done."""
    return grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
