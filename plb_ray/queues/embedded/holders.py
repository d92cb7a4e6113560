"""Which consumer holds which line: one at a time, by its lease at this shard. No IO; times are passed in.

A holder is on disk before it is given anything (`unsaved`), so that a shard that starts again keeps for it, for one lease,
what it may be at work on; the same consumer gets it at once.

The number of a hold only rises, over all shards of a chain as far as they hear of one another. It says who may read ahead
on a segment that is behind. It does not have to be right for order to be kept: a consumer hands over what it has read
ahead only after everything before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.errors import NotTheHolderError
from plb_ray.queues.embedded.holding import MAX_HOLD_NO, Hold
from plb_ray.queues.embedded.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.queues.embedded.operations import Operation
    from plb_ray.queues.embedded.view import Line


class Holders:
    """Notes holders in lines.

    Args:
        lease_s: how long a silent consumer keeps what it holds.
        least_no: gives the least number of a new hold.
    """

    def __init__(self, lease_s: float, least_no: Callable[[], int]) -> None:
        self.sessions = Sessions(lease_s)
        self._least_no = least_no

    def may_have(self, consumer: str, line: Line) -> bool:
        """Say whether a consumer may be given more of a line."""
        if line.behind:
            return line.holder == consumer
        return not line.held or line.holder == consumer

    def require(self, consumer: str, line: Line) -> None:
        """Let an acknowledgement pass. Raises NotTheHolderError: the line is held by another consumer."""
        if line.held and line.holder != consumer:
            raise NotTheHolderError(line.record.order_param, line.holder)

    def given(self, line: Line, consumer: str) -> None:
        """Note that a consumer is given something of a line. A new holder gets a higher number."""
        if consumer != line.last_holder:
            number = min(max(line.hold_no + 1, self._least_no()), MAX_HOLD_NO)
            self._put(line, consumer, number)
        elif line.holder != consumer:
            self._put(line, consumer, line.hold_no)

    def claims(self, line: Line, consumer: str, number: int) -> bool:
        """Let a consumer that holds the order param elsewhere read ahead here, unless another one has held it since.

        Returns:
            Whether it is the holder now and was not before, so that what is in flight has to be taken back.
        """
        newer = number > line.hold_no
        same = number == line.hold_no and line.last_holder in ("", consumer)
        if not line.behind or not (newer or same):
            return False
        changes = line.holder != consumer
        self._put(line, consumer, number)
        return changes

    def adopt(self, line: Line, now_s: float) -> None:
        """Take over the holder that a line's record names, for one lease: it has moved here, or the shard has started."""
        record = line.record
        line.last_holder, line.hold_no = record.holder, record.hold_no
        if record.holder and (record.acked_seq < record.last_seq or line.behind):
            self.sessions.touch(record.holder, now_s)
            self._put(line, record.holder, record.hold_no)
            line.held_until_seq = 0 if line.in_flight else record.last_seq

    def raised(self, line: Line) -> None:
        """Earlier segments were held under a higher number; if not by who holds this one, that one has fallen behind."""
        if line.record.holder != line.holder:
            self.let_go(line)
            line.delivered_seq = line.record.acked_seq
        line.last_holder, line.hold_no = line.record.holder, line.record.hold_no

    def split_off(self, line: Line) -> None:
        """A line has become a trailing segment: what is noted under its old key is noted under the new one."""
        if line.holder:
            self.sessions.release(line.holder, (line.key[0], 0))
            self.sessions.hold(line.holder, line.key)

    def let_go(self, line: Line) -> None:
        """Free a line."""
        if line.holder:
            self.sessions.release(line.holder, line.key)
        line.holder, line.held_until_seq = "", 0

    def unsaved(self, line: Line) -> Operation | None:
        """Return what has to be durable before anything of the line reaches its holder; None if it is."""
        if (line.record.holder, line.record.hold_no) == (line.last_holder, line.hold_no):
            return None
        return Hold(line.record.epoch, line.last_holder, line.hold_no)

    def _put(self, line: Line, consumer: str, number: int) -> None:
        if line.holder != consumer:
            self.let_go(line)
        line.holder = line.last_holder = consumer
        line.hold_no = number
        self.sessions.hold(consumer, line.key)
