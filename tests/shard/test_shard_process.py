"""One real shard process over loopback: durability, fences, limits, service rate, refusals at start."""

import asyncio
import os
import signal
import sys

import psutil
import pytest
from google.rpc import status_pb2

from plb_ray import errors
from plb_ray.clock import monotonic_s
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions
from plb_ray.rpc.channel import MAX_PAYLOAD_BYTES
from plb_ray.rpc.errors import Peer, answer, answers, error_of
from plb_ray.rpc.shard_client import ShardClient
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardDataStub
from tests.shard.real_shards import copied, migrated, reachable, real_shards

pytestmark = pytest.mark.shards


async def test_sigkill_loses_no_acknowledged_append(tmp_path):
    """Killed in the middle of writing, the shard has every append it answered, and takes repetitions as such."""
    async with real_shards(tmp_path) as [shard]:
        names = [f"K{place}" for place in range(4)]
        for name in names:
            await shard.control.open(name, 1)
        answered = dict.fromkeys(names, 0)

        async def append_until_killed(name):
            try:
                while True:
                    await shard.append(name, answered[name] + 1, [b"x"])
                    answered[name] += 1
            except (errors.ShardUnavailableError, errors.OutcomeUnknownError):
                pass

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(append_until_killed(name))
            while min(answered.values()) < 25:  # noqa: ASYNC110 - bounded
                await asyncio.sleep(0.005)
            os.kill(shard.process.pid, signal.SIGKILL)
        await shard.process.restart()
        await reachable(shard)
        for name in names:
            last = answered[name]
            stored = (await shard.control.state(name)).last_seq
            assert stored - last in (0, 1)  # the append in flight may be stored or not
            repeated = await shard.append(name, last + 1, [b"x"])
            assert (repeated.last_seq, repeated.duplicate) == (last + 1, stored == last + 1)
            assert (await shard.append(name, last, [b"x"])).duplicate
        found = await shard.poll(most=1000, wait_ms=1000)
        assert {name: found[name] for name in names} == {name: list(range(1, answered[name] + 2)) for name in names}


async def test_sigkill_keeps_the_import_and_the_seal(tmp_path):
    """A destination killed while it copies goes on where it was; a source killed after the seal still answers it."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 1)
        await source.append("K", 1, [b"x"] * 1000)
        await copied(destination, source, "K", "m", 1)
        await destination.control.begin("K", "m", 1)  # answered after what came before it is on disk; a copy alone is not
        await destination.process.kill()
        await destination.back()
        await source.append("K", 1001, [b"x"] * 10)
        await source.control.pause("K", "m", 1, 20_000)
        progress = await copied(destination, source, "K", "m", 1)
        assert (progress.last_seq, progress.messages) == (1010, 10)
        sealed = await source.control.seal("K", "m", 1, destination.described)
        await source.process.kill()
        await source.back()
        assert await source.control.seal("K", "m", 1, destination.described) == sealed
        await destination.control.resume("K", "m", sealed)
        assert (await destination.append("K", 1010, [b"x"], epoch=2)).duplicate
        with pytest.raises(errors.MovedError):
            await source.append("K", 1011, [b"x"])


async def test_lease_expires_and_the_late_seal_is_refused(tmp_path):
    """A pause refuses appends until its lease ends; then the source serves, and the seal comes too late."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 1)
        await source.append("K", 1, [b"x"])
        state = await source.control.pause("K", "m", 1, 300)
        assert state.ownership is Ownership.PAUSED
        with pytest.raises(errors.PausedError):
            await source.append("K", 2, [b"x"])
        assert await source.poll() == {"K": [1]}
        assert (await source.ack("K", 1)).acked_seq == 1
        start_s = monotonic_s()
        while (await source.control.state("K")).ownership is Ownership.PAUSED:
            assert monotonic_s() < start_s + 5
        assert (await source.append("K", 2, [b"x"])).last_seq == 2
        with pytest.raises(errors.LeaseExpiredError):
            await source.control.seal("K", "m", 1, destination.described)


