"""A consumer as an OS process: a slow handler that writes down every message it is given.

Evidence: order param, sequence, producer, producer's number, when (monotonic).
"""

from __future__ import annotations

import asyncio
import sys

from plb_ray.client import Consumer, QueueResolver
from plb_ray.clock import monotonic_s
from tests.chaos import lines


async def main(endpoint, name, path, handling_s):
    evidence, pause_s = lines.Evidence(path), float(handling_s)

    async def handle(message):
        evidence.write(message.order_param, message.seq, message.producer, message.producer_seq, monotonic_s())
        await asyncio.sleep(pause_s)

    resolver = QueueResolver(endpoint)
    consumer = Consumer(resolver.endpoints, resolver, handle, name, linger_s=0.002)
    consuming = asyncio.create_task(consumer.run())
    lines.say("ready")
    async for word in lines.words():
        show(consumer, word["order_param"])
    await consumer.stop()
    await consuming
    await resolver.close()


def show(consumer, order_param):
    """Write to the log what the consumer has of an order param that is stuck; the driver then keeps the log."""
    work = consumer._dispatcher._works.get(order_param)
    log = {"leases": vars(consumer._leases), "work": work and {**vars(work), "line": vars(work.line)}}
    sys.stderr.write(f"{order_param}: {log}\n")


if __name__ == "__main__":
    lines.die_with_parent()
    asyncio.run(main(*sys.argv[1:]))
