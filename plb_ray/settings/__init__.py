"""The settings of plb-ray: one frozen tree, read from `plb.toml` and the environment, with each default in one place.

    [balancer]  what may be done and how cautiously          [queue]     which queue system, and the embedded shards
    [forecast]  who forecasts and how                        [history]   what is kept of the observed rates
    [http]      where the API and the dashboard listen       [journal]   how long ended migrations are remembered
    [ray]       which Ray                                    [elastic]   whether shards are added and removed, and when
    [log]       the log                                      [metrics]   what /metrics tells
    [tracing]   where OpenTelemetry spans go                 [notify]    who is told what needs a person
    state_dir   everything durable that is ours

Unknown keys, wrong types and values out of range are errors that name the key. `docs/settings.md` describes each one; a
test keeps it complete. The sections stand in `balancer`, `queue`, `history`, `http`, `running` and `watching`, their root in
`tree`, rules between them in `rules`; `sources` reads them.
"""

from plb_ray.settings.balancer import BalancerSettings, DampingSettings, MarginSettings
from plb_ray.settings.history import ForecastSettings, HistorySettings, JournalSettings, PrometheusSettings
from plb_ray.settings.http import AuthSettings, HttpSettings, LimitSettings, OidcSettings, TlsSettings
from plb_ray.settings.queue import ElasticSettings, QueueSettings, QueueTlsSettings, ShardAddress
from plb_ray.settings.running import RaySettings
from plb_ray.settings.sources import load_settings, parse_settings
from plb_ray.settings.tree import Settings
from plb_ray.settings.watching import LogSettings, MetricsSettings, NotifySettings, TracingSettings

__all__ = [
    "AuthSettings",
    "BalancerSettings",
    "DampingSettings",
    "ElasticSettings",
    "ForecastSettings",
    "HistorySettings",
    "HttpSettings",
    "JournalSettings",
    "LimitSettings",
    "LogSettings",
    "MarginSettings",
    "MetricsSettings",
    "NotifySettings",
    "OidcSettings",
    "PrometheusSettings",
    "QueueSettings",
    "QueueTlsSettings",
    "RaySettings",
    "Settings",
    "ShardAddress",
    "TlsSettings",
    "TracingSettings",
    "load_settings",
    "parse_settings",
]
