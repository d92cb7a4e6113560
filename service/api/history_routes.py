"""Pushing arrival rates into the history through API v1."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Annotated

import numpy as np
from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictFloat

from plb_ray.domain.samples import SAMPLES_MAX, SampleBatch, SampleKind, Series
from service.api import examples
from service.api.deps import BalancerDep
from service.api.schemas import PushResult

router = APIRouter(prefix="/v1", tags=["history"])


class Sample(BaseModel):
    """One observation of one order param."""

    model_config = ConfigDict(extra="forbid")

    order_param: str = Field(min_length=1)
    at: AwareDatetime | StrictFloat = Field(
        description="RFC 3339 with an offset, or seconds since 1970; a rate belongs to the step that it lies in"
    )
    value: StrictFloat = Field(description="messages per second, or, of a counter, messages since some beginning")


class SamplesPush(BaseModel):
    """Samples that belong together: all that is known of a step, and of a counter both ends of what it counted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [dict(examples.SAMPLES)]})

    kind: SampleKind = Field(SampleKind.RATE, description="what the values are")
    samples: Annotated[list[Sample], Field(min_length=1, max_length=SAMPLES_MAX, description="in any order")]


@router.post(
    "/history/samples",
    summary="Push arrival rates",
    responses=examples.ok(examples.PUSHED, "off_grid", "invalid", "busy"),
)
async def post_samples(balancer: BalancerDep, body: SamplesPush) -> PushResult:
    """Takes samples into the history, and answers when they are kept with what became of them; repeating is harmless.

    They may be unsorted, late and repeated. Of one order param in one step the later word counts, and more than what the
    queue itself told. Push 0 where nothing arrived: a step of which nothing is known repeats the last rate.
    """
    return PushResult.model_validate(await balancer.push_samples(_batch(body)))


def _batch(body: SamplesPush) -> SampleBatch:
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in body.samples:
        at_s = sample.at.timestamp() if isinstance(sample.at, datetime) else sample.at
        points[sample.order_param].append((at_s, sample.value))
    columns = {name: np.array(pairs, dtype=np.float64).T for name, pairs in points.items()}  # (2, N)
    return SampleBatch(body.kind, tuple(Series(name, at_s, values) for name, (at_s, values) in columns.items()))
