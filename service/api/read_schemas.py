"""The JSON of shards, order params, settings and models, with the examples of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from service.api import examples
from service.api.schemas import Out, RatePoint, Resources, UtcTime

SHARD = examples.STATUS["shards"][0]
SHARD_ROW = {
    **{name: SHARD[name] for name in ("shard_id", "endpoint", "capacity", "utilisation", "arrival_messages_per_s")},
    **{name: SHARD[name] for name in ("served_messages_per_s", "backlog", "oldest_age_s", "order_params")},
    "peak": {"cpu_cores": 1.12},
    "congestion_at": "2013-11-27T14:10:00Z",
    "draining": False,
    "error": "",
}
SHARDS = {"items": [SHARD_ROW], "total": 4, "limit": 100, "offset": 0, "at": "2013-11-27T14:00:00Z"}
ORDER_PARAM = {
    "order_param": "JFK-LAX",
    "shards": ["shard-3", "shard-1"],
    "epoch": 3,
    "messages_per_s": 4.7,
    "load": {"cpu_cores": 0.011, "memory_bytes": 52_000.0, "io_bytes_per_s": 9_400.0},
    "backlog": 12,
    "oldest_age_s": 0.4,
}
ORDER_PARAMS = {"items": [ORDER_PARAM], "total": 224, "limit": 100, "offset": 0, "at": "2013-11-27T14:00:00Z"}
ORDER_PARAM_DETAIL = {
    **ORDER_PARAM,
    "at": "2013-11-27T14:00:00Z",
    "history": [{"at": "2013-11-27T13:50:00Z", "messages_per_s": 4.7}],
    "cost": {
        "cost": {"cpu_cores": 0.0024, "memory_bytes": 812.0, "io_bytes_per_s": 2_000.0},
        "lower": {"cpu_cores": 0.0021, "memory_bytes": 700.0, "io_bytes_per_s": 1_800.0},
        "upper": {"cpu_cores": 0.0027, "memory_bytes": 950.0, "io_bytes_per_s": 2_300.0},
        "messages": 81_000.0,
        "payload_bytes": 256.0,
    },
    "placements": [{"shard": "shard-3", "since": "2013-11-26T18:20:00Z", "migration_id": "84-JFK-LAX"}],
}
SETTINGS = {
    "items": [
        {"key": "balancer.headroom", "value": 0.85, "default": 0.9, "changed": True, "secret": False},
        {"key": "notify.slack_url", "value": None, "default": None, "changed": True, "secret": True},
    ]
}
VERSION = {
    "group": "group-0",
    "horizon": "short",
    "version": "v0003",
    "champion": True,
    "error": "",
    "made_at": "2013-11-27T02:00:00Z",
    "kind": "ensemble",
    "metrics": {"wql": 0.131, "wql_baseline": 0.172, "coverage_80": 0.79, "coverage_95": 0.948},
    "data": {"start": "2013-10-28T00:00:00Z", "end": "2013-11-27T00:00:00Z", "order_params": 112},
    "training_s": 84.0,
    "code_version": "0.1.0",
}
MODEL = {
    "group": "group-0",
    "horizon": "short",
    "champion": "v0003",
    "baseline_serves": False,
    "versions": 3,
    "newest": VERSION,
}
MODELS = {"items": [MODEL], "total": 2, "limit": 100, "offset": 0}
MODEL_EVENT = {
    "at": "2013-11-27T02:00:10Z",
    "what": "promoted",
    "version": "v0003",
    "who": "training",
    "reason": "8 % less loss than v0002 on the days held out",
}
MODEL_DETAIL = {
    "group": "group-0",
    "horizon": "short",
    "champion": "v0003",
    "baseline_serves": False,
    "former_champions": ["v0001", "v0002"],
    "versions": [VERSION],
    "events": [MODEL_EVENT],
}


class ShardRow(Out):
    """A shard in a list: without its past and its forecast step by step."""

    shard_id: str
    endpoint: str
    capacity: Resources
    utilisation: dict[str, float] = Field(description="arriving load / capacity by resource, over the last step")
    arrival_messages_per_s: float
    served_messages_per_s: float
    backlog: int = Field(description="messages waiting or in flight")
    oldest_age_s: float = Field(description="age of the oldest message that is not acknowledged")
    order_params: int
    peak: dict[str, float] = Field(description="highest target load foreseen / capacity by resource")
    congestion_at: UtcTime | None = Field(description="first time at which it is foreseen over capacity x headroom")
    draining: bool = Field(description="it takes nothing and is being emptied")
    error: str = Field(description="why the shard does not answer; empty if it does")


class ShardPage(Out):
    """Shards, in the queue's own order unless sorted."""

    items: list[ShardRow]
    total: int
    limit: int
    offset: int
    at: UtcTime | None = Field(description="time of the look; null before the first")


