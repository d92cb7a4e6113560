from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

import fake_balancer
import httpx
import numpy as np
import psutil
import pytest
import ray
from certificates import write_certificate
from test_api_problems import INSTANCES

from plb_ray.clock import monotonic_s
from plb_ray.cluster.runtime import start_ray, stop_ray
from plb_ray.domain.migration import MigrationRequest, MigrationStep
from plb_ray.domain.samples import SampleBatch, SampleKind, Series
from plb_ray.errors import (
    BadInputError,
    ControlUnavailableError,
    OutcomeUnknownError,
    PlbError,
    PortInUseError,
    UnknownOrderParamError,
)
from plb_ray.settings import AuthSettings, HttpSettings, Settings, TlsSettings
from service.auth.roles import Role
from service.auth.tokens import TokenStore
from service.front import front_of
from service.ports import claim_port

with warnings.catch_warnings():  # Ray Serve 2.60 declares its own settings in a way that pydantic has deprecated
    warnings.simplefilter("ignore")
    from service.deployments import RayBalancer, start_http, stop_http

pytestmark = [
    pytest.mark.ray,
    # Ray leaves sockets and subprocess handles to the garbage collector when it shuts down.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # Ray 2.60 itself uses what its dependencies have deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

HERE = Path(__file__).parent
NAMESPACE = "plb"
START_S_MAX = 30.0
REPLACED_S_MAX = 60.0


class _Actor:
    """A control actor as the real one looks from outside, over the fake balancer."""

    def __init__(self):
        from fake_balancer import FakeBalancer  # noqa: PLC0415  whoever asks the actor need not be able to import it

        self._balancer = FakeBalancer()

    async def ask(self, method, *args, along=None):  # noqa: ARG002  what the work carries along
        return await getattr(self._balancer, method)(*args)

    async def fail(self, method, error):
        self._balancer.failing[method] = error

    async def hang(self, method):
        setattr(self._balancer, method, lambda *_: asyncio.sleep(3600))


@pytest.fixture(scope="module")
def ray_here():
    """Ray, with this module sent to the workers by value, and the fakes found on their path."""
    start_ray(num_cpus=1)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    stop_ray()


@contextlib.contextmanager
def _actor(name):
    seen = {"env_vars": {"PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}"}}
    handle = ray.remote(num_cpus=0)(_Actor).options(name=name, namespace=NAMESPACE, runtime_env=seen).remote()
    try:
        ray.get(handle.ask.remote("status"))
        yield handle
    finally:
        ray.kill(handle)


@pytest.fixture
def named(ray_here):
    with _actor("control-1") as handle:
        yield handle


def _balancer(name="control-1", **more):
    return RayBalancer(name, NAMESPACE, **more)


async def test_errors_arrive_as_they_were_raised(named):
    """An error of the loop crosses Ray as itself, with its data and without Ray's wrapping."""
    with pytest.raises(UnknownOrderParamError) as caught:
        await _balancer().forecast("nobody", "short")
    assert type(caught.value) is UnknownOrderParamError
    assert caught.value.order_param == "nobody"


async def test_every_method_passes_through(named):
    """Each method of the port gives what the loop gives."""
    balancer = _balancer()
    assert (await balancer.status()).order_params == len(fake_balancer.NAMES)
    assert (await balancer.forecast("JFK-LAX", "medium")).forecast.values.shape == (24, 5)
    assert len(await balancer.history("JFK-LAX", 3)) == 3
    assert (await balancer.mapping()).generation == 236
    assert (await balancer.latest_decision()).number == 85
    assert (await balancer.dry_run()).number == 85
    assert len(await balancer.migrations(2)) == 2
    owner = (await balancer.mapping()).placements["LGA-ATL"].owner
    request = MigrationRequest("r1", "LGA-ATL", owner, "shard-2", "why")
    assert (await balancer.migrate(request)).migration_id == "r1"
    assert (await balancer.migration("r1")).reason == "why"
    assert (await balancer.cancel("r1")).step is MigrationStep.ABORTED
    one = Series("a", np.array([fake_balancer.NOW_S - 1200]), np.array([1.0]))
    assert (await balancer.push_samples(SampleBatch(SampleKind.RATE, (one,)))).late == 1
    assert (await balancer.put_events(await balancer.events())).unchanged == 2
    assert (await balancer.remove_event("cup-final")).kind == "match"
    assert [record.step.value for record in await balancer.timeline("r1")] == ["prepare", "prepare", "aborted"]


async def test_no_actor_is_unavailable(ray_here):
    """A control actor that was never started is "unavailable", not a stack trace of Ray's."""
    with pytest.raises(ControlUnavailableError):
        await _balancer("nobody").status()


async def test_a_silent_actor_is_unavailable(named):
    """An actor that does not answer in time is "unavailable"; for a migration under way the outcome is unknown."""
    ray.get(named.hang.remote("status"))
    with pytest.raises(ControlUnavailableError):
        await _balancer(read_timeout_s=0.2).status()


async def test_a_dead_actor_and_its_successor(ray_here):
    """After the death of the actor calls are refused as retryable, and go to its successor as soon as there is one."""
    balancer = _balancer("control-2")
    with _actor("control-2"):
        await balancer.status()
    with pytest.raises(ControlUnavailableError):
        await balancer.status()
    with _actor("control-2"):
        assert (await balancer.status()).ready


async def test_a_migration_that_dies_under_way(ray_here):
    """When the loop goes away while a migration is being started, the caller is told to repeat it with the same id."""
    balancer = _balancer("control-3")
    request = MigrationRequest("r1", "LGA-ATL", "shard-1", "shard-2")
    with _actor("control-3"):
        await balancer.status()
    with pytest.raises(OutcomeUnknownError, match="r1"):
        await balancer.migrate(request)
    with pytest.raises(ControlUnavailableError):
        await balancer.migration("r1")


async def test_the_service_on_ray_serve(named, capfd):
    """Serve answers for the actor: readiness, problems, dashboard; a bug is a 500; its port cannot be taken twice."""
    port = claim_port("127.0.0.1", 0, "test")
    started = monotonic_s()
    url = await asyncio.to_thread(start_http, "control-1", NAMESPACE, "127.0.0.1", port)
    took_s = monotonic_s() - started
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            assert (await http.get("/readyz")).json()["shards"] == 4
            assert (await http.get("/v1/forecasts/tenant%2F7%2Forders")).json()["order_param"] == "tenant/7/orders"
            assert (await http.get("/v1/forecasts/a//b")).json()["order_param"] == "a//b"
            refused = await http.get("/v1/forecasts/nobody")
            assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
            assert "plb-ray" in (await http.get("/dashboard/")).text
            assert len((await http.get("/readyz")).headers.get_list("x-request-id")) == 1
            assert "plb_up 1.0" in (await http.get("/metrics")).text
            ray.get(named.fail.remote("status", RuntimeError("secret")))
            broken = await http.get("/v1/status")
            assert (broken.status_code, broken.json()["reason"]) == (500, "UNEXPECTED")
            assert "secret" not in broken.text
        with pytest.raises(PortInUseError):
            start_http("control-1", NAMESPACE, "127.0.0.1", port)
    finally:
        await asyncio.to_thread(stop_http)
    assert claim_port("127.0.0.1", port, "another") == port
    assert "failed" not in "".join(capfd.readouterr())
    assert took_s < START_S_MAX


async def test_a_replica_that_dies_has_a_successor_at_its_port(named):
    """Serve starts another one, which listens at once where the first did, though connections to it have just ended."""
    port = claim_port("127.0.0.1", 0, "test")
    url = await asyncio.to_thread(start_http, "control-1", NAMESPACE, "127.0.0.1", port)
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            await asyncio.gather(*(http.get("/readyz") for _ in range(20)))
            first = _listener(port)
            first.kill()
            deadline_s = monotonic_s() + REPLACED_S_MAX
            while not await _answers(http):
                assert monotonic_s() < deadline_s
                await asyncio.sleep(0.2)
        assert _listener(port).pid != first.pid
    finally:
        await asyncio.to_thread(stop_http)


async def _answers(http):
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


def _listener(port):
    """Return the process that listens at a port."""
    return next(
        psutil.Process(each.pid)
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port
    )


async def test_https_and_tokens_through_serve(named, tmp_path):
    """The replica speaks HTTPS, reads tokens and settings of the state folder, and each answer has one id."""
    files = write_certificate(tmp_path)
    token, _ = TokenStore(tmp_path).create("anna", Role.VIEWER)
    tls = TlsSettings(files / "cert.pem", files / "key.pem")
    front = front_of(Settings(state_dir=tmp_path, http=HttpSettings(auth=AuthSettings("token"), tls=tls)))
    port = claim_port("127.0.0.1", 0, "test")
    url = await asyncio.to_thread(start_http, "control-1", NAMESPACE, "127.0.0.1", port, None, front)
    try:
        trusted = ssl.create_default_context(cafile=str(files / "cert.pem"))
        shown = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, verify=trusted, headers=shown) as http:
            status = await http.get("/v1/status")
            assert (status.status_code, len(status.headers.get_list("x-request-id"))) == (200, 1)
            given = await http.get("/v1/status", headers={"X-Request-Id": "abc-1"})
            assert given.headers.get_list("x-request-id") == ["abc-1"]
            unusable = await http.get("/v1/status", headers={"X-Request-Id": "x" * 129})
            assert [len(each) for each in unusable.headers.get_list("x-request-id")] == [16]
            again = await http.get("/v1/status", headers={"If-None-Match": status.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            assert (await http.delete("/v1/events/cup-final")).json()["reason"] == "FORBIDDEN"
            settings = {each["key"]: each["value"] for each in (await http.get("/v1/settings")).json()["items"]}
            assert settings["http.auth.mode"] == "token"
            assert (await http.get("/v1/status", headers={"Authorization": "Bearer x"})).status_code == 401
    finally:
        await asyncio.to_thread(stop_http)


def test_damaged_tokens_are_said_before_anything_is_started(ray_here, tmp_path):
    """The error names the file, where a replica's would be lost in a log."""
    store = TokenStore(tmp_path)
    store.create("anna", Role.VIEWER)
    store.path.write_text("nonsense")
    front = front_of(Settings(state_dir=tmp_path, http=HttpSettings(auth=AuthSettings("token"))))
    with pytest.raises(BadInputError, match=r"tokens\.json"):
        start_http("control-1", NAMESPACE, "127.0.0.1", 0, None, front)


def test_stopping_what_does_not_run(ray_here):
    """Stopping a service that was never started is harmless."""
    stop_http()


def test_the_service_does_not_load_networks_or_solvers():
    """The module that replicas import loads neither torch nor a solver."""
    code = "import sys, service.deployments; print([m for m in ('torch', 'neuralforecast', 'ortools') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"


def test_every_error_crosses_ray(ray_here):
    """All errors that the API maps can be raised in an actor and come out with their data."""
    for error in INSTANCES:
        back = ray.get(ray.put(error))
        assert isinstance(back, PlbError)
        assert (type(back), str(back)) == (type(error), str(error))
