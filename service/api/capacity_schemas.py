"""The JSON of capacity questions in API v1: what is asked and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictFloat, StrictInt

from service.api.moments import Moment
from service.capacity_ask import SHARDS_MOST, Campaign, CapacityAsk, Growth, HorizonName, NewTenant, TypeAsked

ASKED_MOST = 100
DEADLINE_MOST_S = 20.0
NAME_CHARS = 400


def _whole(value: object) -> object:
    """Return 3 for 3.0: to JSON the two are one number, an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[StrictInt, BeforeValidator(_whole)]  # of a union the document drops bounds that stand outside: see `most`
Amount = Annotated[StrictFloat, Field(gt=0, le=1e300, allow_inf_nan=False)]
Quantity = Annotated[StrictFloat, Field(ge=0, le=1e15, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS)]
Patterns = Annotated[list[Name], Field(max_length=ASKED_MOST, description="names, or patterns with *, ? and [abc]")]
Time = Moment | Annotated[StrictFloat, Field(ge=-1e11, le=1e11, allow_inf_nan=False)]

QUESTION: dict[str, Any] = {
    "horizon": "day",
    "alpha": 0.05,
    "types": [{"name": "small", "capacity": {"cpu_cores": 1.0}, "price": 1.0}],
    "growths": [{"order_params": ["JFK-*"], "percent": 40}],
    "campaigns": [{"messages_per_s": 120, "start": "2013-11-27T18:00:00Z", "end": "2013-11-27T20:00:00Z"}],
    "tenants": [{"name": "PHL", "like": ["EWR-*"], "factor": 0.5}],
    "zones": 1,
}
ANSWER: dict[str, Any] = {
    "horizon": "day",
    "alpha": 0.05,
    "headroom": 0.9,
    "zones": 1,
    "order_params": 56,
    "status": "optimal",
    "reason": "",
    "shards": 5,
    "shards_lower_bound": 5,
    "price": 5.0,
    "price_lower_bound": 5.0,
    "gap": 0.0,
    "risk": 0.041,
    "binding_resource": "cpu_cores",
    "binding_at": "2013-11-27T18:00:00Z",
    "bound_follows_from": "volume",
    "types": [
        {
            "name": "small",
            "capacity": {"cpu_cores": 1.0, "memory_bytes": None, "io_bytes_per_s": None},
            "price": 1.0,
            "most": None,
            "shards": 5,
        }
    ],
    "hours": {
        "type": "small",
        "steps": [{"start": "2013-11-27T14:00:00Z", "needed": 4, "lower_bound": 4, "binding_resource": "cpu_cores"}],
    },
    "plan": {
        "start": {"small": 1},
        "drain": [],
        "moves": [
            {
                "order_param": "JFK-LAX",
                "source": "shard-3",
                "destination": "small+1",
                "wave": 1,
                "segment": 0,
                "reason": "shard-3 would need 112 % of its CPU at 18:00",
            }
        ],
        "quality": "the fewest moves (proven)",
    },
    "leftovers": [],
    "leftovers_count": 0,
    "notes": ["foreseen from the same hour of the week in the last 4 weeks; level of late: x 1.02"],
    "took_s": 0.81,
}


