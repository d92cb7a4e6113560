"""One function per kind of measurement: sizes in, rows out."""

from __future__ import annotations

import asyncio

import numpy as np

from plb_ray.client import Consumer, Producer
from plb_ray.clock import monotonic_s
from plb_ray.domain.migration import MigrationMode, MigrationStep
from plb_ray.simulation.checker import OrderChecker
from tests.queue_bench.load import Live
from tests.queue_bench.rig import PAYLOAD, rig


async def pauses(backlog, migrations, mode="copy", producers=4):
    """Migrate one order param back and forth under live producers: its pauses, and what the producers noticed."""
    async with rig() as bench:
        await bench.allocate("x", "s0")
        await bench.fill("x", backlog)
        live = Live(bench.resolver, ["x"] * producers)
        async with live.running():
            await asyncio.sleep(0.5)
            found = [await _one_pause(bench, live, n, backlog, mode) for n in range(migrations)]
    pause_ms, stall_ms = np.array([pause for pause, _ in found]), np.array([stall for _, stall in found])
    normal_ms = np.array([took * 1000 for _, took in live.took])
    return [
        {
            "who": f"{mode} {backlog}",
            "migrations": migrations,
            "pause_p50_ms": float(np.median(pause_ms)),
            "pause_p99_ms": _p99(pause_ms),
            "pause_max_ms": float(pause_ms.max()),
            "producer_stall_p50_ms": float(np.median(stall_ms)),
            "producer_stall_max_ms": float(stall_ms.max()),
            "append_p50_ms": float(np.median(normal_ms)),
        }
    ]


async def _one_pause(bench, live, number, backlog, mode):
    if mode == "copy":
        await bench.trim("x", backlog)
    start_s = monotonic_s()
    source, destination = f"s{number % 2}", f"s{(number + 1) % 2}"
    records = await bench.migrate("x", source, destination, MigrationMode(mode))
    end_s = monotonic_s()
    await asyncio.sleep(0.02)
    return records[-1].pause_ms, max(live.latencies_ms(start_s, end_s), default=0.0)


async def copying(messages, others=4):
    """Move a large backlog between shards that others use too: the rate of the copy, and the others' stalls."""
    async with rig() as bench:
        names = [f"other-{n}" for n in range(others)]
        for name, shard_id in zip(names, ("s0", "s1") * others, strict=False):
            await bench.allocate(name, shard_id)
        await bench.allocate("x", "s0")
        await bench.fill("x", messages)
        quiet = await bench.migrate("x", "s0", "s1")
        live = Live(bench.resolver, names)
        async with live.running():
            await asyncio.sleep(1.0)
            before_s = monotonic_s()
            busy = await bench.migrate("x", "s1", "s0")
            latency_ms = np.array(live.latencies_ms(before_s, monotonic_s()))
            quiet_ms = np.array(live.latencies_ms(before_s - 1.0, before_s))
    return [
        {
            "who": f"copy {messages}",
            "copied_per_s": messages / _precopy_s(quiet),
            "copied_per_s_busy": messages / _precopy_s(busy),
            "others_p50_ms": float(np.median(latency_ms)),
            "others_p99_ms": _p99(latency_ms),
            "others_max_ms": float(latency_ms.max()),
            "others_p99_ms_before": _p99(quiet_ms),
        }
    ]


def _precopy_s(records):
    at = {record.step: record.at_s for record in records}
    return at[MigrationStep.PRECOPIED] - records[0].started_s


async def appends(batch, messages, calls):
    """Append to one shard over gRPC, `calls` at a time, each on an order param of its own."""
    async with rig(1) as bench:
        names = [f"x{n}" for n in range(calls)]
        for name in names:
            await bench.allocate(name, "s0")
        payloads, each = [PAYLOAD] * batch, messages // (batch * calls)
        await asyncio.gather(*(bench.append(name, 1, "s0", "p", 1, payloads) for name in names))
        start_s = monotonic_s()
        await asyncio.gather(*(_append_in_turn(bench, name, each, payloads) for name in names))
        took_s = monotonic_s() - start_s
    return [{"who": f"append {batch}", "appended_per_s": each * batch * calls / took_s, "calls_at_once": calls}]


async def _append_in_turn(bench, name, times, payloads):
    for n in range(times):
        await bench.append(name, 1, "s0", "p", 1 + (n + 1) * len(payloads), payloads)


async def many(migrations, backlog, at_once):
    """Move many order params with a small backlog, so many at once."""
    async with rig() as bench:
        names = [f"x{n}" for n in range(migrations)]
        for name in names:
            await bench.allocate(name, "s0")
            await bench.fill(name, backlog)
        gate = asyncio.Semaphore(at_once)

        async def move(name):
            async with gate:
                return (await bench.migrate(name, "s0", "s1"))[-1].pause_ms

        start_s = monotonic_s()
        pause_ms = await asyncio.gather(*(move(name) for name in names))
        took_s = monotonic_s() - start_s
    return [
        {
            "who": f"many {at_once} at once",
            "migrations_per_s": migrations / took_s,
            "pause_p50_ms": float(np.median(pause_ms)),
            "pause_p99_ms": _p99(np.array(pause_ms)),
        }
    ]


async def chains(rate_per_s, seconds, shards=(1, 2, 4)):
    """Consume the backlog of one strictly ordered order param from 1, 2 and 4 shards of a capped service rate."""
    rows = [await _chain(rate_per_s, seconds, count) for count in shards]
    for row in rows:
        row["times_one_shard"] = row["consumed_per_s"] / rows[0]["consumed_per_s"]
        row["share_of_ideal"] = row["times_one_shard"] / row["shards"]
    return rows


async def _chain(rate_per_s, seconds, count):
    checker, backlog = OrderChecker(), int(rate_per_s * seconds * count)
    async with rig(count, service_rate_per_s=rate_per_s) as bench:
        await bench.allocate("x", *bench.shards)
        producer = Producer(bench.resolver, "fill")  # it follows the head
        for done in range(0, backlog, 100):  # in portions, so that the head rotates as it would in life
            await producer.send("x", [PAYLOAD] * min(100, backlog - done))
            await asyncio.sleep(0.01)
        await producer.close()
        loads = await bench.queue.load_metrics()
        stored = [sum(one.backlog for one in (*load.order_params, *load.segments)) for load in loads.shards]
        took_s = await _consume_all(bench, checker, backlog)
    verdict = checker.verdict()
    faults = sum(kind != "lost" and number for kind, number in verdict.violations.items())
    return {
        "who": f"chain of {count}",
        "shards": count,
        "consumed_per_s": backlog / took_s,
        "largest_share_of_backlog": max(stored) / max(1, sum(stored)),
        "faults": faults,
    }


async def _consume_all(bench, checker, backlog):
    done, seen = asyncio.Event(), 0

    def handle(delivered):
        nonlocal seen
        seen += 1
        checker.consumed(delivered.order_param, delivered.seq, delivered.producer, delivered.producer_seq)
        if seen >= backlog:
            done.set()

    consumer = Consumer(bench.resolver.endpoints, bench.resolver, handle, "bench")
    start_s = monotonic_s()
    running = asyncio.create_task(consumer.run())
    async with asyncio.timeout(300):
        await done.wait()
    took_s = monotonic_s() - start_s
    await consumer.stop()
    await running
    return took_s


def _p99(values):
    return float(np.quantile(values, 0.99, method="higher"))
