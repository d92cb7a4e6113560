"""The FastAPI application: routes, errors, metrics and dashboard over one `Balancer`. It imports no Ray and no network."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from plb_ray.clock import wall_time_s
from plb_ray.cluster.retrain_port import NoRetrainings
from service.api import (
    audit_routes,
    balancer_routes,
    calendar_routes,
    capacity_routes,
    cost_routes,
    decision_routes,
    health_routes,
    history_routes,
    migration_routes,
    model_routes,
    order_param_routes,
    plan_routes,
    quality_routes,
    read_routes,
    retrain_routes,
    saved_plan_routes,
    session_routes,
    settings_routes,
    shard_routes,
    token_routes,
)
from service.api.event_stream import Followers
from service.api.metrics import Metrics
from service.api.platform import Platform, install_platform
from service.api.problems import document_problems, install_problem_handlers
from service.api.route_table import KnownRoute
from service.api.static import install_dashboard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from models.registry import ModelRegistry
    from plb_ray.cluster.retrain_port import Retrainings
    from plb_ray.control.views import Balancer
    from service.settings_view import SettingView

DESCRIPTION = """
Foresees congestion on the shards of a strictly ordered queue, and migrates order params away before it happens.

Every error is an `application/problem+json` document (RFC 9457): `reason` is a stable code, `detail` one sentence that says
what is wrong, where, and what to do. Where repeating may help there is a `Retry-After`.
"""
TAGS = [
    {"name": "observe", "description": "What is, and what is foreseen. Reading costs the control loop nothing."},
    {"name": "act", "description": "Plans and migrations."},
    {"name": "record", "description": "What was decided and why, what came of it, and who did what."},
    {"name": "events", "description": "What is known ahead: campaigns, matches, holidays, maintenance."},
    {"name": "history", "description": "Arrival rates that others have observed."},
    {"name": "retrain", "description": "Jobs that train the networks anew."},
    {"name": "callers", "description": "Logins and API tokens."},
    {"name": "health", "description": "For orchestrators and monitoring."},
]

MODULES = (
    read_routes,
    quality_routes,
    plan_routes,
    saved_plan_routes,
    balancer_routes,
    migration_routes,
    calendar_routes,
    history_routes,
    retrain_routes,
    capacity_routes,
    decision_routes,
    audit_routes,
    cost_routes,
    model_routes,
    order_param_routes,
    settings_routes,
    shard_routes,
    session_routes,
    token_routes,
    health_routes,
)


def create_app(
    balancer: Balancer,
    now_s: Callable[[], float] = wall_time_s,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    retrainings: Retrainings | None = None,
    platform: Platform | None = None,
    settings: tuple[SettingView, ...] = (),
    models: ModelRegistry | None = None,
) -> FastAPI:
    """Return the application over a balancer: the loop in this process, or an adapter of the control actor.

    Args:
        balancer: whom the routes ask.
        now_s: wall time, of which the ids of requests without one are made.
        sleep: waits between two looks of those who follow a migration.
        retrainings: whom the routes ask about retraining jobs; None: there are none here.
        platform: who may call, how much, and what is kept; None: everybody, anything, nothing.
        settings: in force, to be shown.
        models: the registry of trained forecasters; None: there is none.
    """
    app = FastAPI(
        title="plb-ray",
        version=version("plb-ray"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,  # FastAPI's pages load their scripts from elsewhere; this service works offline
        redoc_url=None,
    )
    app.state.balancer = balancer
    app.state.now_s = now_s
    app.state.sleep = sleep
    app.state.retrainings = retrainings or NoRetrainings()
    app.state.settings = settings
    app.state.models = models
    app.state.followers = Followers()
    app.state.capacity_gate = asyncio.Lock()
    app.state.metrics = Metrics()
    install_problem_handlers(app)
    app.router.routes.insert(0, KnownRoute())
    routers = [routes.router for routes in MODULES]
    for router in routers:
        app.include_router(router)
    install_dashboard(app)
    install_platform(app, routers, platform or Platform())
    document_problems(app, routers)
    return app