class In(BaseModel):
    """Base of what is asked: unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class TypeIn(In):
    """A shard type that can be had."""

    name: Name
    capacity: dict[str, Amount] = Field(
        min_length=1, max_length=20, description="by resource; one that is left out has no limit"
    )
    price: Amount = Field(1.0, description="of one shard, in any unit")
    most: Annotated[StrictInt, Field(ge=0, le=SHARDS_MOST), BeforeValidator(_whole)] | None = Field(
        None, description="how many there may be; null: any number"
    )


class GrowthIn(In):
    """What if the traffic of these order params changes."""

    order_params: Patterns = Field(default=[], description="names or patterns; none: all")
    percent: StrictFloat = Field(ge=-100, le=1e6, allow_inf_nan=False)


class CampaignIn(In):
    """What if so many messages come on top, shared out in proportion to what the order params have."""

    messages_per_s: Quantity
    order_params: Patterns = Field(default=[], description="names or patterns; none: all")
    start: Time | None = Field(None, description="RFC 3339 with an offset, or seconds since 1970; null: at once")
    end: Time | None = Field(None, description="null: to the end of the horizon")


class TenantIn(In):
    """What if somebody comes whose traffic is like that of others."""

    name: Name
    like: Patterns = Field(min_length=1)
    factor: Quantity = 1.0


class CapacityQuestion(In):
    """How many shards are needed, and what if."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [QUESTION]})

    horizon: HorizonName = HorizonName.DAY
    alpha: StrictFloat = Field(0.05, ge=1e-9, le=0.5, description="accepted risk of an overloaded shard at any one step")
    headroom: StrictFloat = Field(0.9, ge=0.001, le=1, description="usable share of every capacity")
    types: list[TypeIn] = Field(default=[], max_length=10, description="what can be had; none: shards like those there are")
    growths: list[GrowthIn] = Field(default=[], max_length=ASKED_MOST)
    campaigns: list[CampaignIn] = Field(default=[], max_length=ASKED_MOST)
    tenants: list[TenantIn] = Field(default=[], max_length=10)
    zones: Whole = Field(1, ge=1, le=100, description="any one of so many zones may be lost; 1: none")
    segments: Whole = Field(1, ge=1, le=1000, description="most shards for one order param that fits none")
    deadline_s: StrictFloat = Field(5.0, gt=0, le=DEADLINE_MOST_S, description="time for the answer")
    seed: Whole = Field(1, ge=0, le=2**31 - 1)

    def asked(self) -> CapacityAsk:
        """Return the question as the planner takes it. Raises BadInputError: it cannot be meant."""
        return CapacityAsk(
            horizon=self.horizon,
            alpha=self.alpha,
            headroom=self.headroom,
            types=tuple(TypeAsked(each.name, dict(each.capacity), each.price, each.most) for each in self.types),
            growths=tuple(Growth(tuple(each.order_params), each.percent) for each in self.growths),
            campaigns=tuple(
                Campaign(each.messages_per_s, tuple(each.order_params), _seconds(each.start), _seconds(each.end))
                for each in self.campaigns
            ),
            tenants=tuple(NewTenant(each.name, tuple(each.like), each.factor) for each in self.tenants),
            zones=self.zones,
            segments=self.segments,
            deadline_s=self.deadline_s,
            seed=self.seed,
        )


class TypeOut(BaseModel):
    """A shard type, and how many of it to have."""

    name: str
    capacity: dict[str, float | None] = Field(description="of one shard, by resource; null: no limit")
    price: float
    most: int | None
    shards: int


class StepNeed(BaseModel):
    """One step by itself."""

    start: datetime
    needed: int = Field(description="shards that hold it")
    lower_bound: int = Field(description="proven: no fewer can")
    binding_resource: str


class Hours(BaseModel):
    """How many shards of one type each step needs by itself."""

    type: str
    steps: list[StepNeed]


class WayMove(BaseModel):
    """A move on the way to the fleet."""

    order_param: str
    source: str | None = Field(description="null: it has no shard yet")
    destination: str = Field(description="TYPE+N is the N-th new shard of that type")
    wave: int
    segment: int
    reason: str


class Way(BaseModel):
    """How to get there from the shards there are."""

    start: dict[str, int] = Field(description="shards to start, by type")
    drain: list[str] = Field(description="shards to empty and stop")
    moves: list[WayMove]
    quality: str = Field(description="how far the moves are proven to be the fewest")


class LeftoverOut(BaseModel):
    """An order param that fits no shard type."""

    order_param: str
    reason: str


class CapacityAnswer(BaseModel):
    """The cheapest fleet found that holds the horizon, with proven bounds, what binds, and the way there."""

    horizon: HorizonName
    alpha: float
    headroom: float
    zones: int
    order_params: int
    status: str = Field(description="optimal, feasible, partial (see leftovers), impossible, not_found, refused")
    reason: str = Field(description="why there is no fleet; else empty")
    shards: int
    shards_lower_bound: int = Field(description="proven")
    price: float
    price_lower_bound: float = Field(description="proven")
    gap: float | None = Field(description="price / its lower bound - 1; null without a fleet")
    risk: float = Field(description="highest probability, over shards and steps, of a load above the usable capacity")
    binding_resource: str
    binding_at: datetime | None = Field(description="the step at which it is scarcest")
    bound_follows_from: str
    types: list[TypeOut]
    hours: Hours
    plan: Way | None = Field(description="null where no shards are known, or there is no fleet")
    leftovers: list[LeftoverOut] = Field(description="the first few")
    leftovers_count: int
    notes: list[str] = Field(description="how the question was understood and the demand foreseen")
    took_s: float


def _seconds(time: datetime | float | None) -> float | None:
    return time.timestamp() if isinstance(time, datetime) else time
