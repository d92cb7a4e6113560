"""`[queue]`: which queue system is balanced; `[elastic]`: whether its shards come and go with the load."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from plb_ray.settings.kinds import STRICT_KEYS, Count, Seconds


@dataclass(frozen=True)
class ShardAddress:
    """A shard that runs already and speaks `plb.v1.ShardControl`."""

    __pydantic_config__ = STRICT_KEYS

    shard_id: str
    endpoint: str


@dataclass(frozen=True)
class QueueTlsSettings:
    """Encryption of the commands to a queue system of kind "grpc"; files in PEM.

    Attributes:
        enabled: speak TLS with it, and with nothing else than what its certificate is for.
        ca: authorities that may vouch for it; none: those that gRPC knows.
        cert: our own certificate, for a queue that asks for one.
        key: its private key, without a passphrase.
    """

    __pydantic_config__ = STRICT_KEYS

    enabled: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class QueueSettings:
    """Which queue system is balanced.

    Attributes:
        kind: "embedded" starts `count` shard processes of our own (or uses `shards`, if given) and fronts them as one queue;
            "grpc" commands a queue system that implements `plb.v1.QueueControl` at `target`.
        target: HOST:PORT of that queue system, for kind "grpc".
        listen: where our own QueueControl listens, for producers and consumers; port 0 takes a free one.
        shards: shards that run already; empty: start `count` of them.
        count: how many embedded shards to start.
        service_rate_per_s: messages each embedded shard delivers per second at most; 0 does not cap.
        tls: see there.
    """

    __pydantic_config__ = STRICT_KEYS

    kind: Literal["embedded", "grpc"] = "embedded"
    target: str = ""
    listen: str = "127.0.0.1:7070"
    shards: tuple[ShardAddress, ...] = ()
    count: Count = 4
    service_rate_per_s: Annotated[float, Field(ge=0)] = 0.0
    tls: QueueTlsSettings = field(default_factory=QueueTlsSettings)


@dataclass(frozen=True)
class ElasticSettings:
    """Whether embedded shards are added and removed as the load needs them. Those of `queue.count` always stay.

    Attributes:
        enabled: nothing is started or drained unless this is true; `plb capacity` advises all the same.
        min_shards: fewest shards; never fewer than `queue.count`.
        max_shards: most shards.
        lead_s: how long before they are needed shards are added: starting one, and moving order params onto it.
        dwell_s: how long fewer shards must have sufficed, and be foreseen to suffice, before one is drained.
        inner_margin: share of the headroom by which fewer must suffice; between the two nothing changes.
    """

    __pydantic_config__ = STRICT_KEYS

    enabled: bool = False
    min_shards: Count = 1
    max_shards: Count = 16
    lead_s: Seconds = 300.0
    dwell_s: Seconds = 1800.0
    inner_margin: Annotated[float, Field(ge=0, lt=1)] = 0.1