class OrderParam(Out):
    """What the last look saw of an order param."""

    order_param: str
    shards: list[str] = Field(description="in the order in which they are to be consumed")
    epoch: int = Field(description="ownership number; only grows")
    messages_per_s: float = Field(description="arrivals of the last closed step")
    load: Resources = Field(description="what these arrivals use")
    backlog: int = Field(description="messages waiting or in flight, on all shards")
    oldest_age_s: float


class OrderParamPage(Out):
    """Order params, sorted."""

    items: list[OrderParam]
    total: int = Field(description="how many match the filters")
    limit: int
    offset: int
    at: UtcTime = Field(description="time of the look")


class LearnedCost(Out):
    """What a message costs, as learned so far; the true cost is between lower and upper nine times in ten."""

    cost: Resources
    lower: Resources
    upper: Resources
    messages: float = Field(description="delivered, old ones counting less, that this stands on")
    payload_bytes: float


class PlacedSince(Out):
    """Where it has been moved to."""

    shard: str
    since: UtcTime
    migration_id: str


class OrderParamDetail(OrderParam):
    """An order param with its recent past."""

    at: UtcTime = Field(description="time of the look")
    history: list[RatePoint] = Field(description="oldest first")
    cost: LearnedCost | None = Field(description="null while it is not known")
    placements: list[PlacedSince] = Field(description="newest first; of the last 1,000 migrations of the queue")


class Setting(Out):
    """One setting."""

    key: str
    value: Any = Field(description="in force since the start; null for secrets")
    default: Any
    changed: bool = Field(description="differs from the default")
    secret: bool


class SettingList(Out):
    """All settings, in the order of docs/settings.md."""

    items: list[Setting]


class ModelVersion(Out):
    """A trained forecaster; what cannot be read of it is null, and `error` says why."""

    group: str
    horizon: str
    version: str
    champion: bool
    error: str = ""
    made_at: str | None = None
    kind: str | None = None
    metrics: dict[str, float | None] | None = Field(None, description="on the days held out; wql: quantile loss")
    data: dict[str, Any] | None = Field(None, description="what it learnt from")
    training_s: float | None = None
    code_version: str | None = None


class Model(Out):
    """One group's forecaster for one horizon."""

    group: str
    horizon: str
    champion: str | None = Field(description="the version that serves; null: the baseline does")
    baseline_serves: bool
    versions: int
    newest: ModelVersion


class ModelPage(Out):
    """Forecasters by group and horizon."""

    items: list[Model]
    total: int
    limit: int
    offset: int


class ModelEvent(Out):
    """Something that happened to the versions."""

    at: str
    what: str
    version: str | None = Field(description="null: the baseline")
    who: str
    reason: str


class ModelDetail(Out):
    """All versions of one forecaster, newest first, and all that happened to them, oldest first."""

    group: str
    horizon: str
    champion: str | None
    baseline_serves: bool
    former_champions: list[str] = Field(description="that are still there, the latest last")
    versions: list[ModelVersion]
    events: list[ModelEvent]
