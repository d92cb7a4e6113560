"""A queue of somebody's own behind the contract: it conforms, it is balanced, and the guide shows the adapter as it is."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from plb_ray.client import Consumer, Producer, QueueResolver
from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.conformance.catalogue import chosen
from plb_ray.conformance.outcome import Status
from plb_ray.domain.migration import MigrationMode, MigrationRequest, MigrationStep
from plb_ray.rpc.queue_client import QueueClient
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.settings import BalancerSettings, QueueSettings, Settings
from service.ports import claim_port
from service.wiring import BalancerSpec, ReplayTime, build_balancer
from tests.conformance.kit import failed, run_kit
from tests.own_queue.adapter import ABORTED, DONE, PREPARE, Adapter
from tests.own_queue.small_queue import Shard, SmallQueue

ROOT = Path(__file__).parents[2]
READY_S = 20.0
SPEED = 60.0  # of the replay's clock: a step of a minute takes a second


class OwnQueue:
    """The small queue with its adapter as a process of its own."""

    def __init__(self, path, **rates):
        self.command = [sys.executable, "-m", "tests.own_queue", "--data", str(path)]
        for shard_id, rate in rates.items():
            self.command += ["--shard", f"{shard_id}={rate}"]
        self.process = None
        self.endpoint = ""

    def start(self):
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
        self.endpoint = self.process.stdout.readline().removeprefix("ready ").strip()
        assert self.endpoint, "the queue did not start"

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=READY_S)


@contextlib.contextmanager
def own_queue(path, **rates):
    queue = OwnQueue(path, **rates)
    queue.start()
    try:
        yield queue
    finally:
        queue.stop()


@contextlib.asynccontextmanager
async def client(endpoint):
    """Yield the balancer's client, a resolver and a producer."""
    queue, resolver = QueueClient(endpoint), QueueResolver(endpoint)
    producer = Producer(resolver, "test")
    try:
        yield queue, resolver, producer
    finally:
        await producer.close()
        await resolver.close()
        await queue.close()


@contextlib.asynccontextmanager
async def consumed(resolver, seen):
    """Consume everything into `seen` meanwhile."""
    consumer = Consumer(resolver.endpoints, resolver, seen.append, "test")
    running = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        await consumer.stop()
        await running


async def until(holds, within_s=20.0):
    """Wait until something holds."""
    end_s = monotonic_s() + within_s
    while not holds():
        assert monotonic_s() < end_s, "it has not come to hold"
        await asyncio.sleep(0.02)


def test_the_guide_shows_the_adapter_word_for_word():
    """docs/own-queue.md has the adapter as it is, and it has fewer than 200 lines, as the guide says."""
    page, adapter = (ROOT / "docs/own-queue.md").read_text(), (ROOT / "tests/own_queue/adapter.py").read_text()
    assert f"a test compares -->\n```python\n{adapter}```\n" in page
    assert len(adapter.splitlines()) < 200
    assert f"an adapter of {len(adapter.splitlines())} lines" in page


@pytest.mark.shards
async def test_it_conforms(tmp_path):
    """The adapter passes every check of QueueControl, those with messages under way too; none is skipped."""
    with own_queue(tmp_path / "queue.sqlite", a=2000, b=2000, c=2000) as queue:
        report = await run_kit([queue.endpoint], "queue", "queue-migration")
    assert not failed(report)
    assert report.count(Status.PASSED) == len(chosen(["queue", "queue-migration"]))
    assert not report.left


@pytest.mark.shards
async def test_our_client_works_on_it_through_migrations(tmp_path):
    """Messages sent through migrations of both modes, and over two shards in turn, come once and in order."""
    seen = []
    with own_queue(tmp_path / "queue.sqlite", a=5000, b=5000) as queue:
        async with client(queue.endpoint) as (control, resolver, producer), consumed(resolver, seen):
            await producer.send("x", [b"0"])
            (source,) = (await control.mapping()).placements["x"].shards
            for number, mode in enumerate([MigrationMode.COPY, MigrationMode.CHAIN, MigrationMode.COPY]):
                for _ in range(50):
                    producer.enqueue("x", [b"m"] * 5)
                destination = {"a": "b", "b": "a"}[source]
                request = MigrationRequest(f"m{number}", "x", source, destination, mode=mode)
                last = [record async for record in control.migrate(request)][-1]
                assert (last.step, last.error) == (MigrationStep.DONE, "")
                source = destination
            await producer.flush()
            await until(lambda: len(seen) >= 751)
    assert [message.seq for message in seen] == list(range(1, 752))
    assert {message.shard_id for message in seen} == {"a", "b"}


@pytest.mark.shards
async def test_what_is_acknowledged_outlives_a_kill(tmp_path):
    """After a SIGKILL messages, placements, and migrations are there; a repeated request moves nothing; order goes on."""
    queue, seen = OwnQueue(tmp_path / "queue.sqlite", a=5000, b=5000), []
    queue.start()
    async with client(queue.endpoint) as (control, _, producer):
        receipt = await producer.send("x", [b"1", b"2", b"3"])
        request = MigrationRequest("m", "x", receipt.shard_id, {"a": "b", "b": "a"}[receipt.shard_id])
        moved = [record async for record in control.migrate(request)][-1]
        before = await control.mapping()
        queue.kill()
    queue.start()
    async with client(queue.endpoint) as (control, resolver, producer), consumed(resolver, seen):
        assert await control.mapping() == before
        assert [record async for record in control.migrate(request)][-1] == moved
        await producer.send("x", [b"4"])
        await until(lambda: len(seen) >= 4)
    queue.stop()
    assert [message.payload for message in seen] == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(("moved", "end"), [(False, ABORTED), (True, DONE)])
