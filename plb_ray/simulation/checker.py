"""The checker of order: fed with what producers were told and what consumers were given, it counts every violation.

One instance watches one run: of the tests, of the simulator, of the chaos suite, of the demo. It holds O(order params x
producers) state, whatever the number of messages, so it can watch long runs. It trusts nothing but its inputs: the sequence
numbers that the queue acknowledged and delivered, and who says that it serves.

Per order param:

    at delivery   sequences are gap-free and rise; each producer's own numbers are contiguous; each message comes once (after
                  the client's dedupe); the tokens of the holders do not fall, and each is of one consumer
    at append     a producer's acknowledged sequences rise; epochs do not fall, and a higher epoch's sequences are the later
                  ones; no two shards accept appends in one epoch
    at both       every acknowledged append is delivered
    in time       from the first refused append to the next accepted one no longer than the bound
    on shards     at most one serves at a time

What is not told is not checked: a caller that only feeds `appended` and `consumed` gets the checks of these two.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

KEPT_EXAMPLES = 20
KEPT_EPOCHS = 16  # per order param, whose sequences are compared


class Violation(StrEnum):
    """What can go wrong, as counted in a `Verdict`."""

    REORDERED = "reordered"  # delivered after a later message of its order param
    SKIPPED = "skipped"  # a sequence number was jumped over at delivery
    PRODUCER_ORDER = "producer_order"  # a producer's own numbers are not contiguous at delivery
    DUPLICATED = "duplicated"  # handed to the application twice
    LOST = "lost"  # acknowledged to the producer, never delivered
    EPOCH_FELL = "epoch_fell"  # a lower epoch acknowledged after a higher one
    TWO_OWNERS = "two_owners"  # two shards accepted appends in one epoch, or served at the same time
    SEQUENCE_FELL = "sequence_fell"  # an acknowledged sequence is not above its producer's last one
    PAUSED_LONG = "paused_long"  # appends were refused for longer than the bound
    TWO_HOLDERS = "two_holders"  # a consumer handed on what another one held by then


APART = frozenset({Violation.LOST, Violation.DUPLICATED, Violation.PAUSED_LONG})  # not about order


@dataclass(frozen=True)
class Verdict:
    """What was seen. The counts are of messages; `examples` are at most 20 violations in words."""

    sent: int
    consumed: int
    violations: dict[Violation, int]
    examples: tuple[str, ...]
    pause_s_max: float = 0.0

    @property
    def order_violations(self) -> int:
        """Messages out of order, in any sense."""
        return sum(count for kind, count in self.violations.items() if kind not in APART)

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
class _Reign:
    """One epoch's acknowledged appends: by whom, and between which sequences."""

    shard_id: str
    first_seq: int
    last_seq: int


@dataclass
class _Seen:
    """Per order param. `appended_seq`: per producer, its highest acknowledged sequence; the rest as named."""

    delivered_seq: int = 0
    delivered: int = 0
    acknowledged_seq: int = 0
    producer_seq: dict[str, int] = field(default_factory=dict)
    appended_seq: dict[str, int] = field(default_factory=dict)
    epoch: int = 0
    epoch_shard: str = ""
    reigns: dict[int, _Reign] = field(default_factory=dict)
    refused_at_s: float | None = None
    hold_no: int = 0
    holder: str = ""
    serving: dict[str, int] = field(default_factory=dict)


