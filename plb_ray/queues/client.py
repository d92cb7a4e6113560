"""The producer and consumer client of a queue, from one place.

producer = Producer(QueueResolver("127.0.0.1:7400"), "orders")
receipt = await producer.send("customer-17", [b"first", b"second"])     # stored, in this order
future = producer.enqueue("customer-17", [b"third"])                    # the same without waiting
await producer.flush()
await producer.close()

async def handle(message: Delivered) -> None:
    if not await paid(message.payload):
        raise Retry(delay_s=5)          # comes again; later messages of its order param wait
consumer = Consumer(resolver.endpoints, resolver, handle, "billing-1")
await consumer.run()                    # until `stop`
"""

from plb_ray.queues.consumer import Consumer
from plb_ray.queues.deliveries import Bounds, Delivered
from plb_ray.queues.dispatch import Handler, Retry
from plb_ray.queues.outbox import Receipt
from plb_ray.queues.producer import Producer
from plb_ray.queues.routes import Located, QueueResolver, Resolver, ShardEndpoints

__all__ = [
    "Bounds",
    "Consumer",
    "Delivered",
    "Handler",
    "Located",
    "Producer",
    "QueueResolver",
    "Receipt",
    "Resolver",
    "Retry",
    "ShardEndpoints",
]
