"""One migration, asked for over HTTP, is one trace: HTTP service, control actor on Ray, gRPC, two shard processes."""

import asyncio
import json
import warnings
from dataclasses import replace
from functools import partial

import httpx
import pytest

from plb_ray.clock import monotonic_s
from plb_ray.cluster.control_actor import ACTOR_NAME, start_control_actor, stop_control_actor
from plb_ray.cluster.runtime import NAMESPACE
from plb_ray.settings import BalancerSettings, QueueSettings, Settings, TracingSettings
from plb_ray.tracing import tracing_process
from service.api.app import create_app
from service.launch import shard_processes
from service.local_http import serving
from service.ports import claim_port
from service.wiring import BalancerSpec, build_balancer

with warnings.catch_warnings():  # Ray Serve 2.60 declares its own settings in a way that pydantic has deprecated
    warnings.simplefilter("ignore")
    from service.deployments import RayBalancer

pytestmark = [pytest.mark.ray, pytest.mark.shards, pytest.mark.timeout(180)]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDS_WITHIN_S = 30.0


def spans(folder):
    """Return the spans of all processes, with the process each was recorded in."""
    found = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [{**span, "process": span["resource"]["attributes"]["plb.process"]} for span in found]


async def ended(http, migration_id):
    deadline_s = monotonic_s() + ENDS_WITHIN_S
    while monotonic_s() < deadline_s:
        found = (await http.get(f"/v1/migrations/{migration_id}")).json()
        if found["step"] in ("done", "aborted"):
            return found["step"]
        await asyncio.sleep(0.1)
    raise AssertionError("the migration did not end")


async def test_a_migration_over_http_is_one_trace(ray_here, tmp_path):
    """Spans of four kinds of places belong to the caller's trace, each below the one that caused it."""
    recorded = TracingSettings(exporter="file", folder=tmp_path / "traces")
    endpoint = f"127.0.0.1:{claim_port('127.0.0.1', 0, 'QueueControl')}"
    settings = Settings(
        state_dir=tmp_path / "state",
        balancer=BalancerSettings(mode="static"),
        queue=QueueSettings(listen=endpoint),
        tracing=recorded,
    )
    settings = replace(settings, log=replace(settings.log, format="json"))
    with tracing_process(recorded, "api"):
        async with shard_processes(2, tmp_path / "shards", 0.0) as shards:
            spec = BalancerSpec(settings, shards, order_params=("k0", "k1"), on_ray=False)
            handle = await asyncio.to_thread(start_control_actor, partial(build_balancer, spec))
            try:
                app = create_app(RayBalancer(ACTOR_NAME, NAMESPACE))
                async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
                    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "asked-1"}
                    owner = {
                        each["order_param"]: each["shards"][0]
                        for each in (await http.get("/v1/allocations")).json()["items"]
                    }
                    body = {"order_param": "k0", "destination": "shard-1" if owner["k0"] == "shard-0" else "shard-0"}
                    started = await http.post("/v1/migrations", json=body, headers=headers)
                    assert started.status_code < 300, started.text
                    assert await ended(http, started.json()["migration_id"]) == "done"
            finally:
                await stop_control_actor(handle)
    _check_trace([span for span in spans(recorded.folder) if span["context"]["trace_id"] == f"0x{TRACE}"], started.json())
    _check_log(tmp_path / "state" / "plb.log", started.json())


def _check_trace(trace, migration):
    assert {span["process"] for span in trace} >= {"api", "control", "shard-0", "shard-1"}
    by_id = {span["context"]["span_id"]: span for span in trace}
    (root,) = (span for span in trace if span["name"] == "POST /v1/migrations")
    assert root["parent_id"] == f"0x{PARENT}"
    assert root["attributes"]["http.response.status_code"] < 300
    (ran,) = (span for span in trace if span["name"] == "migration")
    assert ran["attributes"]["migration.id"] == migration["migration_id"]
    assert ran["attributes"]["migration.step"] == "done"
    sealed = next(span for span in trace if span["name"] == "Seal")
    way = [sealed]
    while way[-1]["parent_id"] in by_id:
        way.append(by_id[way[-1]["parent_id"]])
    assert [span["name"] for span in way] == ["Seal", "grpc Seal", "migration", "control migrate", "POST /v1/migrations"]
    assert [span["process"] for span in way][1:] == ["control", "control", "control", "api"]
    assert way[0]["process"].startswith("shard-")
    assert way[-1]["parent_id"] == f"0x{PARENT}"


def _check_log(path, migration):
    """The log of the control loop's process names the request, the migration and the trace."""
    said = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [line for line in said if line["logger"] == "plb.migration"]
    assert {line["fields"]["step"] for line in steps} >= {"prepare", "sealed", "done"}
    assert all(line["fields"]["id"] == migration["migration_id"] for line in steps)
    within = [line for line in steps if line.get("trace") == TRACE]
    assert within
    assert {line["request"] for line in within} == {"asked-1"}
