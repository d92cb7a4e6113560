"""The pace of copies: additive increase, multiplicative decrease on the shard's own append latency."""

import asyncio

import pytest

from plb_ray.queues.embedded import pace as pace_module
from plb_ray.queues.embedded.pace import Pace, PaceSettings

SETTINGS = PaceSettings(
    start_bytes_per_s=1000.0, step_bytes_per_s=100.0, least_bytes_per_s=300.0, most_bytes_per_s=1250.0, interval_s=0.1
)


class Clock:
    now_s = 50.0

    def __call__(self):
        return self.now_s


def paced(settings=SETTINGS, **options):
    clock = Clock()
    return Pace(settings, clock, **options), clock


def interval(pace, clock, *latencies_ms):
    """Let an interval with these appends pass, and copy one byte."""
    for latency_ms in latencies_ms:
        pace.appended(latency_ms / 1000)
    clock.now_s += SETTINGS.interval_s * 1.01
    pace.delay_s(1)
    return pace.bytes_per_s


def test_good_intervals_add_up_to_the_most():
    """Each interval with low latency adds one step; the rate ends at its most."""
    pace, clock = paced()
    assert [interval(pace, clock, 5.0, 19.0) for _ in range(4)] == [1100, 1200, 1250, 1250]


def test_bad_intervals_halve_down_to_the_least():
    """Each interval with p99 above the target halves the rate; it ends at its least, and copying never stops."""
    pace, clock = paced()
    assert [interval(pace, clock, 21.0) for _ in range(3)] == [500, 300, 300]
    assert interval(pace, clock, 1.0) == 400


def test_one_slow_append_in_a_hundred_is_no_reason():
    """The 99th percentile counts, not the worst append."""
    pace, clock = paced()
    assert interval(pace, clock, *[1.0] * 199, 500.0) == 1100
    assert interval(pace, clock, *[1.0] * 150, *[500.0] * 2) == 550


def test_nobody_to_protect():
    """Without appends the rate grows: an idle shard copies as fast as it can."""
    pace, clock = paced()
    assert interval(pace, clock) == 1100


def test_latencies_are_forgotten_with_their_interval():
    """A slow append slows copying once, not for as long as it is remembered elsewhere."""
    pace, clock = paced()
    interval(pace, clock, 100.0)
    assert interval(pace, clock, 1.0) == 600


def test_chunks_wait_for_those_before_them():
    """At 1000 bytes/s chunks of 20 bytes go 20 ms apart, and time in which nothing was copied is not saved up."""
    pace, clock = paced()
    assert [pace.delay_s(20) for _ in range(3)] == pytest.approx([0.0, 0.02, 0.04])
    clock.now_s += 0.09
    assert [pace.delay_s(20) for _ in range(2)] == pytest.approx([0.0, 0.02])


def test_cap_holds_whatever_the_latency():
    """A cap given by the operator is never exceeded, also where it is below the least."""
    pace, clock = paced(PaceSettings(cap_bytes_per_s=100.0))
    assert pace.bytes_per_s == 100
    pace.delay_s(10)
    assert pace.delay_s(10) == pytest.approx(0.1)
    assert interval(pace, clock) == 100


async def test_nothing_is_copied_while_the_shard_is_full(monkeypatch):
    """A chunk that has been paid for still waits until the shard can take it."""
    monkeypatch.setattr(pace_module, "FULL_S", 0.0)
    full = [True]
    pace, _ = paced(full=lambda: full[0])
    spending = asyncio.create_task(pace.spend(1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not spending.done()
    full[0] = False
    await asyncio.wait_for(spending, 5)


def test_defaults_do_not_hold_back_an_idle_shard():
    """The start rate and the most allow 100,000 messages of 200 bytes per second and more."""
    assert PaceSettings().start_bytes_per_s >= 100_000 * 210 * 2
