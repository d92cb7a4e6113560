"""From counters that only grow, read now and then, to messages per step of a regular grid. Pure bookkeeping, no clock.

What arrived between two looks is taken as spread evenly over the time between them, and cut at the grid's lines. A step is
handed out once, when a look at or after its end has been seen, in order and without holes.

    grid     |---- 0 ----|---- 1 ----|---- 2 ----|
    looks        a            b             c          step 0 is never handed out: it was not seen from its start
                                                       step 1 closes at c, from (a, b) and (b, c)

Rules
    first look          sets the counters; nothing arrived yet
    order param missing its shard did not answer: closed steps repeat its last closed value, and when it is back, what
                        arrived in between goes to the steps still open in proportion to time; the rest has been guessed
                        already and is counted in `messages_guessed`
    new order param     if the look before was complete it is new indeed and all its messages are; else they are its past
    counter fell        the order param lost its data and counts from 0 again; what it shows arrived since
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Counter:
    """One order param's last look, what has fallen into the open steps so far, and its last closed value."""

    at_s: float
    total: int
    open_steps: dict[int, float] = field(default_factory=dict)
    last_closed: float = 0.0


class CounterGrid:
    """Counters of all order params on one grid.

    Attributes:
        messages_guessed: messages that arrived unseen in steps that had been closed by repeating the last value.
        counters_fallen: how often a counter went backwards.
    """

    def __init__(self, step_s: int) -> None:
        assert step_s > 0
        self.step_s = step_s
        self.messages_guessed = 0.0
        self.counters_fallen = 0
        self._counters: dict[str, Counter] = {}
        self._next_step: int | None = None
        self._last_at_s = 0.0
        self._last_complete = False
        self._has_closed = False

    def observe(
        self, at_s: float, totals: Mapping[str, int], *, complete: bool = True
    ) -> tuple[tuple[int, dict[str, float]], ...]:
        """Take one look in, and return the steps that it closes.

        Args:
            at_s: time of the look; one that is not after the look before is ignored.
            totals: messages since its beginning of each order param that was seen.
            complete: whether all shards answered.

        Returns:
            (start_s, messages in the step by order param) of each closed step, oldest first, all order params in each.
        """
        if self._next_step is None:
            self._next_step = -int(-at_s // self.step_s)
        elif at_s <= self._last_at_s:
            return ()
        for order_param, total in totals.items():
            self._look_at(order_param, at_s, total)
        self._last_at_s, self._last_complete = at_s, complete
        return tuple(self._close(int(at_s // self.step_s)))

    def _look_at(self, order_param: str, at_s: float, total: int) -> None:
        counter = self._counters.get(order_param)
        if counter is None:
            started = self._last_complete  # only then is everything it counts newer than the look before
            counter = Counter(self._last_at_s, 0) if started else Counter(at_s, total)
            self._counters[order_param] = counter
        arrived = total - counter.total
        if arrived < 0:
            self.counters_fallen += 1
            arrived = total
        if arrived > 0:
            self._spread(counter, at_s, arrived)
        counter.at_s, counter.total = at_s, total

    def _spread(self, counter: Counter, until_s: float, arrived: int) -> None:
        """Spread what arrived since the counter's last look evenly over the time, into the steps still open."""
        assert self._next_step is not None
        per_s = arrived / (until_s - counter.at_s)
        from_s = max(counter.at_s, self._next_step * self.step_s)
        if counter.at_s < self._closed_until_s():
            self.messages_guessed += per_s * (min(self._closed_until_s(), until_s) - counter.at_s)
        for step in range(int(from_s // self.step_s), int(until_s // self.step_s) + 1):
            start_s = step * self.step_s
            part_s = min(until_s, start_s + self.step_s) - max(from_s, start_s)
            if part_s > 0:
                counter.open_steps[step] = counter.open_steps.get(step, 0.0) + per_s * part_s

    def _closed_until_s(self) -> float:
        """Return the end of the last step that was handed out; before the first one, nothing was guessed."""
        assert self._next_step is not None
        return self._next_step * self.step_s if self._has_closed else float("-inf")

    def _close(self, open_step: int) -> list[tuple[int, dict[str, float]]]:
        assert self._next_step is not None
        closed = [(step * self.step_s, self._values(step)) for step in range(self._next_step, open_step)]
        if closed:
            self._has_closed = True
            self._next_step = open_step
        return closed

    def _values(self, step: int) -> dict[str, float]:
        return {order_param: self._value(counter, step) for order_param, counter in self._counters.items()}

    def _value(self, counter: Counter, step: int) -> float:
        """Return the messages of a step that closes, remembering them; repeated if the order param was not seen."""
        arrived = counter.open_steps.pop(step, 0.0)
        seen_until_s = min(counter.at_s, (step + 1) * self.step_s) - step * self.step_s
        if seen_until_s < self.step_s:  # the rest of the step is not known: fill it up with the last value's rate
            arrived += counter.last_closed * (self.step_s - max(0.0, seen_until_s)) / self.step_s
        counter.last_closed = arrived
        return arrived
