"""Spans: nothing while off, a tree within a process, on across gRPC, out to a collector that speaks OTLP."""

import asyncio
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from plb_ray import tracing
from plb_ray.context import going_along, ids, named, what_goes_along
from plb_ray.errors import ShardUnavailableError, UnknownOrderParamError
from plb_ray.rpc.queue_client import QueueClient
from plb_ray.rpc.server import start_server
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.settings import TracingSettings
from plb_ray.tracing import carrier, current_trace_id, for_children, joined, open_span, span, tracing_process


@pytest.fixture
def folder(tmp_path):
    with tracing_process(TracingSettings(exporter="file", folder=tmp_path), "test"):
        yield tmp_path


def recorded(folder):
    lines = [line for path in folder.glob("test-*.jsonl") for line in path.read_text().splitlines()]
    return {span["name"]: span for span in map(json.loads, lines)}


def test_off_costs_nothing_and_does_nothing():
    """Without a start there is no trace: spans do nothing, and nothing goes along to others."""
    with span("x", a=1) as here:
        here.name("y")
        here.note(b=2)
        here.failed(ValueError("no"))
        assert (carrier(), current_trace_id(), for_children()) == ({}, "", {})
    open_span("z").end()
    with joined({"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}):
        assert carrier() == {}
    assert not tracing.tracing()


def test_spans_form_a_tree(folder):
    """A span inside another is its child, also in a task; attributes with dots; an error is a status."""

    async def child():
        with span("child", tracing.CLIENT, rpc__system="grpc", nothing=None):
            raise ShardUnavailableError("s", "e", "away")

    async def parent():
        with span("parent") as here:
            here.note(tick__number=3)
            await asyncio.gather(asyncio.create_task(child()), return_exceptions=True)

    asyncio.run(parent())
    found = recorded(folder)
    assert found["child"]["parent_id"] == found["parent"]["context"]["span_id"]
    assert found["child"]["attributes"] == {"rpc.system": "grpc"}
    assert found["child"]["status"]["status_code"] == "ERROR"
    assert found["child"]["status"]["description"].startswith("ShardUnavailableError: ")
    assert found["parent"]["attributes"] == {"tick.number": 3}
    assert found["parent"]["status"]["status_code"] == "UNSET"


def test_a_trace_goes_on_elsewhere(folder):
    """What is carried brings ids and trace to another place, and is gone afterwards."""
    with span("here"), named(request="r1"):
        carried = what_goes_along()
        trace = current_trace_id()
    assert json.loads(json.dumps(carried)) == carried
    with going_along(carried):
        assert ids() == {"request": "r1", "trace": trace}
        with span("there"):
            pass
    assert ids() == {}
    assert recorded(folder)["there"]["parent_id"] == recorded(folder)["here"]["context"]["span_id"]


@pytest.mark.parametrize("carried", [None, {}, {"traceparent": "nonsense"}, {"plb-tick": "4"}])
def test_what_cannot_be_joined_is_a_trace_of_its_own(folder, carried):
    """A malformed or missing `traceparent` breaks nothing."""
    with going_along(carried), span("alone"):
        assert ids().get("tick") == (carried or {}).get("plb-tick")
    assert recorded(folder)["alone"]["parent_id"] is None


def test_a_share_of_traces(tmp_path):
    """With a share of 0 nothing is recorded, unless the caller has decided to."""
    with tracing_process(TracingSettings(exporter="file", folder=tmp_path, sample_share=0.0), "test"):
        with span("ours"):
            pass
        with joined({"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}), span("theirs"):
            pass
    assert list(recorded(tmp_path)) == ["theirs"]


def test_inner_blocks_do_not_end_the_outer_one(folder):
    """A control loop that is built in a process which traces already leaves its tracing alone."""
    with tracing_process(TracingSettings(exporter="console"), "inner"):
        pass
    with span("after"):
        pass
    assert "after" in recorded(folder)


def test_children_trace_as_their_parent_does(folder):
    """A shard process is told by its environment, with a folder that does not depend on where it runs."""
    told = for_children()
    assert told["PLB_TRACING__EXPORTER"] == "file"
    assert told["PLB_TRACING__FOLDER"] == str(folder.absolute())


class Servicer:
    """A QueueControl of two methods: one answers, one refuses."""

    def __init__(self):
        self.seen = []

    async def ListShards(self, request, context):  # noqa: ARG002, N802
        self.seen.append((dict(context.invocation_metadata()), ids()))
        return pb.ListShardsResponse()

    async def GetMigration(self, request, context):  # noqa: ARG002, N802
        raise UnknownOrderParamError("k")

    async def WatchAllocations(self, request, context):  # noqa: ARG002, N802
        yield pb.MappingUpdate(complete=True)
        with span("in the stream"):
            await asyncio.sleep(0)
        yield pb.MappingUpdate(complete=True)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)


async def called(folder, call):
    """Call a real server once within a span; return what was recorded."""
    servicer = Servicer()
    server = await start_server("127.0.0.1:0", {"QueueControl": servicer}, "test")
    client = QueueClient(server.endpoint)
    try:
        with span("caller"), named(tick="7"):
            await call(client)
    finally:
        await client.close()
        await server.stop(0)
    return servicer, recorded(folder)


async def test_a_unary_call_is_two_spans(folder):
    """The client's span is below the caller's, the server's below the client's; ids go along."""
    servicer, found = await called(folder, lambda client: client.shards())
    assert found["grpc ListShards"]["parent_id"] == found["caller"]["context"]["span_id"]
    assert found["ListShards"]["parent_id"] == found["grpc ListShards"]["context"]["span_id"]
    assert found["ListShards"]["kind"] == "SpanKind.SERVER"
    ((_, there),) = servicer.seen
    assert there["tick"] == "7"


async def test_a_stream_is_two_spans_though_it_is_left_early(folder):
    """Who stops listening after the first message ends the client's span."""
    _, found = await called(folder, lambda client: client.mapping())
    assert found["grpc WatchAllocations"]["parent_id"] == found["caller"]["context"]["span_id"]


async def test_a_refusal_is_the_same_error_and_marks_both_spans(folder):
    """Tracing changes nothing of how errors travel."""

    async def refused(client):
        with pytest.raises(UnknownOrderParamError):
            await client.migration("m")

    _, found = await called(folder, refused)
    assert found["GetMigration"]["status"]["status_code"] == "ERROR"
    assert found["grpc GetMigration"]["status"]["status_code"] == "ERROR"


async def test_calls_outside_any_trace_are_not_recorded(folder):
    """A producer's call makes no span, and carries nothing."""
    servicer = Servicer()
    server = await start_server("127.0.0.1:0", {"QueueControl": servicer}, "test")
    client = QueueClient(server.endpoint)
    await client.shards()
    await client.close()
    await server.stop(0)
    assert recorded(folder) == {}
    assert "traceparent" not in servicer.seen[0][0]


def test_spans_reach_a_collector():
    """With the exporter "otlp" a collector gets spans by POST to /v1/traces, all of them before the process ends."""
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            got.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        settings = TracingSettings(exporter="otlp", endpoint=f"http://127.0.0.1:{server.server_port}/")
        with tracing_process(settings, "test"):
            for number in range(3):
                with span(f"span-{number}"):
                    pass
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
    assert {path for path, _ in got} == {"/v1/traces"}
    spans = [
        span for _, each in got for resource in each.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]
    assert [span.name for span in spans] == ["span-0", "span-1", "span-2"]
    attributes = {item.key: item.value.string_value for item in got[0][1].resource_spans[0].resource.attributes}
    assert (attributes["service.name"], attributes["plb.process"]) == ("plb-ray", "test")
