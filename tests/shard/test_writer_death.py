"""Numbers that no database takes are refused at the border; a writer thread that ends all the same ends the process."""

import asyncio
import sys

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import messages, ownership
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.control import ControlService
from plb_ray.queues.embedded.data import DataService
from plb_ray.queues.embedded.operations import look, transition
from plb_ray.rpc.channel import open_channel
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import ShardControlStub
from tests.shard.test_shard_store import OPEN, opened

HUGE = 2**63
HUGE_OPEN = transition(lambda record, _: ownership.opened(record, HUGE))
UNGUARDED = """
import sys
from plb_ray.queues.embedded import __main__, messages
messages.bounded = lambda request: request
sys.exit(__main__.main(sys.argv[1:]))
"""
RESUME = pb.ResumeRequest(
    order_param="K", migration_id="m", sealed=pb.SealRecord(producers=[pb.ProducerState(producer="p", producer_seq=HUGE)])
)


async def chunks():
    huge = Block.appended(HUGE, "p", 1, (b"x",), 1.0)
    yield pb.ImportChunk(order_param="K", migration_id="m", epoch=1, blocks=[huge.data])


async def test_huge_numbers_are_refused_at_the_border(tmp_path):
    """Whatever carries a number beyond SQLite's range, however deep, is bad input, and the shard goes on."""
    async with opened(tmp_path) as shard:
        control = ControlService(shard)
        for call in (
            control.Open(pb.OpenRequest(order_param="K", epoch=HUGE), None),
            control.UpdateMapping(pb.UpdateMappingRequest(order_param="K", epoch=HUGE), None),
            control.Resume(RESUME, None),
            anext(control.CopyBacklog(pb.CopyBacklogRequest(order_param="K", migration_id="m", epoch=HUGE), None)),
            DataService(shard).Import(chunks(), None),
        ):
            with pytest.raises(errors.BadInputError):
                await call
        assert (await shard.run("K", OPEN)).ownership is Ownership.ACTIVE


def test_what_is_in_range_passes():
    """The largest number allowed is not refused."""
    request = pb.OpenRequest(order_param="K", epoch=messages.MAX_SEQ)
    assert messages.bounded(request) is request


async def test_nobody_waits_for_a_dead_writer(tmp_path):
    """When the writer ends, its batch, what is queued and what comes later fail at once, and the shard says so."""
    async with opened(tmp_path) as shard:
        calls = [shard.run("K", HUGE_OPEN), *(shard.run(f"K{place}", OPEN) for place in range(3))]
        async with asyncio.timeout(5):
            results = await asyncio.gather(*calls, return_exceptions=True)
            await shard.died.wait()
        assert all(isinstance(result, errors.OutcomeUnknownError) for result in results)
        with pytest.raises(errors.ShardUnavailableError):
            await shard.run("K", look)


async def test_process_ends_with_its_writer(tmp_path):
    """A process whose writer has died exits with a code of its own instead of living on without it."""
    arguments = ("-c", UNGUARDED, "--shard-id", "shard-0", "--data", str(tmp_path))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(20):
            endpoint = (await process.stdout.readline()).decode().split()[1]
            async with open_channel(endpoint) as channel:
                await asyncio.gather(
                    ShardControlStub(channel).Open(pb.OpenRequest(order_param="K", epoch=HUGE), timeout=5),
                    return_exceptions=True,
                )
            await process.communicate()
        assert process.returncode == 3
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
