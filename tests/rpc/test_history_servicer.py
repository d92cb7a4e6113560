"""Samples pushed over gRPC: they arrive as they were sent, and what cannot be meant is refused."""

import asyncio

import numpy as np
import pytest

from plb_ray.clock import wall_time_s
from plb_ray.domain.samples import SAMPLES_MAX, PushOutcome, SampleBatch, SampleKind, Series
from plb_ray.errors import BadInputError, NotReadyError
from plb_ray.rpc import convert
from plb_ray.rpc.channel import open_channel
from plb_ray.rpc.errors import Peer, answer
from plb_ray.rpc.history import HistoryServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import HistoryStub
from plb_ray.settings import BalancerSettings, QueueSettings, Settings
from service.launch import shard_processes
from service.wiring import BalancerSpec, _SamplesDoor, build_balancer

OUTCOME = PushOutcome(1, 2, 3, 4, 5, 6, 7, 8, ("why",))


async def push(endpoint, request):
    channel = open_channel(endpoint)
    try:
        calling = HistoryStub(channel).PushSamples(request, timeout=10)
        return convert.push_outcome_from_pb(await answer(calling, Peer("balancer", endpoint), mutating=True))
    finally:
        await channel.close()


@pytest.fixture
async def taken():
    """What arrived at a server, and where that listens."""
    batches = []

    async def take(batch):
        batches.append(batch)
        return OUTCOME

    server = await start_server("127.0.0.1:0", {"History": HistoryServicer(take)}, "test server")
    yield batches, server.endpoint
    await server.stop()


@pytest.mark.parametrize("kind", SampleKind)
async def test_samples_arrive_as_they_were_sent(taken, kind):
    """Names, times, values (NaN too) and kind cross the wire, and every count of the outcome comes back."""
    batches, endpoint = taken
    series = Series("tenant/7 ☕", np.array([1.5, 2.5]), np.array([float("nan"), 3.0]))
    assert await push(endpoint, convert.samples_to_pb(SampleBatch(kind, (series,)))) == OUTCOME
    assert (batches[0].kind, batches[0].series[0].order_param) == (kind, "tenant/7 ☕")
    np.testing.assert_array_equal(batches[0].series[0].at_s, series.at_s)
    np.testing.assert_array_equal(batches[0].series[0].values, series.values)


async def test_a_kind_that_is_not_said_is_a_rate(taken):
    """The default of the enum is the default of the API."""
    batches, endpoint = taken
    await push(endpoint, pb.PushSamplesRequest(series=[pb.SampleSeries(order_param="a", at_s=[1], values=[1])]))
    assert batches[0].kind is SampleKind.RATE


@pytest.mark.parametrize(
    ("series", "words"),
    [
        (pb.SampleSeries(order_param="a", at_s=[1, 2], values=[1]), "'a': 2 times and 1 values"),
        (pb.SampleSeries(at_s=[1], values=[1]), "a series without an order_param"),
        (pb.SampleSeries(order_param="a", at_s=[1] * 10_001, values=[1] * 10_001), f"more than {SAMPLES_MAX} samples"),
    ],
)
async def test_what_cannot_be_meant_is_refused(taken, series, words):
    """Times without values, a series without a name, too many samples: BAD_INPUT, and nothing is taken."""
    batches, endpoint = taken
    with pytest.raises(BadInputError, match=words):
        await push(endpoint, pb.PushSamplesRequest(series=[series]))
    assert batches == []


async def test_before_there_is_a_control_loop_pushing_is_for_later():
    """Who pushes while the balancer starts is told to come again."""
    with pytest.raises(NotReadyError):
        await _SamplesDoor().take(SampleBatch(SampleKind.RATE, ()))


@pytest.mark.shards
async def test_a_balancer_takes_samples_where_its_queue_listens(tmp_path):
    """On real wiring: samples pushed to the queue's address are in the history, once."""
    settings = Settings(tmp_path / "state", BalancerSettings(step_s=60), QueueSettings(listen="127.0.0.1:0"))
    at_s = (wall_time_s() // 60 - 5) * 60
    series = Series("a", at_s + 60 * np.arange(3), np.arange(1.0, 4.0))
    async with shard_processes(1, tmp_path / "shards", 0.0) as shards:
        runtime = await build_balancer(BalancerSpec(settings, shards, on_ray=False))
        try:
            endpoint = (await runtime.balancer.status()).queue_endpoint
            request = convert.samples_to_pb(SampleBatch(SampleKind.RATE, (series,)))
            assert await push(endpoint, request) == PushOutcome(new=3)
            assert await push(endpoint, request) == PushOutcome(duplicate=3)
            assert (await runtime.balancer.status()).history.pushed == PushOutcome(new=3, duplicate=3)
        finally:
            await runtime.close()
    assert len(asyncio.all_tasks()) == 1
