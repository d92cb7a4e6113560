"""The checker of order: fed with what producers were told and what consumers were given, it counts every violation.

One instance watches one run. It holds O(order params x producers) state, whatever the number of messages, so it can watch
long runs. It trusts nothing but its inputs: the sequence numbers that the queue acknowledged and delivered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

KEPT_EXAMPLES = 20


class Violation(StrEnum):
    """What can go wrong, as counted in a `Verdict`."""

    REORDERED = "reordered"  # delivered after a later message of its order param
    SKIPPED = "skipped"  # a sequence number was jumped over at delivery
    PRODUCER_ORDER = "producer_order"  # a producer's own numbers are not contiguous at delivery
    DUPLICATED = "duplicated"  # handed to the application twice
    LOST = "lost"  # acknowledged to the producer, never delivered
    EPOCH_FELL = "epoch_fell"  # a lower epoch acknowledged after a higher one
    TWO_OWNERS = "two_owners"  # two shards accepted appends in one epoch


@dataclass(frozen=True)
class Verdict:
    """What was seen. The counts are of messages; `examples` are at most 20 violations in words."""

    sent: int
    consumed: int
    violations: dict[Violation, int]
    examples: tuple[str, ...]

    @property
    def order_violations(self) -> int:
        """Messages out of order, in any sense."""
        apart = (Violation.LOST, Violation.DUPLICATED)
        return sum(count for kind, count in self.violations.items() if kind not in apart)

    @property
    def lost(self) -> int:
        """Messages acknowledged and never delivered."""
        return self.violations.get(Violation.LOST, 0)

    @property
    def duplicates(self) -> int:
        """Messages handed to the application twice."""
        return self.violations.get(Violation.DUPLICATED, 0)

    @property
    def clean(self) -> bool:
        """No violation of any kind."""
        return not self.violations


@dataclass
class _Seen:
    """Per order param: the highest sequence delivered and acknowledged, and each producer's last number."""

    delivered_seq: int = 0
    delivered: int = 0
    acknowledged_seq: int = 0
    producer_seq: dict[str, int] = field(default_factory=dict)
    epoch: int = 0
    epoch_shard: str = ""


class OrderChecker:
    """Collects evidence. Call `appended` for each acknowledged append and `consumed` for each delivery, then `verdict`."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, _Seen] = defaultdict(_Seen)
        self._violations: Counter[Violation] = Counter()
        self._examples: list[str] = []
        self._sent = 0
        self._consumed = 0

    def appended(self, order_param: str, last_seq: int, messages: int, shard_id: str, epoch: int) -> None:
        """Note that `messages` messages ending at `last_seq` were acknowledged by a shard under an epoch."""
        seen = self._seen[order_param]
        self._sent += messages
        seen.acknowledged_seq = max(seen.acknowledged_seq, last_seq)
        if epoch < seen.epoch:
            self._note(Violation.EPOCH_FELL, f"{order_param}: epoch {epoch} after {seen.epoch}")
        elif epoch == seen.epoch and shard_id != seen.epoch_shard:
            self._note(Violation.TWO_OWNERS, f"{order_param}: {shard_id} and {seen.epoch_shard} in epoch {epoch}")
        else:
            seen.epoch, seen.epoch_shard = epoch, shard_id

    def consumed(self, order_param: str, seq: int, producer: str, producer_seq: int) -> None:
        """Note that a message was handed to the application, after the client's dedupe."""
        seen = self._seen[order_param]
        self._consumed += 1
        if seq == seen.delivered_seq:
            self._note(Violation.DUPLICATED, f"{order_param}: sequence {seq} twice in a row")
            return
        if seq < seen.delivered_seq:
            self._note(Violation.REORDERED, f"{order_param}: sequence {seq} after {seen.delivered_seq}")
            return
        if seq > seen.delivered_seq + 1:
            skipped = seq - seen.delivered_seq - 1
            self._note(Violation.SKIPPED, f"{order_param}: {skipped} messages jumped over before {seq}", skipped)
        last = seen.producer_seq.get(producer, 0)
        if producer_seq <= last:
            self._note(Violation.DUPLICATED, f"{order_param}: {producer} number {producer_seq} again, as sequence {seq}")
        elif producer_seq != last + 1:
            self._note(Violation.PRODUCER_ORDER, f"{order_param}: {producer} number {producer_seq} after {last}")
        seen.delivered_seq = seq
        seen.delivered += 1
        seen.producer_seq[producer] = producer_seq

    def outstanding(self) -> int:
        """Return how many acknowledged messages have not been delivered yet."""
        return sum(max(0, seen.acknowledged_seq - seen.delivered_seq) for seen in self._seen.values())

    def verdict(self) -> Verdict:
        """Return what was seen; call it when everything should have been delivered."""
        violations = dict(self._violations)
        examples = list(self._examples)
        for order_param, seen in sorted(self._seen.items()):
            missing = seen.acknowledged_seq - seen.delivered_seq
            if missing > 0:
                violations[Violation.LOST] = violations.get(Violation.LOST, 0) + missing
                examples.append(f"{order_param}: acknowledged up to {seen.acknowledged_seq}, delivered {seen.delivered_seq}")
        unseen = self._sent - self._consumed - violations.get(Violation.LOST, 0)
        if unseen > 0:  # acknowledged under a sequence that stood for another message
            violations[Violation.LOST] = violations.get(Violation.LOST, 0) + unseen
            examples.append(f"{unseen} messages more were acknowledged than were ever delivered")
        return Verdict(self._sent, self._consumed, violations, tuple(examples[:KEPT_EXAMPLES]))

    def _note(self, kind: Violation, example: str, count: int = 1) -> None:
        self._violations[kind] += count
        if len(self._examples) < KEPT_EXAMPLES:
            self._examples.append(f"{kind}: {example}")
