"""Where the API's replica listens: at the service's own address, with no proxy before it.

Ray Serve lets an application's replicas listen themselves ("direct ingress"): no proxy process, and no call of an actor for
each request. It expects a load balancer before them, so it chooses their ports. Here callers come straight to the one
replica, which therefore listens where the settings say: `listening_at` puts that into the function by which Serve opens a
port. Serve still makes the server, counts requests, checks the replica's health, and starts another one when it dies.

The port is opened so that it can be taken again at once (SO_REUSEPORT): connections that have just ended would else keep it
from the next replica, and from a service that is started again, for a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware

from service.api.request_ids import OneRequestId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Start = Callable[..., Awaitable[Any]]

CONTROLLER_ENVIRONMENT = {
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",  # no load balancer has to be told first
    "RAY_SERVE_PORT_QUARANTINE_S": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",  # the application never blocks; two hops between threads less
}
"""Of Serve's controller; its replicas inherit it."""

HEAD_NODE = {"node:__internal_head__": 0.001}
"""What a replica asks for, so that it listens on the machine that callers are told of; Serve's proxy runs there too."""


@dataclass(frozen=True)
class Door:
    """An address to listen at; with a certificate and its key it is HTTPS."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None

    def options(self) -> dict[str, Any]:
        """Return it as Serve's HTTP options have it."""
        tls = {"ssl_certfile": str(self.cert), "ssl_keyfile": str(self.key)} if self.cert and self.key else {}
        return {"host": self.host, "port": self.port, **tls}


def listening_at(door: Door, start: Start) -> Start:
    """Return Serve's function that starts a replica's server, with the address put in.

    Args:
        door: where to listen.
        start: `start_asgi_http_server` of Ray Serve 2.60.
    """

    async def started(app: Any, http_options: Any, *, event_loop: Any, enable_so_reuseport: bool = True) -> Any:
        del enable_so_reuseport  # Serve says no
        more = {"middlewares": [*http_options.middlewares, Middleware(OneRequestId)]}
        here = http_options.model_copy(update={**door.options(), **more})
        return await start(app, here, event_loop=event_loop, enable_so_reuseport=True)

    return started