async def test_fences(tmp_path):
    """Wrong epochs, unknown order params and redirects are refused on every data call, and change nothing."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 5)
        await source.append("K", 1, [b"x"], epoch=5)
        for epoch in (4, 6):
            for call in (
                source.append("K", 2, [b"x"], epoch=epoch),
                source.ack("K", 1, epoch=epoch),
                source.control.pause("K", "m", epoch, 1000),
                source.control.open("K", epoch),
            ):
                with pytest.raises(errors.StaleEpochError) as stale:
                    await call
                assert stale.value.current == 5
        for call in (source.append("?", 1, [b"x"]), source.ack("?", 1), source.poll(order_params=["?"])):
            with pytest.raises(errors.UnknownOrderParamError):
                await call
        with pytest.raises(errors.SequenceGapError) as gap:
            await source.append("K", 3, [b"x"], epoch=5)
        assert gap.value.last_seq == 1
        await migrated(source, destination, "K", "m", 5)
        for call in (source.append("K", 2, [b"x"], epoch=5), source.ack("K", 1, 5), source.poll(order_params=["K"])):
            with pytest.raises(errors.MovedError) as moved:
                await call
            assert (moved.value.endpoint, moved.value.epoch) == (destination.process.endpoint, 6)
        assert (await destination.control.state("K")).last_seq == 1


async def test_oversized_message_changes_nothing(tmp_path):
    """A payload above the limit is BAD_INPUT, one at the limit is stored, and moves in several chunks."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 1)
        with pytest.raises(errors.BadInputError, match="payload"):
            await source.append("K", 1, [b"x", b"x" * (MAX_PAYLOAD_BYTES + 1)])
        with pytest.raises(errors.BadInputError):
            await source.append("K", 1, [bytes(MAX_PAYLOAD_BYTES)] * 17)
        assert (await source.control.state("K")).last_seq == 0
        await source.append("K", 1, [bytes(MAX_PAYLOAD_BYTES)] * 12)
        await migrated(source, destination, "K", "m", 1)
        received = []
        while len(received) < 12:
            found = (await destination.poll(wait_ms=1000))["K"]
            received += found
        assert received == list(range(1, 13))


@pytest.mark.parametrize(
    "request_",
    [
        pb.AppendRequest(order_param="", epoch=1, producer="p", first_producer_seq=1, payloads=[b"x"]),
        pb.AppendRequest(order_param="K" * 600, epoch=1, producer="p", first_producer_seq=1, payloads=[b"x"]),
        pb.AppendRequest(order_param="K", epoch=1, producer="", first_producer_seq=1, payloads=[b"x"]),
        pb.AppendRequest(order_param="K", epoch=1, producer="p", first_producer_seq=0, payloads=[b"x"]),
        pb.AppendRequest(order_param="K", epoch=1, producer="p", first_producer_seq=1),
        pb.AppendRequest(order_param="K", epoch=1, producer="p", first_producer_seq=2**63, payloads=[b"x"]),
    ],
)
async def test_malformed_appends_are_bad_input(tmp_path, request_):
    """What an append lacks is said, and the shard goes on."""
    async with real_shards(tmp_path) as [shard]:
        await shard.control.open("K", 1)
        with pytest.raises(errors.BadInputError):
            await shard.call("Append", request_)
        assert (await shard.append("K", 1, [b"x"])).last_seq == 1


async def test_many_in_one_call_have_their_own_outcomes(tmp_path):
    """In AppendMany and AckMany each request succeeds or fails alone, in the order of the requests."""
    async with real_shards(tmp_path) as [shard]:
        await shard.control.open("K", 1)
        appends = [
            pb.AppendRequest(order_param="K", epoch=1, producer="p", first_producer_seq=1, payloads=[b"a"]),
            pb.AppendRequest(order_param="?", epoch=1, producer="p", first_producer_seq=1, payloads=[b"a"]),
            pb.AppendRequest(order_param="K", epoch=1, producer="p", first_producer_seq=2, payloads=[b"b"]),
        ]
        found = await shard.call("AppendMany", pb.AppendManyRequest(appends=appends))
        assert [outcome.ok.last_seq for outcome in found.outcomes] == [1, 0, 2]
        refused = error_of(status_pb2.Status.FromString(found.outcomes[1].error))
        assert isinstance(refused, errors.UnknownOrderParamError)
        acks = [pb.AckRequest(order_param="K", epoch=1, up_to_seq=2), pb.AckRequest(order_param="K", epoch=9, up_to_seq=2)]
        acked = await shard.call("AckMany", pb.AckManyRequest(acks=acks))
        assert acked.outcomes[0].ok.acked_seq == 2
        assert isinstance(error_of(status_pb2.Status.FromString(acked.outcomes[1].error)), errors.StaleEpochError)


