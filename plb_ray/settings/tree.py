"""The root of the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from plb_ray.settings.balancer import BalancerSettings
from plb_ray.settings.history import ForecastSettings, HistorySettings, JournalSettings
from plb_ray.settings.http import HttpSettings
from plb_ray.settings.kinds import STRICT_KEYS
from plb_ray.settings.queue import ElasticSettings, QueueSettings
from plb_ray.settings.running import RaySettings
from plb_ray.settings.watching import LogSettings, MetricsSettings, NotifySettings, TracingSettings


@dataclass(frozen=True)
class Settings:
    """All settings.

    Attributes:
        state_dir: holds the journal, the history, the networks and the embedded shards' data.
        balancer, queue, forecast, history, journal, http, ray, elastic, log, metrics, tracing, notify: see there.
    """

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
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