async def test_a_migration_that_was_cut_off_is_settled_by_what_the_queue_says(tmp_path, moved, end):
    """An adapter that died between its intent and its answer ends the migration at the next start as the queue tells."""
    queue = SmallQueue(tmp_path / "queue.sqlite", [Shard("a", 1000), Shard("b", 1000)])
    queue.place("x", ["a"])
    record = pb.Migration(migration_id="m", order_param="x", source="a", destination="b", epoch=1)
    Adapter(queue)._note(record, PREPARE)
    if moved:
        queue.move("x", "b", 1, backlog=True)
    settled = await Adapter(queue).GetMigration(pb.GetMigrationRequest(migration_id="m"), None)
    assert (settled.step, settled.HasField("finished_s")) == (end, True)


@pytest.mark.shards
async def test_a_hot_order_param_is_moved_by_the_balancer(tmp_path):
    """Of two order params that ask for 1.2 of what their shard serves the balancer moves one; all messages come in order."""
    seen, rate = [], 200
    with own_queue(tmp_path / "queue.sqlite", a=rate, b=rate) as queue:
        settings = Settings(
            state_dir=tmp_path / "state",
            balancer=BalancerSettings(mode="predictive", step_s=60),
            queue=QueueSettings(kind="grpc", target=queue.endpoint),
        )
        replay = ReplayTime(1_700_000_040.0, SPEED, tmp_path / "anchor")
        runtime = await build_balancer(BalancerSpec(settings, replay=replay, on_ray=False))
        async with client(queue.endpoint) as (control, resolver, producer), consumed(resolver, seen):
            await control._stub.AllocateShards(pb.AllocateShardsRequest(order_param="hot-1", shards=["a"]))
            await control._stub.AllocateShards(pb.AllocateShardsRequest(order_param="hot-2", shards=["a"]))
            replay.clock().start(wall_time_s())
            balancing = asyncio.create_task(runtime.run())
            shards, end_s = {"a"}, monotonic_s() + 40
            while len(shards) < 2 and monotonic_s() < end_s:
                for name in ("hot-1", "hot-2"):
                    producer.enqueue(name, [b"m"] * int(0.6 * rate / 10))
                await asyncio.sleep(0.1)
                shards = {placement.owner for placement in (await control.mapping()).placements.values()}
            status = await runtime.balancer.status()
            balancing.cancel()
            await asyncio.wait({balancing})
            await runtime.close()
            await producer.flush()
            sent = sum(outbox.stored for outbox in producer._outboxes.values())
            await until(lambda: len(seen) >= sent)
    assert shards == {"a", "b"}, status
    for name in ("hot-1", "hot-2"):
        seqs = [message.seq for message in seen if message.order_param == name]
        assert all(later == earlier + 1 for earlier, later in pairwise(seqs))


@pytest.mark.ray
@pytest.mark.shards
@pytest.mark.timeout(300)
async def test_plb_serve_in_front_of_it(tmp_path):
    """`plb serve` with `queue.kind = "grpc"` shows its shards, and `plb migrate` moves an order param under traffic."""
    plb, port, seen = str(Path(sys.executable).parent / "plb"), claim_port("127.0.0.1", 0, "the HTTP service"), []
    ask = {**os.environ, "PLB_URL": f"http://127.0.0.1:{port}"}
    with own_queue(tmp_path / "queue.sqlite", a=2000, b=2000) as queue:
        config = f'[queue]\nkind = "grpc"\ntarget = "{queue.endpoint}"\n[http]\nport = {port}\n[ray]\njob_server = false\n'
        (tmp_path / "plb.toml").write_text(f'state_dir = "{tmp_path / "state"}"\n{config}')
        serving = _started([plb, "serve", "--config", str(tmp_path / "plb.toml")], tmp_path)
        try:
            async with client(queue.endpoint) as (control, resolver, producer), consumed(resolver, seen):
                receipt = await producer.send("x", [b"m"])
                await _ready(f"{ask['PLB_URL']}/readyz", serving)
                other = {"a": "b", "b": "a"}[receipt.shard_id]
                sent = [producer.enqueue("x", [b"m"]) for _ in range(500)]
                moved = await asyncio.to_thread(_run, [plb, "migrate", "x", "--to", other], ask)
                status = await asyncio.to_thread(_run, [plb, "status", "--json"], ask)
                sent += [producer.enqueue("x", [b"m"]) for _ in range(500)]
                await producer.flush()
                await until(lambda: len(seen) > len(sent))
                owner = (await control.mapping()).placements["x"].owner
        finally:
            serving.terminate()
            code = await asyncio.to_thread(serving.wait, 60)
    assert "done" in moved
    assert {shard["shard_id"] for shard in json.loads(status)["shards"]} == {"a", "b"}
    assert (owner, code) == (other, 0)
    assert "SIGTERM" not in (tmp_path / "errors").read_text()  # Ray's handler says so, and aborts three seconds later
    assert [message.seq for message in seen] == list(range(1, 1002))


def _started(command, folder):
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(command, cwd=folder, stderr=errors)


async def _ready(url, serving):
    """Wait until the service says that it is ready; it must not end before."""
    async with httpx.AsyncClient() as http:
        while True:
            assert serving.poll() is None, "plb serve ended; its words are in the file `errors`"
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(url, timeout=10)).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.1)


def _run(command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