async def test_append_stream_answers_in_order_and_ends_with_the_refusal(tmp_path):
    """A stream of appends is answered one by one; the first that is refused ends it with its error."""
    async with real_shards(tmp_path) as [shard]:
        await shard.control.open("K", 1)

        def requests(numbers):
            return iter(
                [
                    pb.AppendRequest(order_param="K", epoch=1, producer="p", first_producer_seq=number, payloads=[b"x"])
                    for number in numbers
                ]
            )

        stub = ShardDataStub(shard.channel)
        call = answers(stub.AppendStream(requests(range(1, 301)), timeout=10), shard.peer, mutating=True)
        assert [response.last_seq async for response in call] == list(range(1, 301))
        call = answers(stub.AppendStream(requests([301, 400, 302]), timeout=10), shard.peer, mutating=True)
        assert (await anext(call)).last_seq == 301
        with pytest.raises(errors.SequenceGapError):
            await anext(call)


async def test_import_is_the_push_form_of_the_copy(tmp_path):
    """Pushed chunks arrive like pulled ones, and a repeated push adds nothing."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 1)
        for first in (1, 11, 21):
            await source.append("K", first, [b"x"] * (10 if first < 21 else 5))
        export = ShardDataStub(source.channel).Export(pb.ExportRequest(order_param="K", chunk_messages=10))
        exported = [chunk async for chunk in export]
        assert [len(Block.parse(data)) for chunk in exported for data in chunk.blocks] == [10, 10, 5]
        assert [(chunk.last_seq, chunk.acked_seq) for chunk in exported] == [(25, 0)] * 4
        for expected in (25, 0):
            chunks = [pb.ImportChunk(order_param="K", migration_id="m", epoch=1, blocks=chunk.blocks) for chunk in exported]
            call = ShardDataStub(destination.channel).Import(iter(chunks), timeout=5)
            progress = await answer(call, destination.peer, mutating=True)
            assert (progress.last_seq, progress.messages) == (25, expected)


async def test_only_unacknowledged_messages_are_copied(tmp_path):
    """What consumers have acknowledged does not move, also when they do so between copy and seal."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 1)
        await source.append("K", 1, [b"x"] * 100)
        await source.poll()
        await source.ack("K", 40)
        assert (await copied(destination, source, "K", "m", 1)).messages == 60
        await source.append("K", 101, [b"x"] * 50)
        await source.ack("K", 100)
        sealed = await migrated(source, destination, "K", "m", 1)
        assert (sealed.acked_seq, sealed.final_seq, sealed.delivered_seq) == (100, 150, 100)
        assert await destination.poll(wait_ms=1000) == {"K": list(range(101, 151))}
        load = (await destination.control.load()).order_params[0]
        assert (load.messages_total, load.consumed_total, load.bytes_total) == (150, 100, 150)


async def copied_or_zero(destination, source):
    try:
        return (await copied(destination, source, "K", "m", 1)).last_seq
    except errors.ShardUnavailableError:
        return 0


