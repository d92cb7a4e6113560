"""Reading stored messages off the event loop: for polls by a thread of their own, for copies by others."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.database import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from plb_ray.queues.embedded.blocks import StoredMessage

CHUNK_BYTES = 512 << 10  # of a chunk's payloads; one message may be more
SMALL_MESSAGES = 64  # a block of fewer messages and less than SMALL_BYTES is worth joining with its neighbours
SMALL_BYTES = 32 << 10
COPIES = 2  # that read at the same time
TAIL_MESSAGES = 2_000  # that are given out with a seal, if they are not more than CHUNK_BYTES either


class Readings:
    """The threads and connections. Used in one event loop; `close` it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copies = ThreadPoolExecutor(COPIES, thread_name_prefix="shard-export")
        self._polls = ThreadPoolExecutor(1, thread_name_prefix="shard-poll")
        self._reader = Reader(path)

    def close(self) -> None:
        """Wait for what is being read, and end the threads."""
        self._polls.shutdown()
        self._copies.shutdown()
        self._reader.close()

    async def messages(self, parts: Sequence[tuple[int, int, int]]) -> list[list[StoredMessage]]:
        """Return the messages of each (slot, first_seq, last_seq)."""

        def read() -> list[list[StoredMessage]]:
            return [self._reader.messages(*part) for part in parts]

        return await asyncio.get_running_loop().run_in_executor(self._polls, read)

    async def tail(self, slot: int, first_seq: int, last_seq: int) -> list[Block]:
        """Return all messages of this range of a slot if they are few, else none."""
        count = last_seq - first_seq + 1
        if not 0 < count <= TAIL_MESSAGES:
            return []

        def read() -> list[Block]:
            stored = self._reader.blocks(slot, first_seq, last_seq, count, CHUNK_BYTES)
            return list(handy(stored, count, CHUNK_BYTES)) if sum(map(len, stored)) == count else []

        return await asyncio.get_running_loop().run_in_executor(self._polls, read)

    async def chunks(self, slot: int, first_seq: int, last_seq: int, most_messages: int) -> AsyncIterator[list[Block]]:
        """Yield a slot's messages in order, about `most_messages` or `CHUNK_BYTES` at a time.

        Large blocks come as they are stored, small ones are joined, and too large ones cut. What is yielded next is read
        while the caller works on what it has.
        """
        loop = asyncio.get_running_loop()
        reader = await loop.run_in_executor(self._copies, Reader, self._path)

        def read(seq: int) -> list[Block]:
            stored = reader.blocks(slot, seq, last_seq, most_messages, CHUNK_BYTES)
            return list(handy(stored, most_messages, CHUNK_BYTES))

        ahead = loop.run_in_executor(self._copies, read, first_seq)
        try:
            while chunk := await ahead:
                ahead = loop.run_in_executor(self._copies, read, chunk[-1].last_seq + 1)
                yield chunk
        finally:
            ahead.cancel()
            reader.close()


def handy(blocks: Sequence[Block], most_messages: int, most_bytes: int) -> Iterator[Block]:
    """Yield the same messages in blocks of a good size to send and store."""
    run: list[Block] = []
    count = size = 0
    for block in blocks:
        joins = _is_small(block) and count + len(block) <= most_messages and size + block.payload_bytes <= most_bytes
        if run and not joins:
            yield Block.join(run)
            run, count, size = [], 0, 0
        if block.payload_bytes > most_bytes:
            yield from block.cut(most_messages, most_bytes)
        elif _is_small(block):
            run.append(block)
            count, size = count + len(block), size + block.payload_bytes
        else:
            yield block
    if run:
        yield Block.join(run)


def _is_small(block: Block) -> bool:
    return len(block) < SMALL_MESSAGES and block.payload_bytes < SMALL_BYTES
