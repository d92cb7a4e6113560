"""The JSON of what a plan does to the load of each shard. See `service.api.schemas`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from service.api.out import Out

if TYPE_CHECKING:
    from collections.abc import Mapping


class ResourceLoads(Out):
    """The load of one shard on one resource, in units of the resource, and as shares of what the shard has."""

    resource: str
    capacity: float | None = Field(description="null: the shard states no limit; the shares are null then")
    headroom: float = Field(description="usable share of the capacity")
    now: float = Field(description="as measured")
    before: float = Field(description="highest of now and all steps planned on, without the plan")
    after: float = Field(description="the same when all moves of the plan have arrived")
    utilisation_now: float | None
    utilisation_before: float | None
    utilisation_after: float | None


class PlannedShard(Out):
    """What a plan does to one shard."""

    shard_id: str
    resources: list[ResourceLoads]


class PlannedLoads(Out):
    """What a plan does to the load of each shard, by the estimates that it was made on."""

    shards: list[PlannedShard] = Field(description="the fullest, before or after, first; all that moves touch are here")
    left_out: int = Field(description="how many shards are not here; no move touches them")
    left_out_peak: float = Field(description="the highest share of capacity of those")

    @model_validator(mode="before")
    @classmethod
    def _rows(cls, value: Any) -> Any:
        """Take the loads as the balancer and the journal hold them: in columns."""
        columns = value if isinstance(value, dict) else vars(value)
        if "shard_ids" not in columns:
            return value
        names = columns["shard_ids"]
        shards = [{"shard_id": name, "resources": _resources(columns, row)} for row, name in enumerate(names)]
        return {**columns, "shards": shards}


def _resources(columns: Mapping[str, Any], row: int) -> list[dict[str, Any]]:
    return [
        {
            "resource": resource,
            "capacity": columns["capacity"][row][at] or None,
            "headroom": columns["headroom"],
            **{name: columns[name][row][at] for name in ("now", "before", "after")},
            **{f"utilisation_{name}": _share(columns, name, row, at) for name in ("now", "before", "after")},
        }
        for at, resource in enumerate(columns["resources"])
    ]


def _share(columns: Mapping[str, Any], name: str, row: int, at: int) -> float | None:
    capacity = columns["capacity"][row][at]
    return columns[name][row][at] / capacity if capacity else None
