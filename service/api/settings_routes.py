"""The settings in force in API v1, to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, Request

from service.api import examples, read_schemas
from service.api.read_schemas import Setting, SettingList

if TYPE_CHECKING:
    from service.settings_view import SettingView

router = APIRouter(prefix="/v1", tags=["observe"])


@router.get("/settings", summary="Settings in force", responses=examples.ok(read_schemas.SETTINGS))
async def get_settings(request: Request) -> SettingList:
    """Every setting as it was at the start of the service. Secrets are not shown, only whether they are set (`changed`).

    They are changed in plb.toml or by the environment; what may change while the balancer runs is at /v1/balancer.
    """
    shown = cast("tuple[SettingView, ...]", request.app.state.settings)
    return SettingList(items=[Setting.model_validate(each) for each in shown])
