"""What a piece of work carries along, from task to task and from process to process: ids for the log, and the trace.

with named(tick="17"): ...          every line of the log that is written inside has tick=17
carried = what_goes_along()         in the process that asks
with going_along(carried): ...      in the process that answers
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from plb_ray import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_IDS: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("plb_ids", default=())
_OURS = "plb-"


def ids() -> dict[str, str]:
    """Return the ids of the work that goes on, the trace's among them."""
    trace = tracing.current_trace_id()
    return {**dict(_IDS.get()), **({"trace": trace} if trace else {})}


@contextmanager
def named(**given: str) -> Iterator[None]:
    """Add ids while the block runs; tasks that are created inside keep them."""
    token = _IDS.set(tuple({**dict(_IDS.get()), **given}.items()))
    try:
        yield
    finally:
        _IDS.reset(token)


def what_goes_along() -> dict[str, str]:
    """Return the ids and the trace as plain text, for a message to another process; empty if there are none."""
    return {**{_OURS + name: value for name, value in _IDS.get()}, **tracing.carrier()}


@contextmanager
def going_along(carried: Mapping[str, str] | None) -> Iterator[None]:
    """Go on with the work of another process while the block runs."""
    carried = carried or {}
    given = {name.removeprefix(_OURS): value for name, value in carried.items() if name.startswith(_OURS)}
    with named(**given), tracing.joined(carried):
        yield
