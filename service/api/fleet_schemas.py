"""The JSON of the advice on the number of shards, and an example of it."""

from __future__ import annotations

from pydantic import Field

from service.api.out import Out, UtcTime

EXAMPLE = {
    "managed": True,
    "at": "2013-11-27T14:00:00Z",
    "shards": 4,
    "wanted": 5,
    "why": "5 shards are needed in 300 s; there are 4, and a new one takes 300 s",
    "needs": [
        {"starts": "2013-11-27T14:00:00Z", "shards": 4},
        {"starts": "2013-11-27T14:10:00Z", "shards": 5},
        {"starts": "2013-11-27T15:00:00Z", "shards": 6},
    ],
    "short": 0,
    "starting": ["elastic-3"],
    "draining": [],
    "error": "",
}


class ShardNeed(Out):
    """How many shards the load of a step needs; the step lasts until the next one begins."""

    starts: UtcTime = Field(validation_alias="starts_s")
    shards: int


class Fleet(Out):
    """How many shards there should be, now and in the coming day, and what is being done about it."""

    managed: bool = Field(description="shards are started and drained by the balancer; else this is advice alone")
    at: UtcTime = Field(validation_alias="at_s", description="time of the look that it stands on")
    shards: int = Field(description="that take load")
    wanted: int = Field(description="that should take load")
    why: str
    needs: list[ShardNeed] = Field(
        description="now, at each step of the short horizon, then at each hour; within the limits"
    )
    short: int = Field(description="how many more than elastic.max_shards the highest need would be; 0 if there is room")
    starting: list[str] = Field(description="ids of shards that have not joined yet")
    draining: list[str] = Field(description="ids of shards that are being emptied and will leave")
    error: str = Field(description="why the last turn could not do what it should; empty if it could")
