"""What a delivery hands out, within what limits, and what a seal takes along of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from plb_ray.queues.embedded.ledger import Key
    from plb_ray.queues.embedded.view import Line


class Slice(NamedTuple):
    """A run of one line's messages, first and last included, and what its consumer is told of the line."""

    order_param: str
    epoch: int
    slot: int
    first_seq: int
    last_seq: int
    key: Key
    hold_no: int
    behind: bool
    followed: bool
    acked_seq: int

    @classmethod
    def of(cls, line: Line, first_seq: int, last_seq: int) -> Slice:
        """Return a run of a line."""
        told = (line.key, line.hold_no, line.behind, line.trailing, line.record.acked_seq)
        return cls(line.record.order_param, line.record.epoch, line.slot, first_seq, last_seq, *told)


class Limits(NamedTuple):
    """What one poll may take at most; `in_flight`: of one line, with what is not acknowledged yet; 0: no limit."""

    messages: int
    payload_bytes: int
    in_flight: int = 0


class Cursor(NamedTuple):
    """What a seal takes along of the delivery."""

    delivered_seq: int
    holder: str
    hold_no: int
