"""The example of what a plan does to the load of shards in the OpenAPI document: the story of `service.api.examples`."""

from __future__ import annotations

from typing import Any


def _loads(now: float, before: float, after: float) -> dict[str, Any]:
    shares = {"utilisation_now": now, "utilisation_before": before, "utilisation_after": after}
    loads = {"resource": "cpu_cores", "capacity": 1.0, "headroom": 0.9, "now": now, "before": before, "after": after}
    return {**loads, **shares}


LOADS: dict[str, Any] = {
    "shards": [
        {"shard_id": "shard-3", "resources": [_loads(0.68, 1.12, 0.79)]},
        {"shard_id": "shard-1", "resources": [_loads(0.41, 0.46, 0.79)]},
    ],
    "left_out": 0,
    "left_out_peak": 0.0,
}
