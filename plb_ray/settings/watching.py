"""`[log]`, `[metrics]`, `[tracing]`, `[notify]`: how people see what the balancer does, and what it tells them unasked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from plb_ray.settings.kinds import STRICT_KEYS, Count, Seconds, Secret

NoticeKind = Literal["congestion_foreseen", "plan_waiting", "migration_failed", "model_demoted", "shard_silent"]
NOTICE_KINDS: tuple[NoticeKind, ...] = (
    "congestion_foreseen",
    "plan_waiting",
    "migration_failed",
    "model_demoted",
    "shard_silent",
)


@dataclass(frozen=True)
class LogSettings:
    """The log `plb.log` in the state folder.

    Attributes:
        format: "text" is for people, "json" is one JSON object a line.
        level: what is less important is left out.
        file_mb: size at which a new file is begun.
        files: how many files are kept.
    """

    __pydantic_config__ = STRICT_KEYS

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    file_mb: Annotated[float, Field(gt=0)] = 20.0
    files: Annotated[int, Field(ge=2, le=100)] = 5


@dataclass(frozen=True)
class MetricsSettings:
    """What `/metrics` tells.

    Attributes:
        top_order_params: of so many order params, those with the highest load, the rates are told; 0: of none.
    """

    __pydantic_config__ = STRICT_KEYS

    top_order_params: Annotated[int, Field(ge=0, le=1000)] = 20


@dataclass(frozen=True)
class TracingSettings:
    """Where OpenTelemetry spans go: HTTP -> control loop -> gRPC -> shard.

    Attributes:
        exporter: "none"; "otlp" sends them to a collector, "console" writes them to standard error, "file" to files.
        endpoint: of the collector, OTLP over HTTP.
        folder: of the files, one a process, JSON lines.
        sample_share: of so many traces spans are recorded; a caller's own decision in `traceparent` goes first.
    """

    __pydantic_config__ = STRICT_KEYS

    exporter: Literal["none", "otlp", "console", "file"] = "none"
    endpoint: str = "http://127.0.0.1:4318"
    folder: Path = field(default_factory=lambda: Path(".plb/traces"))
    sample_share: Annotated[float, Field(ge=0, le=1)] = 1.0


@dataclass(frozen=True)
class NotifySettings:
    """Whom to tell what needs a person. Nobody, unless a URL is set.

    Attributes:
        webhook_url: gets a JSON document by POST.
        webhook_url_file: file whose first line is that URL.
        slack_url: an incoming webhook of Slack, Mattermost or alike; gets {"text": ...}.
        slack_url_file: file whose first line is that URL.
        kinds: what is told.
        min_interval_s: the same is not told again earlier.
        attempts: how often one notice is tried; the waits between double from a second on.
        timeout_s: of one attempt.
        waiting_max: most notices that wait; the oldest give way.
    """

    __pydantic_config__ = STRICT_KEYS

    webhook_url: Secret = field(default="", repr=False)
    webhook_url_file: Path | None = None
    slack_url: Secret = field(default="", repr=False)
    slack_url_file: Path | None = None
    kinds: tuple[NoticeKind, ...] = NOTICE_KINDS
    min_interval_s: Annotated[float, Field(ge=0)] = 900.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    timeout_s: Seconds = 5.0
    waiting_max: Count = 200