async def test_copy_names_the_source_that_does_not_answer(tmp_path):
    """A copy from a dead source fails with SHARD_UNAVAILABLE, and the destination can be asked again."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await source.control.open("K", 1)
        await source.append("K", 1, [b"x"])
        await source.process.kill()
        with pytest.raises(errors.ShardUnavailableError):
            await copied(destination, source, "K", "m", 1)
        await source.back()
        async with asyncio.timeout(10):
            while (last_seq := await copied_or_zero(destination, source)) == 0:  # noqa: ASYNC110 - bounded
                await asyncio.sleep(0.02)
        assert last_seq == 1
        assert (await destination.control.abort("K", "m")).ownership is Ownership.NONE
        assert [state async for state in destination.control.states()] == []


async def test_service_rate_makes_overload_physical(tmp_path):
    """A capped shard delivers no more than its rate, its CPU use says full, and the backlog and its age are reported."""
    rate = 200.0
    async with real_shards(tmp_path, service_rate_per_s=rate, memory_bytes=1e9) as [shard]:
        described = await shard.control.describe()
        assert (described.capacity.cpu_cores, described.capacity.memory_bytes) == (1.0, 1e9)
        await shard.control.open("K", 1)
        await shard.append("K", 1, [b"x" * 10] * 1000)
        start_s, served = monotonic_s(), 0
        while (spent_s := monotonic_s() - start_s) < 1.5:
            served += sum(map(len, (await shard.poll(wait_ms=100)).values()))
            assert served <= rate * (monotonic_s() - start_s + 0.05) + 1
        assert served >= 0.7 * rate * spent_s
        load = await shard.control.load()
        assert 0.7 <= load.use.cpu_cores <= 1.1
        assert load.served_total == served
        assert load.latency_p99_ms > 0
        assert load.order_params[0].backlog == 1000
        assert load.order_params[0].oldest_age_s >= 1.0


async def test_redelivery_on_request(tmp_path):
    """A consumer that lost its messages asks for them again; another poll does not get them."""
    async with real_shards(tmp_path) as [shard]:
        await shard.control.open("K", 1)
        await shard.append("K", 1, [b"x"] * 3)
        assert await shard.poll("one") == {"K": [1, 2, 3]}
        assert await shard.poll("one") == {}
        assert await shard.poll("two") == {}
        assert await shard.poll("one", redeliver=True) == {"K": [1, 2, 3]}


async def test_start_says_what_is_wrong(tmp_path):
    """A taken port, a file for a directory, a foreign or a broken database: one sentence each, no traceback."""
    async with real_shards(tmp_path) as [shard]:
        taken = ShardProcess(ShardOptions("shard-9", tmp_path / "other"), shard.process.endpoint)
        with pytest.raises(errors.PortInUseError, match="shard shard-9 cannot listen on"):
            await taken.start()
        shared = ShardProcess(ShardOptions("shard-0", tmp_path / "shard-0"))
        with pytest.raises(errors.BadInputError, match="another shard process"):
            await shared.start()
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "shard.sqlite3").write_bytes(b"no database" * 100)
    for where, words in (("file", "cannot use"), ("shard-0", "holds the data of"), ("broken", "not a database")):
        process = ShardProcess(ShardOptions("shard-1", tmp_path / where))
        with pytest.raises(errors.BadInputError, match=words) as caught:
            await process.start()
        assert "Traceback" not in str(caught.value)
        assert not process.running


async def test_wrong_shard_at_an_endpoint_is_noticed(tmp_path):
    """A client that expects another shard at this endpoint says so instead of talking to the wrong one."""
    async with real_shards(tmp_path) as [shard]:
        other = ShardClient("shard-7", shard.process.endpoint)
        with pytest.raises(errors.BadInputError, match="is shard 'shard-0'"):
            await other.describe()
        await other.close()


async def test_sigterm_ends_cleanly(tmp_path):
    """SIGTERM ends the process with exit code 0, and the port is free again."""
    async with real_shards(tmp_path) as [shard]:
        child = psutil.Process(shard.process.pid)
        child.terminate()
        assert await asyncio.to_thread(child.wait, 10) in (0, None)


PARENT = """
import asyncio, sys
from pathlib import Path
from plb_ray.queues.embedded.process import ShardProcess
from plb_ray.queues.embedded.shard import ShardOptions

async def main():
    process = ShardProcess(ShardOptions("shard-0", Path(sys.argv[1])))
    await process.start()
    print(process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_child_dies_with_its_parent(tmp_path):
    """When the program that started a shard is killed, the shard stops by itself."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "s"), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        child = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    await asyncio.to_thread(psutil.wait_procs, [child], 10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_peer_of_a_dead_shard(tmp_path):
    """A call to a shard that was killed raises SHARD_UNAVAILABLE with its name and endpoint."""
    async with real_shards(tmp_path) as [shard]:
        await shard.process.kill()
        with pytest.raises(errors.ShardUnavailableError) as caught:
            await shard.control.state("K")
        assert Peer(caught.value.shard_id, caught.value.endpoint) == shard.peer
