"""What a producer has to send of one order param: in which order, in which batch, under which numbers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from plb_ray.queues.routes import Located

BATCH_MESSAGES = 500  # of one order param in one append
BATCH_PAYLOAD_BYTES = 1 << 20


@dataclass(frozen=True)
class Receipt:
    """Where messages were stored: the sequence of the last one, and the shard and epoch that answered for them."""

    last_seq: int
    shard_id: str
    epoch: int


@dataclass(frozen=True)
class Send:
    """What one `send` call gave, and who waits for it."""

    payloads: tuple[bytes, ...]
    payload_bytes: int
    future: asyncio.Future[Receipt]


@dataclass
class Outbox:
    """One order param's way out.

    Attributes:
        stored: number of the last message known to be stored.
        batch: sends of the append in flight or to be repeated; its numbers begin at `stored + 1`.
        busy: somebody (a lane, a timer, a resolving task) has it in hand.
        uncertain: an attempt of the batch had no clear outcome: its numbers may be stored and stay with these messages.
        attempts: refused ones since the last success.
    """

    order_param: str
    waiting: deque[Send] = field(default_factory=deque)
    batch: list[Send] = field(default_factory=list)
    located: Located | None = None
    stored: int = 0
    uncertain: bool = False
    attempts: int = 0
    busy: bool = False
    last_error: str = ""

    def next_batch(self) -> list[Send]:
        """Return what to append next: the batch to be repeated, or a new one of what waits."""
        if not self.batch:
            count = size = 0
            while self.waiting and (not self.batch or (count < BATCH_MESSAGES and size < BATCH_PAYLOAD_BYTES)):
                self.batch.append(self.waiting.popleft())
                count += len(self.batch[-1].payloads)
                size += self.batch[-1].payload_bytes
        return self.batch

    def payloads(self) -> list[bytes]:
        """Return the batch's payloads in order."""
        return [payload for send in self.batch for payload in send.payloads]
