"""`[forecast]`, `[history]` and `[journal]`: who forecasts, from what, and what is remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from plb_ray.settings.kinds import STRICT_KEYS, Count, Seconds


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
