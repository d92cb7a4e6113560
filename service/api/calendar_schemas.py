"""The JSON of the event calendar in API v1; see `service.api.schemas` for the conventions."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service.api import examples
from service.api.moments import Moment
from service.api.schemas import Out, UtcTime

_KIND = "a word: campaign, match, holiday, maintenance, or one of your own; forecasters learn from each kind by itself"
_ORDER_PARAMS = "whom it concerns: names, or patterns with *, ? and [abc]; none: all order params"


class Event(Out):
    """Something known ahead that may change the traffic of some order params."""

    event_id: str
    kind: str = Field(description=_KIND)
    name: str = Field(description="for people")
    start: UtcTime = Field(validation_alias="start_s")
    end: UtcTime = Field(validation_alias="end_s")
    order_params: list[str] = Field(validation_alias="scope", description=_ORDER_PARAMS)


class EventList(Out):
    """The calendar in the order of time; POST /v1/events:import takes it as it is."""

    items: list[Event]


class EventPut(BaseModel):
    """Put one event into the calendar."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [dict(examples.EVENT_PUT)]})

    event_id: str | None = Field(None, description="replaces the event with this id; left out: made from the content")
    kind: str = Field(description=_KIND)
    name: str = Field("", description="for people")
    start: Moment
    end: Moment = Field(description="after `start`; the event is over then")
    order_params: list[str] = Field([], description=_ORDER_PARAMS)


class CalendarChange(Out):
    """What putting events into the calendar changed."""

    added: int
    changed: int = Field(description="events whose id was there with another content")
    unchanged: int
