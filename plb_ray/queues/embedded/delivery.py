"""Which message is served next, and to whom: oldest first over the whole shard, at the shard's service rate.

Rules, per order param:
- messages are handed out in order, each once, and are in flight until acknowledged (cumulatively);
- one consumer holds an order param while it may be at work on messages of it, and gets more. It loses it when it has been
  silent for a lease (see `sessions`), or at once when another consumer names the order param in its poll;
- what was in flight then, and for a consumer that asks for redelivery, is handed out again before anything newer. So is
  what may have been in flight when the shard started again: the last known holder gets it at once, others after a lease;
- a negative acknowledgement puts a message back: it is the next one, and not before its time;
- nothing is handed out while a seal is under way, so that the destination is told of everything in flight;
- an order param that has just moved here goes on with the holder that the seal names, right after what is in flight. What is
  not acknowledged after a lease comes again: the holder may have lost it on the way from the other shard.

A segment that is *behind* (earlier messages are elsewhere, not consumed) is handed only to the holder: the one that the seal
named, or one that shows a higher hold number, which comes with messages of an earlier segment. It reads ahead, so much that
it can keep it in memory; earlier segments on the same shard come first. The segments of a chain stay with their holder until
its lease ends. See `holders`.

A heap holds (time of the first waiting message, key, sequence) per line. Entries are never removed when they become stale:
one that does not name its line's next message is dropped when it surfaces. Cost: O(log K) per run of messages.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

from plb_ray.clock import wall_time_s
from plb_ray.errors import PausedError, UnknownOrderParamError
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import ownership
from plb_ray.queues.embedded.holders import Holders
from plb_ray.queues.embedded.slices import Cursor, Limits, Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from plb_ray.queues.embedded.ledger import Committed, Key
    from plb_ray.queues.embedded.operations import Operation
    from plb_ray.queues.embedded.tokens import TokenBucket
    from plb_ray.queues.embedded.view import Line, View

Head = tuple[float, "Key", int]  # appended_s, line, sequence


class Delivery:
    """Hands out messages of the lines of a `View`. Single-threaded; times are monotonic seconds passed in.

    Args:
        view: the lines.
        bucket: the service rate.
        lease_s: how long a silent consumer keeps what it holds.
        hold_no: gives the least number of a new hold; it must not fall when the shard starts again.
    """

    def __init__(
        self,
        view: View,
        bucket: TokenBucket,
        lease_s: float,
        hold_no: Callable[[], int] = lambda: int(wall_time_s() * 1e6),
    ) -> None:
        self._holders = Holders(lease_s, hold_no)
        self._sessions = self._holders.sessions
        self._view = view
        self._bucket = bucket
        self._heads: list[Head] = []
        self._later: list[tuple[float, Key]] = []  # put back, and when their time comes
        self._arrived: deque[tuple[float, Line, int]] = deque()  # moved here: until when, and up to where, acks may come
        self._rest_until_s = 0.0

    def committed(self, news: Committed, now_s: float) -> None:
        """Take over one operation's outcome."""
        name, segment = news.record.order_param, news.segment
        own, known = self._view.lines.get((name, 0)), self._view.lines.get((name, segment))
        was_imported = known is not None and known.record.ownership is Ownership.IMPORTING
        line = self._view.apply(news)
        if news.record.ownership is Ownership.NONE:
            self._holders.let_go(line)
            self._view.remove(line)
            return
        if segment and line is own:
            self._holders.split_off(line)
        elif line.served and (known is None or was_imported):
            if was_imported:
                self._arrive(line, now_s)
            self._holders.adopt(line, now_s)
        elif line.record.hold_no > line.hold_no and line.served:
            self._holders.raised(line)
            self._repeat(line)
        if line.holder and not line.held:
            self._holders.let_go(line)
        self._push(line)
        for near in self._view.brought_near(name):
            self._push(near)

    def take(
        self,
        consumer: str,
        names: Sequence[str],
        limits: Limits,
        now_s: float,
        holds: Mapping[str, int] | None = None,
        *,
        again: bool = False,
    ) -> list[Slice]:
        """Return the next messages for a consumer, in flight from now on; empty if there are none or no tokens.

        They may reach it once `unsaved` is done.

        Args:
            consumer: who asks.
            names: only these order params; none: all that the shard serves.
            limits: of this poll.
            now_s: monotonic time.
            holds: order params that it holds by what another shard has delivered, and its hold numbers.
            again: a later look for the same poll: the consumer has not been heard of since.

        Raises:
            UnknownOrderParamError, MovedError, PausedError: about the first named order param that is not served here.
        """
        self._expire(now_s)
        if not again:
            self._heard(consumer, names, holds or {}, now_s)
        heads = self._named_heads(names) if names else self._heads
        if now_s < self._rest_until_s:
            return []
        budget = min(limits.messages, self._bucket.available(now_s))
        if budget < 1:
            self._rest_until_s = now_s + self._bucket.wait_s(limits.messages, now_s)
            return []
        slices = self._collect(consumer, heads, limits._replace(messages=int(budget)), now_s)
        for line in (line for name in names for line in self._view.of(name)):
            self._push(line)
        self._bucket.take(sum(part.last_seq - part.first_seq + 1 for part in slices), now_s)
        if slices:
            self._sessions.touch(consumer, now_s)
        return slices

    def unsaved(self, slices: Sequence[Slice]) -> list[tuple[str, int, Operation]]:
        """Return what has to be durable before these reach their consumer: (order param, segment, operation).

        It is to be submitted before anything else is, so that a seal or an acknowledgement comes after it.
        """
        found = ((part, self._holders.unsaved(self._view.lines[part.key])) for part in slices)
        return [(part.order_param, part.epoch, hold) for part, hold in found if hold is not None]

    def still_held(self, consumer: str, part: Slice) -> bool:
        """Say whether what was taken may still reach its consumer: nobody else has taken the order param over since."""
        line = self._view.line(part.order_param, part.epoch)
        return line is not None and line.holder in ("", consumer) and line.hold_no == part.hold_no

    def wait_s(self, now_s: float) -> float:
        """Return after how long `take` may answer otherwise although nothing is committed meanwhile."""
        wake_s = self._sessions.next_end_s()
        for due in (self._later, self._arrived):
            wake_s = min(wake_s, due[0][0]) if due else wake_s
        if now_s < self._rest_until_s:
            wake_s = min(wake_s, self._rest_until_s)
        return max(0.0, wake_s - now_s)

    def hold(self, order_param: str) -> tuple[Cursor, Callable[[], None]]:
        """Deliver nothing more of an order param's own line; return its cursor, and what ends the hold."""
        line = self._view.lines.get((order_param, 0))
        if line is None:
            return Cursor(0, "", 0), lambda: None
        line.sealing += 1
        return Cursor(line.delivered_seq, line.holder, line.hold_no), lambda: self._release(line)

    def require_holder(self, consumer: str, order_param: str, epoch: int, now_s: float) -> None:
        """Let an acknowledgement pass, and renew the consumer's lease.

        Raises:
            NotTheHolderError: another consumer holds it.
        """
        line = self._view.line(order_param, epoch)
        if line is not None:
            self._holders.require(consumer, line)
        if consumer:
            self._sessions.touch(consumer, now_s)

    def postpone(self, order_param: str, epoch: int, delay_s: float, now_s: float) -> None:
        """Put back what is in flight of a line, and hand out nothing of it before the delay has passed.

        Raises:
            PausedError: a seal is under way, or was made, that says it is in flight: to be repeated, here or there.
        """
        line = self._view.line(order_param, epoch)
        if line is None or not line.served or line.sealing:
            raise PausedError(order_param, ownership.RETRY_MS)
        self._put_off(line, now_s + delay_s)
        self._take_back(line)

    def redeliver(self, consumer: str) -> None:
        """Take back everything that a consumer has in flight. It stays the holder."""
        for line in map(self._view.lines.get, self._sessions.held(consumer)):
            if line is not None and line.holder == consumer and line.in_flight:
                self._repeat(line)

    def give_back(self, slices: Sequence[Slice]) -> None:
        """Undo a `take` that did not reach its consumer."""
        for part in slices:
            line = self._view.line(part.order_param, part.epoch)
            if line is not None and line.slot == part.slot:
                line.delivered_seq = max(line.record.acked_seq, min(line.delivered_seq, part.first_seq - 1))
                self._push(line)

    def _collect(self, consumer: str, heads: list[Head], limits: Limits, now_s: float) -> list[Slice]:
        """Take the oldest messages off `heads` within the limits."""
        runs: dict[Key, tuple[int, int]] = {}
        skipped: list[Head] = []
        messages, payload_bytes = 0, 0
        while heads and messages < limits.messages and payload_bytes < limits.payload_bytes:
            head = heapq.heappop(heads)
            named = self._line_of(head, heads, now_s)
            if named is None:
                continue
            line = self._first_of(named, now_s)
            room = limits.in_flight - line.in_flight if limits.in_flight else limits.messages
            if room < 1 or not self._holders.may_have(consumer, line):
                skipped.append(head)
                continue
            first_seq = line.delivered_seq + 1
            left = Limits(min(room, limits.messages - messages), limits.payload_bytes - payload_bytes)
            count, size = self._run(line, heads, left)
            self._holders.given(line, consumer)
            messages, payload_bytes = messages + count, payload_bytes + size
            runs[line.key] = (runs.get(line.key, (first_seq, 0))[0], line.delivered_seq)
            self._push(line, heads)
            if line is not named:
                self._push(named, heads)
        for head in skipped:
            self._push(self._view.lines[head[1]], heads)
        return [Slice.of(self._view.lines[key], *run) for key, run in runs.items()]

    def _run(self, line: Line, heads: list[Head], limits: Limits) -> tuple[int, int]:
        """Hand out a line's messages until those of another one are older; return how many, and their bytes."""
        oldest_s = heads[0][0] if heads else float("inf")
        waiting = line.waiting
        count = size = 0
        while count < min(waiting, limits.messages) and size < limits.payload_bytes:
            seq = line.delivered_seq + 1
            if count and line.index.appended_s(seq) > oldest_s:
                break
            size += line.index.size(seq)
            line.delivered_seq, count = seq, count + 1
        return count, size

    def _line_of(self, head: Head, heads: list[Head], now_s: float) -> Line | None:
        """Return the line whose next message a head names; None if the head is stale, or its time has not come."""
        line = self._view.lines.get(head[1])
        if line is None:
            return None
        if heads is self._heads and line.head_seq == head[2]:
            line.head_seq = 0
        if line.not_before_s > now_s:
            return None
        return line if line.waiting > 0 and line.delivered_seq + 1 == head[2] else None

    def _first_of(self, line: Line, now_s: float) -> Line:
        """Return the line, or an earlier segment that waits here: stamps tell no order, a clock may have jumped."""
        if not line.behind:
            return line
        return next(near for near in self._view.of(line.key[0]) if near.waiting > 0 and near.not_before_s <= now_s)

    def _heard(self, consumer: str, names: Sequence[str], holds: Mapping[str, int], now_s: float) -> None:
        """Renew a consumer's lease, and let it have what it claims, or takes over by naming it."""
        self._sessions.touch(consumer, now_s)
        for name, number in holds.items():
            for line in self._view.of(name):
                if self._holders.claims(line, consumer, number):
                    self._take_back(line)
                self._push(line)
        for line in (line for name in names for line in self._view.of(name)):
            if line.held and line.holder != consumer and not line.behind:
                self._holders.let_go(line)
                self._take_back(line)

    def _named_heads(self, names: Sequence[str]) -> list[Head]:
        """Return a heap of the named order params alone."""
        heads: list[Head] = []
        for name in names:
            lines = [line for line in self._view.of(name) if line.served]
            if not lines:
                ownership.require(self._view.record(name, 0.0), 0, append=False)
                raise UnknownOrderParamError(name)
            for line in lines:
                self._push(line, heads)
        return heads

    def _push(self, line: Line, heads: list[Head] | None = None) -> None:
        """Put a line's next message on a heap (the shard's, if none is given), unless it is there."""
        seq = line.delivered_seq + 1
        if line.waiting <= 0:
            return
        head = (line.index.appended_s(seq), line.key, seq)
        if heads is not None and heads is not self._heads:
            heapq.heappush(heads, head)
        elif line.head_seq != seq:
            line.head_seq = seq
            heapq.heappush(self._heads, head)

    def _arrive(self, line: Line, now_s: float) -> None:
        """Begin to serve an order param that has moved here, after what is in flight."""
        record, after_s = line.record, now_s + self._sessions.lease_s
        if record.holder:
            line.delivered_seq = max(record.acked_seq, min(record.delivered_seq, record.last_seq))
            self._arrived.append((after_s, line, line.delivered_seq))
        elif record.delivered_seq > record.acked_seq:  # the seal does not tell who is at work on it
            self._put_off(line, after_s)

    def _put_off(self, line: Line, until_s: float) -> None:
        line.not_before_s = until_s
        heapq.heappush(self._later, (until_s, line.key))

    def _repeat(self, line: Line) -> None:
        """Take back what is in flight, for its holder alone."""
        line.held_until_seq = max(line.held_until_seq, line.delivered_seq)
        self._take_back(line)

    def _take_back(self, line: Line) -> None:
        line.delivered_seq = line.record.acked_seq
        self._push(line)

    def _release(self, line: Line) -> None:
        line.sealing -= 1
        if self._view.lines.get(line.key) is line:
            self._push(line)

    def _expire(self, now_s: float) -> None:
        """Free what silent consumers held, and bring back what was put off."""
        for consumer, keys in self._sessions.ended(now_s):
            for line in (self._view.lines[key] for key in keys if key in self._view.lines):
                if line.holder == consumer:
                    self._holders.let_go(line)
                    self._take_back(line)
        while self._arrived and self._arrived[0][0] <= now_s:
            _, line, seq = self._arrived.popleft()
            if line.record.acked_seq < min(seq, line.delivered_seq) and line.served:
                self._repeat(line)
        while self._later and self._later[0][0] <= now_s:
            name, _ = heapq.heappop(self._later)[1]
            for line in self._view.of(name):  # all: it may have become a trailing segment meanwhile
                line.head_seq = 0
                self._push(line)
