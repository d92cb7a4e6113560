"""What producers and consumers wrote down, read back and fed to the checker.

Producers: each file in its order, merged by the time of the acknowledgement. Consumers: merged by time; a message that
another incarnation of the consumer (or another consumer) handled before is a redelivery, as every at-least-once queue makes
them: counted, and dropped as the application would by its own cursor. Within one incarnation nothing is forgiven.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from plb_ray.simulation.checker import OrderChecker


class Appended(NamedTuple):
    order_param: str
    last_seq: int
    messages: int
    shard_id: str
    epoch: int
    begun_s: float
    acked_s: float


class Consumed(NamedTuple):
    order_param: str
    seq: int
    producer: str
    producer_seq: int
    at_s: float


class Tail:
    """Reads a growing file of JSON lines, only what is new."""

    def __init__(self, path, kind):
        self._path, self._kind, self._offset = path, kind, 0

    def new(self):
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [self._kind(*json.loads(line)) for line in whole.splitlines()]


@dataclass
class Counts:
    """Of one order param, so far."""

    sent: int = 0
    last_acked_seq: int = 0
    consumed_seq: int = 0


class Evidence:
    """All evidence of one stage. `appended` and `consumed`: order param -> list, kept until `forget`."""

    def __init__(self, folder):
        self._folder = folder
        self._tails = {}
        self.appended = defaultdict(list)
        self.consumed = defaultdict(list)
        self.counts = defaultdict(Counts)

    def producer_file(self, incarnation):
        return self._file(f"producer-{incarnation}", Appended)

    def consumer_file(self, incarnation):
        return self._file(f"consumer-{incarnation}", Consumed)

    def read(self):
        """Take in what was written since the last time."""
        for name, tail in self._tails.items():
            for one in tail.new():
                counts = self.counts[one.order_param]
                if isinstance(one, Appended):
                    self.appended[one.order_param].append(one)
                    counts.sent += one.messages
                    counts.last_acked_seq = max(counts.last_acked_seq, one.last_seq)
                else:
                    self.consumed[one.order_param].append((one.at_s, name, one))
                    counts.consumed_seq = max(counts.consumed_seq, one.seq)

    def outstanding(self, order_param):
        """Return how many acknowledged messages are not consumed, by their sequences."""
        self.read()
        counts = self.counts[order_param]
        return max(0, counts.last_acked_seq - counts.consumed_seq)

    def first_ack_s(self, order_param, after_s):
        """Return when the first append that was sent after a time was acknowledged; None if none was."""
        times = (one.acked_s for one in self.appended[order_param] if one.begun_s > after_s)
        return min(times, default=None)

    def first_consumed_s(self, order_param, after_s):
        """Return when a message was first handled after a time; None if none was."""
        return min((at_s for at_s, _, _ in self.consumed[order_param] if at_s > after_s), default=None)

    def verdict(self, order_param):
        """Return the checker's verdict on one order param, and how many messages were redelivered to another incarnation."""
        self.read()
        checker, redelivered = OrderChecker(), 0
        for one in sorted(self.appended[order_param], key=lambda one: one.acked_s):
            checker.appended(one.order_param, one.last_seq, one.messages, one.shard_id, one.epoch)
        handled = {}
        for _, who, one in sorted(self.consumed[order_param]):
            first = handled.setdefault(one.seq, (who, one.producer, one.producer_seq))
            if first[0] != who and first[1:] == (one.producer, one.producer_seq):
                redelivered += 1
                continue
            checker.consumed(one.order_param, one.seq, one.producer, one.producer_seq)
        return checker.verdict(), redelivered

    def forget(self, order_param):
        """Drop what is known of an order param whose case is over."""
        for known in (self.appended, self.consumed, self.counts):
            known.pop(order_param, None)

    def _file(self, name, kind):
        path = self._folder / f"{name}.jsonl"
        self._tails[name] = Tail(path, kind)
        return path