class OrderChecker:
    """Collects evidence. Call `appended` for each acknowledged append and `consumed` for each delivery, then `verdict`.

    Args:
        pause_s_max: how long appends of an order param may be refused; None: only measured.
    """

    def __init__(self, pause_s_max: float | None = None) -> None:
        self._pause_s_max = pause_s_max
        self._longest_s = 0.0
        self._seen: defaultdict[str, _Seen] = defaultdict(_Seen)
        self._violations: Counter[Violation] = Counter()
        self._examples: list[str] = []
        self._sent = 0
        self._consumed = 0

    def appended(
        self,
        order_param: str,
        last_seq: int,
        messages: int,
        shard_id: str,
        epoch: int,
        *,
        producer: str = "",
        repetition: bool = False,
        at_s: float | None = None,
    ) -> None:
        """Note that `messages` messages ending at `last_seq` were acknowledged by a shard under an epoch.

        `producer`: whose they are, if each of its appends waits for the one before. `repetition`: the shard said that it had
        them already; their sequences may be of an older epoch then. `at_s`: when, on the clock of `refused`.
        """
        seen = self._seen[order_param]
        self._sent += messages
        seen.acknowledged_seq = max(seen.acknowledged_seq, last_seq)
        self._follow_epoch(order_param, seen, shard_id, epoch, strict=not producer)
        if producer:
            first_seq = last_seq - messages + 1
            if first_seq <= seen.appended_seq.get(producer, 0):
                last = seen.appended_seq[producer]
                self._note(Violation.SEQUENCE_FELL, f"{order_param}: {producer} was given {first_seq} after {last}")
            seen.appended_seq[producer] = last_seq
            if not repetition:
                self._reign(order_param, seen, _Reign(shard_id, first_seq, last_seq), epoch)
        if at_s is not None:
            self._end_pause(order_param, seen, at_s)

    def refused(self, order_param: str, at_s: float) -> None:
        """Note that an append was refused because of a pause; times are of one clock, the caller's."""
        seen = self._seen[order_param]
        if seen.refused_at_s is None:
            seen.refused_at_s = at_s

    def serves(self, order_param: str, shard_id: str, epoch: int | None) -> None:
        """Note that from now on a shard takes appends under an epoch, or none (None)."""
        serving = self._seen[order_param].serving
        serving.pop(shard_id, None)
        if epoch is None:
            return
        if serving:
            others = ", ".join(f"{other} in epoch {theirs}" for other, theirs in serving.items())
            self._note(Violation.TWO_OWNERS, f"{order_param}: {shard_id} serves in epoch {epoch}, and so does {others}")
        serving[shard_id] = epoch

    def consumed(
        self, order_param: str, seq: int, producer: str, producer_seq: int, *, holder: str = "", hold_no: int = 0
    ) -> None:
        """Note that a message was handed to the application, after the client's dedupe.

        `holder`, `hold_no`: the consumer that handed it on, and its token; without, that is not checked.
        """
        seen = self._seen[order_param]
        self._consumed += 1
        if hold_no:
            self.held(order_param, holder, hold_no)
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

    def held(self, order_param: str, holder: str, hold_no: int) -> None:
        """Note that a consumer works on an order param by a token: also for what the application dropped as a repetition."""
        seen = self._seen[order_param]
        if hold_no < seen.hold_no or (hold_no == seen.hold_no and holder != seen.holder):
            theirs = f"{seen.holder} holds it by {seen.hold_no}"
            self._note(Violation.TWO_HOLDERS, f"{order_param}: {holder} works by token {hold_no}, {theirs}")
            return
        seen.hold_no, seen.holder = hold_no, holder

    def outstanding(self) -> int:
        """Return how many acknowledged messages have not been delivered yet."""
        return sum(max(0, seen.acknowledged_seq - seen.delivered_seq) for seen in self._seen.values())

    def verdict(self, at_s: float | None = None) -> Verdict:
        """Return what was seen; call it when everything should have been delivered.

        Args:
            at_s: now, on the clock of `refused`: pauses that have not ended are counted up to here.
        """
        violations = Counter(self._violations)
        examples = list(self._examples)
        for order_param, seen in sorted(self._seen.items()):
            missing = seen.acknowledged_seq - seen.delivered_seq
            if missing > 0:
                violations[Violation.LOST] += missing
                examples.append(f"{order_param}: acknowledged up to {seen.acknowledged_seq}, delivered {seen.delivered_seq}")
            if at_s is not None and self._too_long(at_s - (at_s if seen.refused_at_s is None else seen.refused_at_s)):
                violations[Violation.PAUSED_LONG] += 1
                examples.append(f"{order_param}: appends are refused since {seen.refused_at_s}, to the end")
        unseen = self._sent - self._consumed - violations.get(Violation.LOST, 0)
        if unseen > 0:  # acknowledged under a sequence that stood for another message
            violations[Violation.LOST] += unseen
            examples.append(f"{unseen} messages more were acknowledged than were ever delivered")
        kept = tuple(examples[:KEPT_EXAMPLES])
        return Verdict(self._sent, self._consumed, dict(violations), kept, self._longest_s)

    def _follow_epoch(self, order_param: str, seen: _Seen, shard_id: str, epoch: int, *, strict: bool) -> None:
        """Hold an acknowledgement against the newest epoch; `strict`: answers are known to come in the order of appends."""
        if epoch < seen.epoch:
            if strict:
                self._note(Violation.EPOCH_FELL, f"{order_param}: epoch {epoch} after {seen.epoch}")
        elif epoch == seen.epoch and shard_id != seen.epoch_shard:
            self._note(Violation.TWO_OWNERS, f"{order_param}: {shard_id} and {seen.epoch_shard} in epoch {epoch}")
        else:
            seen.epoch, seen.epoch_shard = epoch, shard_id

    def _reign(self, order_param: str, seen: _Seen, new: _Reign, epoch: int) -> None:
        """Hold an append's sequences against all other epochs', and widen its own epoch's range."""
        own = seen.reigns.setdefault(epoch, new)
        if own.shard_id != new.shard_id and epoch != seen.epoch:  # else `_follow_epoch` has noted it
            self._note(Violation.TWO_OWNERS, f"{order_param}: {new.shard_id} and {own.shard_id} in epoch {epoch}")
        own.first_seq, own.last_seq = min(own.first_seq, new.first_seq), max(own.last_seq, new.last_seq)
        for other, reign in seen.reigns.items():
            lower, higher = (reign, new) if other < epoch else (new, reign)
            if other != epoch and lower.last_seq >= higher.first_seq:
                text = (
                    f"{new.first_seq} to {new.last_seq} in epoch {epoch}, {reign.first_seq} to {reign.last_seq} in {other}"
                )
                self._note(Violation.EPOCH_FELL, f"{order_param}: {text}")
        if len(seen.reigns) > KEPT_EPOCHS:
            del seen.reigns[min(seen.reigns)]

    def _end_pause(self, order_param: str, seen: _Seen, at_s: float) -> None:
        if seen.refused_at_s is None:
            return
        pause_s, seen.refused_at_s = at_s - seen.refused_at_s, None
        self._longest_s = max(self._longest_s, pause_s)
        if self._too_long(pause_s):
            self._note(Violation.PAUSED_LONG, f"{order_param}: appends were refused for {pause_s:.3f} s")

    def _too_long(self, pause_s: float) -> bool:
        return self._pause_s_max is not None and pause_s > self._pause_s_max

    def _note(self, kind: Violation, example: str, count: int = 1) -> None:
        self._violations[kind] += count
        if len(self._examples) < KEPT_EXAMPLES:
            self._examples.append(f"{kind}: {example}")
