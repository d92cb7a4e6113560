"""`plb serve`: everything a balancer needs, in the order in which it is needed, until somebody stops it.

Ray -> embedded shards (unless the queue is somebody else's) -> control actor -> HTTP API and dashboard
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError
from plb_ray.simulation.trace import read_trace
from plb_ray.tracing import tracing_process
from service.front import front_of
from service.launch import control_actor, shard_processes
from service.ports import claim_port

if TYPE_CHECKING:
    from rich.console import Console

    from plb_ray.settings import Settings, ShardAddress


def serve(settings: Settings, console: Console) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        PlbError: a port in use, a state folder that another balancer uses, a shard that does not start, bad input.
    """
    claim_port(settings.http.host, settings.http.port, "the HTTP service")  # before anything slow is started
    settings = rooted(settings)
    with tracing_process(settings.tracing, "serve"):  # shards that are started here record as this process does
        asyncio.run(_serve(settings, console))


def rooted(settings: Settings) -> Settings:
    """Return settings whose folders are absolute: Ray's workers run in folders of their own, which end with Ray."""
    tracing = replace(settings.tracing, folder=settings.tracing.folder.absolute())
    return replace(settings, state_dir=settings.state_dir.absolute(), tracing=tracing)


async def _serve(settings: Settings, console: Console) -> None:
    # Ray and the solver take seconds to import, which `plb --help` need not wait for.
    from plb_ray.cluster.control_actor import ACTOR_NAME  # noqa: PLC0415
    from plb_ray.cluster.runtime import NAMESPACE, start_ray, stop_ray  # noqa: PLC0415
    from service.deployments import start_http, stop_http  # noqa: PLC0415
    from service.wiring import BalancerSpec, retrain_place  # noqa: PLC0415

    stop = asyncio.Event()
    _set_on_signals(stop)
    async with AsyncExitStack() as held:
        with console.status("starting Ray"):
            object_store_bytes, job_server = settings.ray.object_store_mb * 1024 * 1024, settings.ray.job_server
            await asyncio.to_thread(
                start_ray, settings.ray.address, settings.ray.num_cpus, object_store_bytes, job_server=job_server
            )
        _set_on_signals(stop)  # again: Ray has set a handler of SIGTERM that aborts the process three seconds later
        held.push_async_callback(asyncio.to_thread, stop_ray)
        with console.status("starting shards and the control loop"):
            order_params = await asyncio.to_thread(import_history, settings)
            shards = await _shards(settings, held)
            await held.enter_async_context(control_actor(BalancerSpec(settings, shards, order_params=order_params)))
        with console.status("starting the HTTP service"):
            http, place = settings.http, retrain_place(settings)
            front = front_of(settings)
            url = await asyncio.to_thread(start_http, ACTOR_NAME, NAMESPACE, http.host, http.port, place, front)
        held.push_async_callback(asyncio.to_thread, stop_http)
        console.print(f"dashboard and API: {url}")
        if settings.http.auth.mode != "off":
            console.print("callers show a token; `plb token create --name NAME --role admin` makes one")
        console.print(f"queue: {settings.queue.target or settings.queue.listen} ({settings.queue.kind})")
        for shard in shards:
            console.print(f"  {shard.shard_id} at {shard.endpoint}")
        console.print("Ctrl-C stops; what is stored stays in " + str(settings.state_dir))
        await stop.wait()
        console.print("stopping")


async def _shards(settings: Settings, held: AsyncExitStack) -> tuple[ShardAddress, ...]:
    """Return the shards to front: the configured ones, or embedded ones started here."""
    queue = settings.queue
    if queue.kind == "grpc":
        return ()
    if queue.shards:
        return queue.shards
    return await held.enter_async_context(
        shard_processes(queue.count, settings.state_dir / "shards", queue.service_rate_per_s)
    )


def import_history(settings: Settings) -> tuple[str, ...]:
    """Start an empty history from `history.import_file`, if one is given; return the order params that it brought.

    Raises:
        BadInputError: the file is malformed, or its bins are not the balancer's steps.
    """
    path = settings.history.import_file
    if path is None:
        return ()
    trace = read_trace(path)
    if trace.step_s != settings.balancer.step_s:
        raise BadInputError(
            f"history.import_file {path}: its bins are {trace.step_s} s long; set balancer.step_s = {trace.step_s}"
        )
    from service.wiring import open_history  # noqa: PLC0415  imports the solver

    store = open_history(settings)
    try:
        if store.steps == 0:
            store.import_history(trace.history(0, trace.bins))
            return trace.order_params
        return ()
    finally:
        store.close()


def _set_on_signals(stop: asyncio.Event) -> None:
    """Let SIGINT and SIGTERM set an event."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
