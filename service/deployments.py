"""The HTTP service on Ray Serve: one deployment whose replicas hold the FastAPI application over the control actor.

One of the two modules that import Ray. Neither it nor what it imports loads torch or a solver: a replica starts in seconds.

    browser, CLI -> replica (FastAPI) -> RayBalancer -> control actor -> loop

The replica listens itself, as `service.listening` says. Serve's proxy is there too, on a port of the loopback interface.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import ray
from ray import serve
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.serve._private import replica

from models.registry import ModelRegistry
from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.cluster.jobs import JobServer, RayRetrainings
from plb_ray.cluster.retrain_port import NoRetrainings
from plb_ray.cluster.runtime import cluster_address
from plb_ray.context import what_goes_along
from plb_ray.errors import ControlUnavailableError, OutcomeUnknownError, PlbError
from plb_ray.tracing import tracing_process
from service.api.app import create_app
from service.api.platform import Platform, platform_of
from service.listening import CONTROLLER_ENVIRONMENT, HEAD_NODE, Door, listening_at
from service.local_http import check_certificate, url_of
from service.logs import log_to
from service.look_asks import LookAsks
from service.order_asks import OrderAsks
from service.ports import claim_port
from service.record_asks import RecordAsks

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from plb_ray.cluster.retrain_port import Retrainings
    from plb_ray.cluster.retraining import RetrainPlace
    from plb_ray.control.capacity_basis import CapacityBasis
    from plb_ray.control.fleet_view import FleetView
    from plb_ray.control.views import BalancerStatus, Decision
    from plb_ray.domain.events import CalendarChange, Event, EventCalendar
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest
    from plb_ray.domain.outcomes import Distance, OrderParamOutcomes
    from plb_ray.domain.samples import PushOutcome, SampleBatch
    from service.front import Front

APP_NAME = "plb"
LOOPBACK = "127.0.0.1"
ONGOING_MAX = 1000  # followers of migrations among them
READ_TIMEOUT_S = 5.0
ACT_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
STOP_POLL_S = 0.05
RESTARTING = "the control loop does not answer: it is being restarted, or was not started; retry in a moment"


class RayBalancer(RecordAsks, OrderAsks, LookAsks):
    """The `Balancer` port over a named control actor that has `ask(method, *args)`.

    Errors of the loop come out as they were raised there. An actor that is dead, restarting or silent is a
    `ControlUnavailableError` when asked for something, and an `OutcomeUnknownError` when a migration or a change of events
    was under way to it.
    """

    def __init__(self, actor_name: str, namespace: str, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._actor_name = actor_name
        self._namespace = namespace
        self._read_timeout_s = read_timeout_s
        self._handle: Any = None

    async def status(self) -> BalancerStatus:
        """See `Balancer`."""
        return cast("BalancerStatus", await self._ask("status"))

    async def outcomes(self, order_param: str, horizon: str, steps: int, distance: Distance) -> OrderParamOutcomes:
        """See `Balancer`."""
        found = await self._ask("outcomes", order_param, horizon, steps, distance, timeout_s=ACT_TIMEOUT_S)
        return cast("OrderParamOutcomes", found)

    async def fleet(self) -> FleetView:
        """See `Balancer`."""
        return cast("FleetView", await self._ask("fleet", timeout_s=ACT_TIMEOUT_S))

    async def capacity_basis(self) -> CapacityBasis:
        """See `Balancer`."""
        return cast("CapacityBasis", await self._ask("capacity_basis", timeout_s=ACT_TIMEOUT_S))

    async def push_samples(self, batch: SampleBatch) -> PushOutcome:
        """See `Balancer`."""
        doing = "while samples were being pushed; repeat the request, what was taken already changes nothing"
        return cast("PushOutcome", await self._act("push_samples", batch, doing=doing))

    async def mapping(self) -> Mapping:
        """See `Balancer`."""
        return cast("Mapping", await self._ask("mapping"))

    async def latest_decision(self) -> Decision | None:
        """See `Balancer`."""
        return cast("Decision | None", await self._ask("latest_decision"))

    async def dry_run(self) -> Decision:
        """See `Balancer`."""
        return cast("Decision", await self._ask("dry_run", timeout_s=ACT_TIMEOUT_S))

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        """See `Balancer`."""
        return cast("tuple[MigrationRecord, ...]", await self._ask("migrations", limit))

    async def migration(self, migration_id: str) -> MigrationRecord:
        """See `Balancer`."""
        return cast("MigrationRecord", await self._ask("migration", migration_id))

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """See `Balancer`."""
        return cast("tuple[MigrationRecord, ...]", await self._ask("timeline", migration_id))

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """See `Balancer`."""
        doing = f"while migration {migration_id!r} was being cancelled; repeat the request"
        return cast("MigrationRecord", await self._act("cancel", migration_id, doing=doing))

    async def migrate(self, request: MigrationRequest) -> MigrationRecord:
        """See `Balancer`."""
        doing = f"while migration {request.request_id!r} was being started; repeat the request with the same id"
        return cast("MigrationRecord", await self._act("migrate", request, doing=doing))

    async def events(self) -> EventCalendar:
        """See `Balancer`."""
        return cast("EventCalendar", await self._ask("events"))

    async def put_events(self, events: EventCalendar) -> CalendarChange:
        """See `Balancer`."""
        doing = "while events were being put into the calendar; repeat the request"
        return cast("CalendarChange", await self._act("put_events", events, doing=doing))

    async def remove_event(self, event_id: str) -> Event:
        """See `Balancer`."""
        doing = f"while event {event_id!r} was being removed; GET /v1/events tells whether it is gone"
        return cast("Event", await self._act("remove_event", event_id, doing=doing))

    async def _act(self, method: str, argument: Any, *, doing: str) -> Any:
        """Ask for something that changes the world: once it was sent, no answer means that nobody knows the outcome."""
        handle = await self._actor()
        try:
            return await self._answer(handle, method, (argument,), ACT_TIMEOUT_S)
        except ControlUnavailableError as error:
            raise OutcomeUnknownError(f"the control loop went silent {doing}") from error

    async def _ask(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        return await self._answer(await self._actor(), method, args, timeout_s or self._read_timeout_s)

    async def _answer(self, handle: Any, method: str, args: tuple[Any, ...], timeout_s: float) -> Any:
        try:
            return await asyncio.wait_for(handle.ask.remote(method, *args, along=what_goes_along()), timeout_s)
        except RayTaskError as error:  # what the loop raised, wrapped
            if isinstance(error.cause, PlbError):
                raise error.cause from None
            raise
        except (RayActorError, GetTimeoutError, TimeoutError) as error:
            self._handle = None  # the next call looks the name up again
            raise ControlUnavailableError(RESTARTING) from error

    async def _actor(self) -> Any:
        if self._handle is None:
            try:
                self._handle = await asyncio.to_thread(ray.get_actor, self._actor_name, self._namespace)
            except ValueError as error:  # Ray's way to say: no such actor
                raise ControlUnavailableError(RESTARTING) from error
        return self._handle


@serve.deployment(
    name="api",
    num_replicas=1,
    max_ongoing_requests=ONGOING_MAX,
    ray_actor_options={"num_cpus": 0, "resources": HEAD_NODE},
)
@serve.ingress()
class _Api:
    """Holds the application; built on the replica, because an application cannot be sent."""

    def __init__(self, actor_name: str, namespace: str, place: RetrainPlace | None, front: Front | None, door: Door) -> None:
        replica.start_asgi_http_server = listening_at(door, replica.start_asgi_http_server)
        self._balancer = RayBalancer(actor_name, namespace)
        self._retrainings = _retrainings(place)
        self._front = front
        self._held = ExitStack()  # for as long as the replica lives
        if front is not None:
            self._held.enter_context(log_to(front.state_dir / "api.log", front.log))
            self._held.enter_context(tracing_process(front.tracing, "api"))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        front = self._front
        if front is None:
            return create_app(self._balancer, retrainings=self._retrainings, platform=Platform(echo_ids=False))
        platform = platform_of(front.http, front.state_dir)
        return create_app(
            self._balancer,
            retrainings=self._retrainings,
            platform=platform,
            settings=front.shown,
            models=ModelRegistry(front.state_dir / "networks", wall_time_s),
        )


def _retrainings(place: RetrainPlace | None) -> Retrainings:
    return RayRetrainings(place, JobServer(cluster_address())) if place is not None else NoRetrainings()


def start_http(
    actor_name: str,
    namespace: str,
    host: str,
    port: int,
    place: RetrainPlace | None = None,
    front: Front | None = None,
) -> str:
    """Serve API and dashboard over the control actor and return the URL; ready for requests on return.

    Ray must be initialised. Serve listens on one address a cluster: stop before starting anew on another.

    Args:
        actor_name: of the control actor; it need not be up yet.
        namespace: of the control actor.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        place: of retraining jobs; None: there are none.
        front: who may call, and how; None: everybody, over plain HTTP.

    Raises:
        PortInUseError: somebody listens there.
        BadInputError: a file of tokens, keys or certificates cannot be used.
    """
    port = claim_port(host, port, "the HTTP service")
    door = _door(host, port, front)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # of this process; the next line is about the others
    serve.start(
        http_options={"host": LOOPBACK, "port": claim_port(LOOPBACK, 0, "Serve's proxy")},
        proxy_location="HeadOnly",
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        controller_options={"runtime_env": {"env_vars": CONTROLLER_ENVIRONMENT}},
    )
    serve.run(cast("Any", _Api).bind(actor_name, namespace, place, front, door), name=APP_NAME, route_prefix="/")
    return url_of(host, port, tls=door.cert is not None)


def _door(host: str, port: int, front: Front | None) -> Door:
    """Return where to listen; what cannot work is found here, where it can be said, and not in a replica."""
    if front is None:
        return Door(host, port)
    platform_of(front.http, front.state_dir)
    found = front.http.tls
    if found.cert is None or found.key is None:
        return Door(host, port)
    check_certificate(found.cert, found.key)
    return Door(host, port, found.cert.resolve(), found.key.resolve())


def stop_http() -> None:
    """Stop what `start_http` started, and return when its port is free again. Harmless when nothing runs.

    `serve.shutdown` alone waits inside the controller until that has killed itself, which Ray reports on the terminal as a
    failed task. So the controller is told without waiting, and watched until it is gone; only then is Serve's client ended.
    """
    deadline_s = monotonic_s() + STOP_TIMEOUT_S
    controller = _controller()
    if controller is not None:
        ray.get(controller.graceful_shutdown.remote(wait=False), timeout=STOP_TIMEOUT_S)
        while _controller() is not None and monotonic_s() < deadline_s:
            time.sleep(STOP_POLL_S)
    serve.shutdown()  # type: ignore[no-untyped-call]  # as Ray declares it


def _controller() -> Any:
    """Return Serve's controller, or None if there is none."""
    try:
        return ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")
    except ValueError:  # Ray's way to say: no such actor
        return None
