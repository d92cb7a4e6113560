"""What the routes are given: the balancer and the clock that the application was created with.

All are coroutines: FastAPI takes any other function to a thread, which costs more than all the rest of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, cast

from fastapi import Depends, Request

from plb_ray.control.views import Balancer
from service.auth.roles import ANONYMOUS, Caller


async def balancer_of(request: Request) -> Balancer:
    """Return the balancer behind this application."""
    return cast("Balancer", request.app.state.balancer)


async def now_s_of(request: Request) -> float:
    """Return wall time by the application's clock."""
    clock: Callable[[], float] = request.app.state.now_s
    return clock()


async def caller_of(request: Request) -> Caller:
    """Return who makes this request; everybody is anonymous while authentication is off."""
    return cast("Caller", getattr(request.state, "caller", ANONYMOUS))


async def who_of(request: Request) -> str:
    """Return the caller's name, as the audit log keeps it."""
    return (await caller_of(request)).name


async def reads_of(request: Request) -> Balancer:
    """Return the balancer for reads that may be a little old; see `service.api.kept_reads`."""
    return cast("Balancer", request.app.state.reads)


BalancerDep = Annotated[Balancer, Depends(balancer_of)]
NowDep = Annotated[float, Depends(now_s_of)]
ReadsDep = Annotated[Balancer, Depends(reads_of)]
CallerDep = Annotated[Caller, Depends(caller_of)]
WhoDep = Annotated[str, Depends(who_of)]
