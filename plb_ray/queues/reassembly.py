"""One order param's messages put back into sequence, whatever shards they come from. No IO, no clock.

Each shard delivers its part in order, but an order param may have parts on several shards: it moves, or its segments lie
one behind the other on a chain of shards that are all read at once. A `Line` keeps what comes ahead of sequence, one
contiguous *run* per source (shard and epoch), and gives out what continues the sequence:

    seq <= last handled       a repetition: dropped, counted, acknowledged again (the first ack may be lost)
    continues what is here    kept
    a gap, batch is `behind`  kept: what is missing is on other shards and will come
    a gap, batch is not       if it *leads* (it begins right after what is acknowledged), what is missing was handled by
                              another consumer, and the jump is right: nothing unacknowledged is elsewhere. Else it is
                              refused, and the shard asked for redelivery: it will lead then
    no room                   refused until what is kept of its source is handled, then a Nack has it delivered again.
                              Never if the line has nothing else to hand over: the front always gets through

Nothing is given out that another consumer may have been given:
- not after the lease at its shard has ended (see `leases`);
- not what was read ahead under a lower `hold_no` than one seen since: in between, another consumer held the order param;
  it is nacked, so as to come again under the new one;
- from a segment that was delivered as `behind` only while earlier segments are certain: their acks confirmed, or the lease
  under which they were handled still running. Else another consumer might be at work on their unacknowledged end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from plb_ray.queues.deliveries import Amount, Offer

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.queues.deliveries import Batch, Delivered, Pool, Source

    LeaseNumber = Callable[[str], int]
    """Endpoint -> number of the lease that runs there now, 0 if there is none."""


NO_LEASE = -1  # equal to no lease's number


@dataclass
class _Run:
    """What is kept of one source: consecutive messages, at least one. `batch` is the first one's."""

    batch: Batch
    messages: deque[Delivered]
    behind: bool

    @property
    def first_seq(self) -> int:
        return self.messages[0].seq

    @property
    def last_seq(self) -> int:
        return self.messages[-1].seq


class _Handled(NamedTuple):
    """Handled up to there under this lease; the shard has not confirmed the ack yet."""

    up_to_seq: int
    lease_no: int


