"""The producer and consumer client of a queue, from one place."""

from plb_ray.queues.consumer import Consumer, Delivered
from plb_ray.queues.outbox import Receipt
from plb_ray.queues.producer import Producer
from plb_ray.queues.routes import Located, QueueResolver, Resolver, ShardEndpoints

__all__ = [
    "Consumer",
    "Delivered",
    "Located",
    "Producer",
    "QueueResolver",
    "Receipt",
    "Resolver",
    "ShardEndpoints",
]
