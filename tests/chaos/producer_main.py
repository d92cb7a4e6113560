"""A producer as an OS process: sends to the order params it is told, and writes down every acknowledged append.

Evidence: order param, last sequence, messages, shard, epoch, when the send began, when it was acknowledged (monotonic).
"""

from __future__ import annotations

import asyncio
import sys

from plb_ray.client import Producer, QueueResolver
from plb_ray.clock import monotonic_s
from plb_ray.errors import PlbError
from tests.chaos import lines

SEND_S = 120.0  # longer than any case: a case that times out says more than a send


class Sending:
    """The loops that send, one per order param."""

    def __init__(self, endpoint, name, evidence):
        self._resolver = QueueResolver(endpoint)
        self._producer = Producer(self._resolver, name, timeout_s=SEND_S, create=False)
        self._evidence = evidence
        self._wanted = {}

    def begin(self, order_param, payload_bytes, batch, gap_s, bulk):
        self._wanted[order_param] = asyncio.create_task(self._send(order_param, bytes(payload_bytes), batch, gap_s, bulk))

    def end(self, order_param):
        """Stop after the append in flight; says `stopped` then."""
        self._wanted.pop(order_param, None)

    async def close(self):
        self._wanted.clear()
        await self._producer.close()
        await self._resolver.close()

    async def _send(self, order_param, payload, batch, gap_s, bulk):
        try:
            while order_param in self._wanted:
                count = min(bulk, 400) or batch
                bulk = max(0, bulk - count)
                begun_s = monotonic_s()
                receipt = await self._producer.send(order_param, [payload] * count)
                stored = (receipt.last_seq, count, receipt.shard_id, receipt.epoch)
                self._evidence.write(order_param, *stored, begun_s, monotonic_s())
                await asyncio.sleep(0 if bulk else gap_s)
        except PlbError as error:
            lines.say("refused", order_param=order_param, why=f"{type(error).__name__}: {error}")
        lines.say("stopped", order_param=order_param)


async def main(endpoint, name, path):
    sending = Sending(endpoint, name, lines.Evidence(path))
    lines.say("ready")
    async for word in lines.words():
        if word.pop("do") == "begin":
            sending.begin(**word)
        else:
            sending.end(**word)
    await sending.close()


if __name__ == "__main__":
    lines.die_with_parent()
    asyncio.run(main(*sys.argv[1:]))