class Line:
    """One order param's reassembly. One caller at a time hands over: `take`, the handler, `handled` or `put_back`."""

    def __init__(self, order_param: str, pool: Pool) -> None:
        self.order_param = order_param
        self.handled_seq: int | None = None  # None before the first
        self.hold_no = 0
        self.chained = False  # by its last batch: parts of it are on several shards
        self.kept = Amount()
        self._pool = pool
        self._runs: dict[Source, _Run] = {}
        self._current: _Run | None = None
        self._in_hand: tuple[Delivered, Batch] | None = None
        self._refused: set[Source] = set()  # to be nacked once what is kept of them is handled
        self._returned: dict[Source, bool] = {}  # nacks on their way, and whether a batch was refused meanwhile
        self._unconfirmed: dict[Source, _Handled] = {}
        self._due: dict[Source, int] = {}

    def offer(self, batch: Batch) -> Offer:
        """Keep a batch as far as it is new and has its place, or say what is to be done about it."""
        if batch.source in self._returned:
            self._returned[batch.source] = True
            return Offer.RETURNED
        if not self._held(batch):
            self._drop(batch.source)
            self._refused.add(batch.source)
            return Offer.STALE
        self.chained = batch.behind or batch.followed
        starts = self.handled_seq is None and not batch.behind
        # what was refused while it was behind comes first
        if starts and batch.leads and batch.source not in self._refused:
            run = self._runs.get(batch.source)  # kept while it was behind
            self.handled_seq = (batch.messages[0].seq if run is None else min(run.first_seq, batch.messages[0].seq)) - 1
        if self.handled_seq is not None and batch.messages[-1].seq <= self.handled_seq:
            return self._repeated(batch)
        waits = starts and self.handled_seq is None
        if waits or (self._has_gap(batch) and (batch.source in self._refused or not self._jumps(batch))):
            return Offer.FULL if batch.source in self._refused else self._gap()
        if not self._pool.has_room(self.kept) and not self._is_needed(batch):
            self._refused.add(batch.source)
            self._pool.overflows += 1
            return Offer.FULL
        self._refused.discard(batch.source)
        self._keep(batch)
        return Offer.KEPT

    def take(self, lease_number: LeaseNumber) -> Delivered | None:
        """Return the message that comes next, in hand from now on; None if it is not here or may not be handed over."""
        if self.handled_seq is None:
            return None
        wanted = self.handled_seq + 1
        run = self._current
        if run is None or run.first_seq != wanted or not self._is_ours(run, lease_number):
            run = self._current = self._find(wanted, lease_number)
        if run is None:
            return None
        message = self._pop(run)
        self._in_hand = message, run.batch
        return message

    def handled(self) -> None:
        """The message in hand is done; its ack is due."""
        assert self._in_hand is not None
        message, batch = self._in_hand
        self._in_hand = None
        self.handled_seq = max(self.handled_seq or 0, message.seq)
        self._unconfirmed[batch.source] = _Handled(message.seq, batch.lease_no)
        self._due[batch.source] = message.seq

    def put_back(self) -> Source:
        """The message in hand could not be handled: return the source to nack, from `nack_seq` on."""
        assert self._in_hand is not None
        source = self._in_hand[1].source
        self._in_hand = None
        self.give_back(source)
        return source

    @property
    def nack_seq(self) -> int:
        """From where on any source can be nacked: what is before is handled."""
        return (self.handled_seq or 0) + 1

    def give_back(self, source: Source) -> None:
        """Drop what is kept of a source, to nack it, and refuse more of it until `returned`."""
        self._drop(source)
        self._refused.discard(source)
        self._due.pop(source, None)  # the nack says the same
        self._returned[source] = False

    def refused(self) -> list[Source]:
        """Give back, and return to be nacked, sources of which batches were refused, if all that was kept is handled."""
        if not self._refused:
            return []
        hand = self._in_hand[1].source if self._in_hand is not None else None
        sources = [source for source in self._refused if source not in self._runs and source != hand]
        for source in sources:
            self.give_back(source)
        return sources

    def stuck(self) -> list[Source]:
        """Give back, and return to be nacked, all sources: what was kept has waited too long for what comes before."""
        sources = [] if self._in_hand is not None else list(self._runs)
        for source in sources:
            self.give_back(source)
        return sources

    def returned(self, source: Source) -> bool:
        """A nack was answered: take its source's batches again. True: some came meanwhile, so give it back once more."""
        return self._returned.pop(source)

    def acks_due(self) -> dict[Source, int]:
        """Return the acks to be sent since the last call: source -> up to which sequence."""
        due, self._due = self._due, {}
        return due

    def confirmed(self, source: Source, up_to_seq: int) -> None:
        """The shard has taken an ack."""
        waiting = self._unconfirmed.get(source)
        if waiting is not None and waiting.up_to_seq <= up_to_seq:
            del self._unconfirmed[source]

    def unsure(self, source: Source) -> None:
        """An ack may not have come to the shard that has the segment now, which may deliver the same to another consumer."""
        waiting = self._unconfirmed.get(source)
        if waiting is not None:
            self._unconfirmed[source] = _Handled(waiting.up_to_seq, NO_LEASE)

    def lost(self) -> set[str]:
        """Drop all that is kept: another consumer holds the order param. What was handled is remembered.

        Returns:
            The endpoints to ask for redelivery: of some segments this consumer may still be the holder.
        """
        endpoints = {source.endpoint for source in (*self._runs, *self._refused)}
        for source in tuple(self._runs):
            self._drop(source)
        self._refused.clear()
        for source in self._unconfirmed:
            self.unsure(source)
        self.chained = False
        return endpoints

    def _held(self, batch: Batch) -> bool:
        """Compare the batch's hold with the newest known one; what is kept under older ones is dropped."""
        if batch.hold_no > self.hold_no:
            self.hold_no = batch.hold_no
            for source, run in tuple(self._runs.items()):
                if run.batch.hold_no < batch.hold_no:
                    self._drop(source)
                    self._refused.add(source)
        return batch.hold_no == self.hold_no or not batch.behind

    def _reach(self) -> int:
        """Return up to where nothing is missing, from the message in hand or the last handled one on."""
        assert self.handled_seq is not None
        reach = self.handled_seq if self._in_hand is None else max(self.handled_seq, self._in_hand[0].seq)
        while (
            run := next((run for run in self._runs.values() if run.first_seq <= reach + 1 <= run.last_seq), None)
        ) is not None:
            reach = run.last_seq
        return reach

    def _is_needed(self, batch: Batch) -> bool:
        """Say whether the line would stand still without this batch."""
        return (
            self.handled_seq is not None
            and batch.messages[0].seq <= self.handled_seq + 1
            and self._in_hand is None
            and self._reach() == self.handled_seq
        )

    def _has_gap(self, batch: Batch) -> bool:
        """Say whether something is missing before the batch that should have come by now."""
        first_seq, run = batch.messages[0].seq, self._runs.get(batch.source)
        if run is not None and first_seq <= run.last_seq + 1:
            return False
        if batch.behind:
            return run is not None or batch.source in self._refused
        return first_seq > self._reach() + 1

    def _jumps(self, batch: Batch) -> bool:
        """Jump over a gap if it is right to; say whether that was so."""
        if not batch.leads:
            return False
        self._drop(batch.source)
        if not batch.behind:
            self.handled_seq = batch.messages[0].seq - 1
            self._pool.jumps += 1
        return True

    def _gap(self) -> Offer:
        self._pool.gaps += 1
        return Offer.GAP

    def _repeated(self, batch: Batch) -> Offer:
        self._pool.repetitions += len(batch.messages)
        self._due[batch.source] = max(self._due.get(batch.source, 0), batch.messages[-1].seq)
        return Offer.REPEATED

    def _keep(self, batch: Batch) -> None:
        if not batch.behind:  # what comes before is acknowledged
            first_seq = batch.messages[0].seq
            self._unconfirmed = {key: one for key, one in self._unconfirmed.items() if one.up_to_seq >= first_seq}
        run = self._runs.get(batch.source)
        if run is not None and (batch.messages[0].seq < run.first_seq or run.batch.lease_no != batch.lease_no):
            self._drop(batch.source)  # it is delivered again from here on
            run = None
        after = max(self.handled_seq or 0, run.last_seq if run is not None else 0)
        new = [message for message in batch.messages if message.seq > after]
        self._pool.repetitions += len(batch.messages) - len(new)
        if run is not None:
            run.messages.extend(new)
            run.behind = batch.behind
        elif new:
            self._runs[batch.source] = _Run(batch, deque(new), batch.behind)
        self._count(len(new), sum(len(message.payload) for message in new))

    def _find(self, wanted: int, lease_number: LeaseNumber) -> _Run | None:
        """Return a run that begins with the wanted sequence; drop what is handled already or may be somebody else's."""
        found = None
        for source, run in tuple(self._runs.items()):
            if lease_number(source.endpoint) != run.batch.lease_no:
                self._drop(source)
                continue
            while run.messages and run.first_seq < wanted:
                self._due[source] = self._pop(run).seq
                self._pool.repetitions += 1
            if found is None and run.messages and run.first_seq == wanted and self._is_ours(run, lease_number):
                found = run
        return found

    def _is_ours(self, run: _Run, lease_number: LeaseNumber) -> bool:
        if lease_number(run.batch.source.endpoint) != run.batch.lease_no:
            return False
        return not run.behind or all(
            lease_number(source.endpoint) == handled.lease_no
            for source, handled in self._unconfirmed.items()
            if source != run.batch.source
        )

    def _pop(self, run: _Run) -> Delivered:
        message = run.messages.popleft()
        self._count(-1, -len(message.payload))
        if not run.messages:
            self._runs.pop(run.batch.source, None)
            self._current = None
        return message

    def _drop(self, source: Source) -> None:
        run = self._runs.pop(source, None)
        if run is not None:
            self._count(-len(run.messages), -sum(len(message.payload) for message in run.messages))
            if run is self._current:
                self._current = None

    def _count(self, messages: int, payload_bytes: int) -> None:
        self._pool.lines -= self.kept.messages > 0
        self.kept.add(messages, payload_bytes)
        self._pool.lines += self.kept.messages > 0
        self._pool.kept.add(messages, payload_bytes)
