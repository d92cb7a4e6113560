"""The JSON of retrainings in API v1; see `service.api.schemas` for the conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from plb_ray.cluster.retraining import PartState, State
from service.api.schemas import Out, UtcTime

if TYPE_CHECKING:
    from plb_ray.cluster.retraining import Retraining as Record

START_EXAMPLE: dict[str, Any] = {"groups": ["group-0", "hot-0"], "horizons": ["short"], "since": "14d"}
_PART: dict[str, Any] = {
    "group": "group-0",
    "horizon": "short",
    "state": "done",
    "fraction": 1.0,
    "attempts": 1,
    "where": "10.0.0.4:7123",
    "note": "v0003 serves",
    "took_s": 61.5,
}
EXAMPLE: dict[str, Any] = {
    "retraining_id": "retrain-5f0c8a1d3b2e",
    "state": "running",
    "fraction": 0.7,
    "eta_s": 26.4,
    "groups": ["group-0", "hot-0"],
    "horizons": ["short"],
    "since": "14d",
    "run": 1,
    "submitted_at": "2026-01-15T09:30:00Z",
    "started_at": "2026-01-15T09:30:04Z",
    "ended_at": None,
    "error": "",
    "parts": [
        _PART,
        {
            **_PART,
            "group": "hot-0",
            "state": "training",
            "fraction": 0.4,
            "where": "10.0.0.5:811",
            "note": "",
            "took_s": None,
        },
    ],
}
LIST_EXAMPLE: dict[str, Any] = {"items": [EXAMPLE]}
DETAIL_EXAMPLE: dict[str, Any] = {
    **EXAMPLE,
    "log": ["2026-01-15T09:31:06Z id=retrain-5f0c8a1d3b2e part=group-0/short state=done attempt=1 took_s=61.5"],
    "log_lines": 4,
}
CANCELLED_EXAMPLE: dict[str, Any] = {
    **EXAMPLE,
    "state": "cancelled",
    "fraction": 0.5,
    "eta_s": None,
    "ended_at": "2026-01-15T09:31:20Z",
    "parts": [
        _PART,
        {**_PART, "group": "hot-0", "state": "waiting", "fraction": 0.0, "where": "", "note": "", "took_s": None},
    ],
}


class RetrainStart(BaseModel):
    """Train networks anew, from the history as it is now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [START_EXAMPLE]})

    groups: list[str] = Field([], description="groups of order params, as the networks are kept by; none: all")
    horizons: list[str] = Field([], description="short, medium; none: both")
    since: str = Field(
        "", description="how much history to learn from: a span (14d, 36h, 2w) or a time; empty: all of which use is made"
    )
    again: StrictBool = Field(False, description="train also what the same request has trained already")


class RetrainPart(Out):
    """The training of one group's network for one horizon."""

    group: str
    horizon: str
    state: PartState = Field(description="skipped: somebody else was training it")
    fraction: float = Field(description="0 to 1")
    attempts: int = Field(description="above 1: a worker died in it and it was begun again")
    where: str = Field(description="node and process that trains it, or did last")
    note: str = Field(description="why it was skipped, failed or begun again; if it is done, which version serves")
    took_s: float | None


class Retraining(Out):
    """One retraining. `done`, `failed` and `cancelled` are final until it is asked for again."""

    retraining_id: str
    state: State
    fraction: float = Field(description="0 to 1, over all parts")
    eta_s: float | None = Field(description="seconds until the end if it goes on as it went; null if that cannot be told")
    groups: list[str]
    horizons: list[str]
    since: str
    run: int = Field(description="how many jobs have worked on it")
    submitted_at: UtcTime = Field(validation_alias="submitted_s")
    started_at: UtcTime | None = Field(validation_alias="started_s")
    ended_at: UtcTime | None = Field(validation_alias="ended_s")
    error: str = Field(description="why it failed; empty otherwise")
    parts: list[RetrainPart]


class RetrainDetail(Retraining):
    """One retraining and the end of its log."""

    log: list[str] = Field(description="lines of key=value, from `log_from` on")
    log_lines: int = Field(description="how many there are in all; the next `log_from` of who follows")


class RetrainList(Out):
    """The retrainings that are remembered, newest first."""

    items: list[Retraining]


def retraining_out(record: Record, now_s: float) -> Retraining:
    """Return a retraining as the API shows it."""
    return Retraining.model_validate(_values(record, now_s))


def retraining_detail(record: Record, log: tuple[str, ...], log_from: int | None, tail: int, now_s: float) -> RetrainDetail:
    """Return it with the lines of its log from a number on, or with the last ones."""
    first = max(0, len(log) - tail) if log_from is None else log_from
    return RetrainDetail.model_validate({**_values(record, now_s), "log": list(log[first:]), "log_lines": len(log)})


def _values(record: Record, now_s: float) -> dict[str, Any]:
    """Return the fields by the names that they have in the record, with what the record works out."""
    return {
        **vars(record),
        "fraction": record.fraction,
        "eta_s": record.eta_s(now_s),
        "groups": record.groups,
        "horizons": record.horizons,
    }
