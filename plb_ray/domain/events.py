"""What is known ahead: campaigns, matches, holidays, maintenance, and the order params that each of them concerns.

Reading calendars lives in `plb_ray.ingest`; what a network makes of them, in `models`. Here are the event, the calendar, and
the covariates, an array that says for each order param and step how much of the step each kind of event covers.

Axes: K order params, T steps, E kinds of events, U distinct rows. Times are seconds since the Unix epoch, UTC.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import translate
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Scope = tuple[str, ...]
"""Order params by exact name or glob pattern (`*`, `?`, `[abc]`, case matters); empty: all of them."""

EVENTS_MAX = 10_000
"""Most events of a calendar that is kept: it is read whole, again and again."""

KIND_CHARS_MAX = 64
UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line breaks and halves of characters; all else may stand in a name."""

ID_CHARS_MAX = 400
EARLIEST_S = datetime(1, 1, 2, tzinfo=UTC).timestamp()
LATEST_S = datetime(9999, 12, 30, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Event:
    """Something known ahead that may change the traffic of the order params in its scope.

    Attributes:
        event_id: unique in a calendar.
        kind: a short word as `as_kind` makes it: campaign, match, holiday, maintenance, ...
        name: for people; may be empty.
        start_s, end_s: [start_s, end_s), at least a moment long.
        scope: see `Scope`.

    Raises:
        BadInputError: on construction, naming the event and the field.
    """

    event_id: str
    kind: str
    name: str
    start_s: float
    end_s: float
    scope: Scope = ()

    def __post_init__(self) -> None:
        self._check_words()
        for field, at_s in (("start", self.start_s), ("end", self.end_s)):
            self._require(EARLIEST_S <= at_s <= LATEST_S, field, f"{at_s} is not a time between the years 1 and 9999")
        rule = f"{utc_text(self.end_s)} is not after the start, {utc_text(self.start_s)}; an event lasts some time"
        self._require(self.end_s > self.start_s, "end", rule)

    def _check_words(self) -> None:
        usable_id = 0 < len(self.event_id) <= ID_CHARS_MAX and not UNFIT.search(self.event_id)
        self._require(usable_id, "event_id", f"must have 1 to {ID_CHARS_MAX} characters, none of them a control character")
        usable_kind = (
            0 < len(self.kind) <= KIND_CHARS_MAX and not UNFIT.search(self.kind) and self.kind == as_kind(self.kind)
        )
        rule = f"{self.kind!r} is not a lower-case word of 1 to {KIND_CHARS_MAX} characters without spaces, such as campaign"
        self._require(usable_kind, "kind", rule)
        self._require(not UNFIT.search(self.name), "name", f"{self.name!r} holds control characters")
        for pattern in self.scope:
            usable = bool(pattern) and not UNFIT.search(pattern)
            self._require(usable, "order_params", f"{pattern!r} is neither a name nor a pattern such as tenant-7*")

    def _require(self, holds: bool, field: str, rule: str) -> None:  # noqa: FBT001  a condition, not a mode
        if not holds:
            raise BadInputError(f"event {self.event_id!r}: {field}: {rule}")


@dataclass(frozen=True)
class EventCalendar:
    """Events with distinct ids, kept in the order of time.

    Raises:
        BadInputError: on construction, if two events have one id.
    """

    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        repeated = [event_id for event_id, times in Counter(event.event_id for event in self.events).items() if times > 1]
        if repeated:
            raise BadInputError(f"event {repeated[0]!r}: event_id: used more than once; give each event an id of its own")
        in_order = tuple(sorted(self.events, key=lambda event: (event.start_s, event.event_id)))
        object.__setattr__(self, "events", in_order)

    @cached_property
    def index(self) -> dict[str, Event]:
        """The event of each id."""
        return {event.event_id: event for event in self.events}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that occur, sorted."""
        return tuple(sorted({event.kind for event in self.events}))

    def merged_with(self, other: EventCalendar) -> EventCalendar:
        """Return the events of both; where both have an id, the other's event."""
        return EventCalendar(tuple({**self.index, **other.index}.values()))

    def without(self, event_id: str) -> EventCalendar:
        """Return the calendar without this event; the same if it is not in it."""
        return EventCalendar(tuple(event for event in self.events if event.event_id != event_id))

    def for_span(self, start_s: float, end_s: float) -> EventCalendar:
        """Return the events that touch [start_s, end_s)."""
        return EventCalendar(tuple(event for event in self.events if event.start_s < end_s and event.end_s > start_s))


NO_EVENTS = EventCalendar()


@dataclass(frozen=True)
class CalendarChange:
    """How many of the events that were put into a calendar are new to it, differ from what it held, or were there."""

    added: int
    changed: int
    unchanged: int


def change_of(before: EventCalendar, put: EventCalendar) -> CalendarChange:
    """Return what putting events into a calendar changes."""
    known = [event for event in put.events if event.event_id in before.index]
    unchanged = sum(before.index[event.event_id] == event for event in known)
    return CalendarChange(len(put.events) - len(known), len(known) - unchanged, unchanged)


def as_kind(text: str) -> str:
    """Return a kind as calendars write it ("Public Holiday") as the word that it is here ("public-holiday")."""
    return "-".join(text.casefold().split())


def as_name(text: str) -> str:
    """Return a name as calendars write it, maybe over several lines, as one line."""
    return " ".join(text.split())


def derived_id(kind: str, name: str, start_s: float, end_s: float, scope: Scope) -> str:
    """Return the id of an event whose source gives none: the same content has the same id, on any machine."""
    content = "\0".join((kind, name, repr(float(start_s)), repr(float(end_s)), *sorted(scope)))
    day = utc_text(start_s)[:10] if EARLIEST_S <= start_s <= LATEST_S else "undated"
    return f"{kind}-{day}-{blake2b(content.encode('utf-8', 'replace'), digest_size=5).hexdigest()}"


def utc_text(at_s: float) -> str:
    """Return a time as people and other programs read it, in UTC: 2014-11-27T05:00:00Z."""
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def covariates(
    calendar: EventCalendar, kinds: Sequence[str], order_params: Sequence[str], start_s: float, step_s: float, steps: int
) -> NDArray[np.float32]:
    """Return (K, T, E): the share of each step, 0 to 1, that events of each kind cover for each order param.

    Events of one kind that overlap count once. It is `covariate_rows` written out: 4 K T E bytes, and the time to fill them.
    """
    rows, row_of = covariate_rows(calendar, kinds, order_params, start_s, step_s, steps)
    return rows[row_of]


def covariate_rows(
    calendar: EventCalendar, kinds: Sequence[str], order_params: Sequence[str], start_s: float, step_s: float, steps: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the covariates with one row for all order params that the same events concern.

    Args:
        calendar: whose events outside the span or of other kinds do not matter.
        kinds: (E,) in the order in which they are wanted.
        order_params: (K,) names, each once.
        start_s: start of the first step.
        step_s: length of a step in seconds.
        steps: T.

    Returns:
        (U, T, E) rows and, for each order param, its row (K,): order param k has `rows[row_of[k]]`. Row 0 is that of order
        params that no scope names; U is at most 1 + the number of sets of scopes that occur together.

    Cost: with the events of the span and kinds, O(U E (events + T)) for the rows. For each distinct glob among their scopes
    one look at each name, some K x 0.25 us; exact names cost an index of all names, some K x 0.15 us. Without a scope in
    the span no name is looked at.
    """
    wanted = set(kinds)
    span = calendar.for_span(start_s, start_s + step_s * steps)
    by_scope: defaultdict[Scope, list[Event]] = defaultdict(list)
    for event in span.events:
        if event.kind in wanted:
            by_scope[event.scope].append(event)
    for_all = by_scope.pop((), [])
    groups, row_of = _grouped(tuple(by_scope), order_params)
    edges_s = start_s + step_s * np.arange(steps + 1, dtype=np.float64)
    rows = np.zeros((len(groups), steps, len(kinds)), dtype=np.float32)  # (U, T, E)
    for row, scopes in enumerate(groups):
        events = [*for_all, *(event for scope in scopes for event in by_scope[scope])]
        for column, kind in enumerate(kinds):
            rows[row, :, column] = _covered([event for event in events if event.kind == kind], edges_s)
    return rows, row_of


def _covered(events: list[Event], edges_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T,) the share of each step between `edges_s` (T + 1,) that at least one event covers."""
    if not events:
        return np.zeros(len(edges_s) - 1)
    spans_s = np.array(_joined(events))  # (spans, 2) in order of time, apart from each other
    lengths_s = spans_s[:, 1] - spans_s[:, 0]
    until_s = np.cumsum(lengths_s)
    # Seconds covered before a moment: level between spans, rising by one a second within them.
    before_s = np.interp(edges_s, spans_s.ravel(), np.stack([until_s - lengths_s, until_s], axis=1).ravel())
    shares: NDArray[np.float64] = np.clip(np.diff(before_s) / np.diff(edges_s), 0.0, 1.0)
    return shares


def _joined(events: list[Event]) -> list[tuple[float, float]]:
    """Return the spans that the events cover together, in order, none touching another."""
    joined: list[tuple[float, float]] = []
    for start_s, end_s in sorted((event.start_s, event.end_s) for event in events):
        if joined and start_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((start_s, end_s))
    return joined


def _grouped(scopes: tuple[Scope, ...], order_params: Sequence[str]) -> tuple[list[tuple[Scope, ...]], NDArray[np.intp]]:
    """Return the sets of scopes that occur together, first the empty one, and which set each order param (K,) has."""
    named: defaultdict[int, list[Scope]] = defaultdict(list)
    index = {name: row for row, name in enumerate(order_params)} if scopes else {}
    for scope in scopes:
        for row in _rows_in(scope, index):
            named[row].append(scope)
    groups: dict[tuple[Scope, ...], int] = {(): 0}
    row_of = np.zeros(len(order_params), dtype=np.intp)
    for row, together in named.items():
        row_of[row] = groups.setdefault(tuple(together), len(groups))
    return list(groups), row_of


def _rows_in(scope: Iterable[str], index: dict[str, int]) -> set[int]:
    """Return the rows of the order params that a scope names; a name that looks like a pattern is found by itself, too."""
    rows = {index[pattern] for pattern in scope if pattern in index}
    globs = [pattern for pattern in scope if any(sign in pattern for sign in "*?[")]
    if globs:
        matches = re.compile("|".join(translate(pattern) for pattern in globs)).match
        rows.update(row for name, row in index.items() if matches(name))
    return rows
