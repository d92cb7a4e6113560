"""The settings of plb-ray: one frozen tree, read from `plb.toml`, with the default of each setting in one place.

    [balancer]  what may be done and how cautiously          [queue]     which queue system, and the embedded shards
    [forecast]  who forecasts and how                        [history]   what is kept of the observed rates
    [http]      where the API and the dashboard listen       [journal]   how long ended migrations are remembered
    [ray]       which Ray                                    [elastic]   whether shards are added and removed, and when
    state_dir   everything durable that is ours

Unknown keys, wrong types and values out of range are errors that name the key. `docs/settings.md` describes each one; a
test keeps it complete.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from plb_ray.errors import BadInputError

STRICT_KEYS = ConfigDict(extra="forbid")
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]


Cost = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class MarginSettings:
    """How cautious to be: what a unit of a resource costs where it lacks, against one that lies idle. Only the ratio counts.

    The load that must fit is its quantile at overload / (overload + idle): the newsvendor's answer to what to keep ready.

    Attributes:
        cpu_overload, cpu_idle: of CPU.
        memory_overload, memory_idle: of memory.
        io_overload, io_idle: of I/O.
    """

    __pydantic_config__ = STRICT_KEYS

    cpu_overload: Cost = 9.0
    cpu_idle: Cost = 1.0
    memory_overload: Cost = 9.0
    memory_idle: Cost = 1.0
    io_overload: Cost = 9.0
    io_idle: Cost = 1.0

    @property
    def levels(self) -> tuple[float, float, float]:
        """(R,) quantile level of each resource, in the order of `plb_ray.domain.load.RESOURCES`."""
        return (
            self.cpu_overload / (self.cpu_overload + self.cpu_idle),
            self.memory_overload / (self.memory_overload + self.memory_idle),
            self.io_overload / (self.io_overload + self.io_idle),
        )


@dataclass(frozen=True)
class DampingSettings:
    """What keeps the balancer from wandering.

    Attributes:
        inner_margin: share of capacity below the headroom that a shard is relieved to once it is, or will be, above it.
        cooldown_s: how long an order param stays where it was moved to.
        moves_per_hour: most moves in an hour.
        moves_per_shard: most moves onto or off one shard in one tick.
        move_cost_s: what a move must be worth, in seconds of a whole shard's capacity that no longer exceed the headroom.
    """

    __pydantic_config__ = STRICT_KEYS

    inner_margin: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    cooldown_s: Annotated[float, Field(ge=0)] = 1800.0
    moves_per_hour: Count = 120
    moves_per_shard: Count = 8
    move_cost_s: Annotated[float, Field(ge=0)] = 1.0


@dataclass(frozen=True)
class BalancerSettings:
    """What the control loop may do and how cautiously.

    Attributes:
        mode: predictive (plans and migrates), forecast_only (plans, migrates nothing), static (observes only).
        step_s: length of a tick and of a history step.
        headroom: usable share of each shard's capacity; what is left absorbs what no forecast sees.
        medium_hours: how many hours of the medium horizon a plan must also fit; 0 plans on the short horizon alone.
        budget_moves: most moves in one tick.
        solver_budget_s: time for the solver in one tick.
        migrations_in_flight: most migrations at once; they share disks and the coordinator, so more make each pause longer.
        lease_ms: how long a source stays paused if the balancer dies; must cover the copy of a migration's tail.
        margin, damping: see there.
    """

    __pydantic_config__ = STRICT_KEYS

    mode: Literal["predictive", "forecast_only", "static"] = "predictive"
    step_s: Annotated[int, Field(ge=60, le=3600)] = 60
    headroom: Share = 0.9
    medium_hours: Annotated[int, Field(ge=0, le=24)] = 0
    budget_moves: Count = 16
    solver_budget_s: Seconds = 0.3
    migrations_in_flight: Count = 2
    lease_ms: Annotated[int, Field(ge=100, le=600_000)] = 5000
    margin: MarginSettings = field(default_factory=MarginSettings)
    damping: DampingSettings = field(default_factory=DampingSettings)

    @property
    def level(self) -> float:
        """Quantile level of a shard's load that must fit; the highest, if resources differ."""
        return max(self.margin.levels)


