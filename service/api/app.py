"""The FastAPI application: routes, errors, metrics and dashboard over one `Balancer`. It imports no Ray and no network."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from plb_ray.clock import wall_time_s
from plb_ray.cluster.retrain_port import NoRetrainings
from service.api import (
    calendar_routes,
    capacity_routes,
    health_routes,
    history_routes,
    migration_routes,
    plan_routes,
    quality_routes,
    read_routes,
    retrain_routes,
)
from service.api.event_stream import Followers
from service.api.metrics import Metrics, RequestMetrics
from service.api.problems import document_problems, install_problem_handlers
from service.api.static import install_dashboard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.cluster.retrain_port import Retrainings
    from plb_ray.control.views import Balancer

DESCRIPTION = """
Foresees congestion on the shards of a strictly ordered queue, and migrates order params away before it happens.

Every error is an `application/problem+json` document (RFC 9457): `reason` is a stable code, `detail` one sentence that says
what is wrong, where, and what to do. Where repeating may help there is a `Retry-After`.
"""
TAGS = [
    {"name": "observe", "description": "What is, and what is foreseen. Reading costs the control loop nothing."},
    {"name": "act", "description": "Plans and migrations."},
    {"name": "events", "description": "What is known ahead: campaigns, matches, holidays, maintenance."},
    {"name": "history", "description": "Arrival rates that others have observed."},
    {"name": "retrain", "description": "Jobs that train the networks anew."},
    {"name": "health", "description": "For orchestrators and monitoring."},
]


def create_app(
    balancer: Balancer,
    now_s: Callable[[], float] = wall_time_s,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    retrainings: Retrainings | None = None,
) -> FastAPI:
    """Return the application over a balancer: the loop in this process, or an adapter of the control actor.

    Args:
        balancer: whom the routes ask.
        now_s: wall time, of which the ids of requests without one are made.
        sleep: waits between two looks of those who follow a migration.
        retrainings: whom the routes ask about retraining jobs; None: there are none here.
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
    app.state.followers = Followers()
    app.state.capacity_gate = asyncio.Lock()
    app.state.metrics = Metrics()
    app.add_middleware(RequestMetrics, metrics=app.state.metrics)
    install_problem_handlers(app)
    modules = (
        read_routes,
        quality_routes,
        plan_routes,
        migration_routes,
        calendar_routes,
        history_routes,
        retrain_routes,
        capacity_routes,
        health_routes,
    )
    routers = [routes.router for routes in modules]
    for router in routers:
        app.include_router(router)
    install_dashboard(app)
    document_problems(app, routers)
    return app
