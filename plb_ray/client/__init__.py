"""The client of a queue, for those who send messages and those who consume them: everything an application imports.

    from plb_ray.client import Delivered, Queue, Retry

    async with Queue("127.0.0.1:7070") as queue:
        async with queue.producer("orders") as producer:
            receipt = await producer.send("customer-17", [b"first", b"second"])   # stored, in this order

        async def handle(message: Delivered) -> None:
            if not await paid(message.payload):
                raise Retry(delay_s=5)            # comes again; later messages of its order param wait

        await queue.consumer("billing", handle).run()

`BlockingQueue` is the same without asyncio. What holds whatever moves or dies, and which errors say what: docs/client.md. It
works on every queue whose `QueueControl` lists shards that offer `ShardData` (plb_ray/rpc/v1/queue.proto).
"""

from plb_ray.client.blocking import BlockingProducer, BlockingQueue
from plb_ray.client.queue import Queue
from plb_ray.errors import (
    BadInputError,
    OutcomeUnknownError,
    PermanentError,
    PlbError,
    RetryableError,
    ShardUnavailableError,
    UnknownOrderParamError,
)
from plb_ray.queues.consumer import Consumer
from plb_ray.queues.deliveries import Bounds, Delivered
from plb_ray.queues.dispatch import Handler, Retry
from plb_ray.queues.outbox import Receipt
from plb_ray.queues.producer import Producer
from plb_ray.queues.routes import Located, QueueResolver, Resolver, ShardEndpoints

__all__ = [
    "BadInputError",
    "BlockingProducer",
    "BlockingQueue",
    "Bounds",
    "Consumer",
    "Delivered",
    "Handler",
    "Located",
    "OutcomeUnknownError",
    "PermanentError",
    "PlbError",
    "Producer",
    "Queue",
    "QueueResolver",
    "Receipt",
    "Resolver",
    "Retry",
    "RetryableError",
    "ShardEndpoints",
    "ShardUnavailableError",
    "UnknownOrderParamError",
]