@dataclass(frozen=True)
class ShardAddress:
    """A shard that runs already and speaks `plb.v1.ShardControl`."""

    __pydantic_config__ = STRICT_KEYS

    shard_id: str
    endpoint: str


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
    """

    __pydantic_config__ = STRICT_KEYS

    kind: Literal["embedded", "grpc"] = "embedded"
    target: str = ""
    listen: str = "127.0.0.1:7070"
    shards: tuple[ShardAddress, ...] = ()
    count: Count = 4
    service_rate_per_s: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True)
class ForecastSettings:
    """Who forecasts.

    Attributes:
        actors: Ray actors over which the order params are spread; each trains and serves one network per horizon.
        dedicated_hot: how many of the hottest order params get a network of their own.
        timeout_s: how long a tick waits for a forecaster before the baseline answers for it.
        retrain_every_s: time between trainings.
        min_history_steps: training starts when the history is this long.
        seed: of every random choice in training.
    """

    __pydantic_config__ = STRICT_KEYS

    actors: Count = 2
    dedicated_hot: Annotated[int, Field(ge=0)] = 0
    timeout_s: Seconds = 2.0
    retrain_every_s: Seconds = 24 * 3600.0
    min_history_steps: Count = 200
    seed: int = 1


@dataclass(frozen=True)
class PrometheusSettings:
    """A Prometheus to fetch arrival rates from, beside what the queue itself tells.

    Attributes:
        url: where it listens, as in "http://127.0.0.1:9090"; empty: none is asked.
        query: PromQL that gives a series per order param.
        label: whose value names the order param.
        kind: "rate" is messages per second over the step before; "counter" is messages since some beginning.
        every_s: time between two looks.
        backfill_days: how far back the first look after a start goes.
    """

    __pydantic_config__ = STRICT_KEYS

    url: str = ""
    query: str = ""
    label: str = "order_param"
    kind: Literal["rate", "counter"] = "rate"
    every_s: Seconds = 60.0
    backfill_days: Annotated[float, Field(ge=0)] = 7.0


@dataclass(frozen=True)
class HistorySettings:
    """What is kept of the observed rates, and who else tells of them.

    Attributes:
        keep_days: how long a step is kept.
        import_file: a trace (see README) to start the history from, once, when it is empty.
        prometheus: a Prometheus that knows more.
    """

    __pydantic_config__ = STRICT_KEYS

    keep_days: Seconds = 400.0
    import_file: Path | None = None
    prometheus: PrometheusSettings = field(default_factory=PrometheusSettings)


@dataclass(frozen=True)
class JournalSettings:
    """How long the journal remembers what is over. Migrations that run are always kept.

    Attributes:
        keep_days: how long an ended migration and a decision are kept.
        keep_migrations: most ended migrations that are kept; each takes some 10 KB.
        keep_decisions: most decisions that are kept.
    """

    __pydantic_config__ = STRICT_KEYS

    keep_days: Seconds = 90.0
    keep_migrations: Count = 100_000
    keep_decisions: Count = 100_000


@dataclass(frozen=True)
class HttpSettings:
    """Where the API and the dashboard listen. There is no authentication yet: keep it on the loopback interface."""

    __pydantic_config__ = STRICT_KEYS

    host: str = "127.0.0.1"
    port: Port = 8080


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


@dataclass(frozen=True)
class RaySettings:
    """Which Ray: an `address` joins a running cluster, none starts one on this machine.

    Attributes:
        num_cpus: of the one that is started; None: all of the machine.
        object_store_mb: shared memory of the one that is started.
        job_server: whether the one that is started takes retraining jobs (`plb retrain`); Ray's dashboard comes with it.
    """

    __pydantic_config__ = STRICT_KEYS

    address: str | None = None
    num_cpus: Annotated[int, Field(ge=1)] | None = None
    object_store_mb: Annotated[int, Field(ge=80)] = 200
    job_server: bool = True


@dataclass(frozen=True)
class Settings:
    """All settings. `state_dir` holds the journal, the history, the networks and the embedded shards' data."""

    __pydantic_config__ = STRICT_KEYS

    state_dir: Path = field(default_factory=lambda: Path(".plb"))
    balancer: BalancerSettings = field(default_factory=BalancerSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)
    forecast: ForecastSettings = field(default_factory=ForecastSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    ray: RaySettings = field(default_factory=RaySettings)
    elastic: ElasticSettings = field(default_factory=ElasticSettings)


def load_settings(path: Path | None) -> Settings:
    """Return the settings of a TOML file, or the defaults for None.

    Raises:
        BadInputError: the file is missing, is not TOML, or a key is unknown or out of range.
    """
    if path is None:
        return Settings()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(f"config {path}: no such file; `plb serve` without --config uses the defaults") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInputError(f"config {path}: cannot be read as TOML: {error}") from error
    return parse_settings(document, str(path))


def parse_settings(document: dict[str, object], origin: str) -> Settings:
    """Return the settings that a parsed TOML document stands for; `origin` names it in errors.

    Raises:
        BadInputError: a key is unknown or out of range; the first such key is named.
    """
    try:
        settings = TypeAdapter(Settings).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BadInputError(f"config {origin}: {key}: {_in_words(first['type'], first['msg'])}{more}") from error
    if settings.queue.kind == "grpc" and not settings.queue.target:
        raise BadInputError(f'config {origin}: queue.target: kind "grpc" needs HOST:PORT of the queue\'s QueueControl')
    _check_prometheus(settings.history.prometheus, origin)
    _check_elastic(settings, origin)
    _check_margin(settings.balancer.margin, origin)
    return settings


def _check_margin(margin: MarginSettings, origin: str) -> None:
    """Refuse to plan below the median: half of all steps would overload."""
    for resource, level in zip(("cpu", "memory", "io"), margin.levels, strict=True):
        if not 0.5 <= level < 0.999:
            raise BadInputError(
                f"config {origin}: balancer.margin.{resource}_overload: must be 1 to 999 times {resource}_idle"
            )


def _check_elastic(settings: Settings, origin: str) -> None:
    elastic = settings.elastic
    if elastic.min_shards > elastic.max_shards:
        raise BadInputError(f"config {origin}: elastic.min_shards: {elastic.min_shards} is above elastic.max_shards")
    if elastic.enabled and settings.queue.kind == "grpc":
        raise BadInputError(f'config {origin}: elastic.enabled: only shards of queue.kind "embedded" can be started here')


def _check_prometheus(asked: PrometheusSettings, origin: str) -> None:
    if asked.url and not asked.query:
        raise BadInputError(f"config {origin}: history.prometheus.query: a url needs the PromQL to ask there")
    if asked.url and not asked.url.startswith(("http://", "https://")):
        raise BadInputError(
            f"config {origin}: history.prometheus.url: {asked.url!r} is no URL such as http://127.0.0.1:9090"
        )


def _in_words(kind: str, message: str) -> str:
    """Return pydantic's finding as a sentence that says what to do."""
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return "unknown key; docs/settings.md lists the known ones"
    return message[0].lower() + message[1:]
