"""The registry of trained forecasters in API v1. Its calls read and write files, so FastAPI runs these routes in threads."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from plb_ray.errors import BadInputError, NoForecastError
from service.api import examples, read_schemas
from service.api.deps import WhoDep
from service.api.read_schemas import Model, ModelDetail, ModelEvent, ModelPage, ModelVersion
from service.model_items import champion_of, version_items

if TYPE_CHECKING:
    from models.registry import ModelRegistry, VersionFolder

router = APIRouter(prefix="/v1", tags=["retrain"])

PAGE_MAX = 1000
Group = Annotated[str, Path(examples=["group-0"])]
HorizonName = Annotated[str, Path(examples=["short"], description="short or medium")]


async def _registry_of(request: Request) -> Any:
    return request.app.state.models


RegistryDep = Annotated[Any, Depends(_registry_of)]


class ChampionChange(BaseModel):
    """Who is to serve."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "v0002", "reason": "too high"}]})

    version: str | None = Field(description="null: the baseline, until a training brings a version that is better")
    reason: str = Field(min_length=1, max_length=1000, description="for the audit")


@router.get("/models", summary="Trained forecasters", responses=examples.ok(read_schemas.MODELS, "invalid"))
def get_models(
    registry: RegistryDep,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> ModelPage:
    """Each group's forecaster for each horizon: which version serves, and how good the newest was on the days held out.

    How good the forecasts were since is at GET /v1/forecast-quality.
    """
    found = _folders(registry)
    items = [_model(group, horizon, folder) for group, horizon, folder in found[offset : offset + limit]]
    return ModelPage(items=items, total=len(found), limit=limit, offset=offset)


@router.get(
    "/models/{group}/{horizon}",
    summary="One forecaster's versions",
    responses=examples.ok(read_schemas.MODEL_DETAIL, "unknown", "invalid"),
)
def get_model(registry: RegistryDep, group: Group, horizon: HorizonName) -> ModelDetail:
    """Champion and challengers with their losses, and all that happened to them: trained, promoted, demoted, rolled back."""
    return _detail(group, horizon, _versions(registry, group, horizon))


@router.put(
    "/models/{group}/{horizon}/champion",
    summary="Choose who serves",
    responses=examples.ok(read_schemas.MODEL_DETAIL, "malformed", "unknown", "invalid"),
)
def put_champion(
    registry: RegistryDep, who: WhoDep, group: Group, horizon: HorizonName, body: ChampionChange
) -> ModelDetail:
    """Lets a version, or the baseline, serve from the next forecast on. Repeating it changes nothing.

    The next training challenges the version as any champion.
    """
    folder = _versions(registry, group, horizon)
    try:
        if body.version is None:
            folder.demote(body.reason, who)
        else:
            folder.rollback(body.version, body.reason, who)
    except OSError as error:
        raise BadInputError(f"the registry cannot be changed: {error}; check who may write there") from error
    return _detail(group, horizon, folder)


def _folders(registry: ModelRegistry | None) -> tuple[tuple[str, str, VersionFolder], ...]:
    return () if registry is None else registry.folders()


def _versions(registry: ModelRegistry | None, group: str, horizon: str) -> VersionFolder:
    if registry is None:
        raise NoForecastError("this service has no registry of trained forecasters")
    return registry.of(group, horizon)


def _model(group: str, horizon: str, folder: VersionFolder) -> Model:
    items, (champion, _) = version_items(group, horizon, folder), champion_of(folder)
    newest = _version(items[0])
    return Model(
        group=group, horizon=horizon, champion=champion, baseline_serves=champion is None, versions=len(items), newest=newest
    )


def _detail(group: str, horizon: str, folder: VersionFolder) -> ModelDetail:
    champion, _ = champion_of(folder)
    return ModelDetail(
        group=group,
        horizon=horizon,
        champion=champion,
        baseline_serves=champion is None,
        former_champions=list(folder.former_champions()),
        versions=[_version(item) for item in version_items(group, horizon, folder)],
        events=[ModelEvent.model_validate(asdict(event)) for event in folder.events()],
    )


def _version(item: dict[str, Any]) -> ModelVersion:
    metrics = item.get("metrics")
    if metrics is not None:
        metrics = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    return ModelVersion(**{**item, "metrics": metrics})
