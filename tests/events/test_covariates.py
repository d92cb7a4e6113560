from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray.domain.events import Event, EventCalendar, covariate_rows, covariates

NAMES = ("a", "tenant-1", "tenant-10", "tenant-2", "a[1]", "x*", "Tenant-1")
KINDS = ("match", "holiday")


def event(event_id, start_s, end_s, scope=(), kind="match"):
    return Event(event_id, kind, "", start_s, end_s, scope)


def shares(*events, names=("a",), start_s=0, step_s=10, steps=4, kinds=("match",)):
    return covariates(EventCalendar(events), kinds, names, start_s, step_s, steps)


@pytest.mark.parametrize(
    ("spans", "wanted"),
    [
        ([(0, 40)], [1, 1, 1, 1]),
        ([(10, 20)], [0, 1, 0, 0]),
        ([(5, 12)], [0.5, 0.2, 0, 0]),
        ([(12, 13), (15, 16)], [0, 0.2, 0, 0]),
        ([(-100, 3), (39, 100)], [0.3, 0, 0, 0.1]),
        ([(0, 10), (0, 10)], [1, 0, 0, 0]),
        ([(0, 7), (5, 12)], [1, 0.2, 0, 0]),
        ([(0, 5), (5, 10)], [1, 0, 0, 0]),
        ([(0, 30), (5, 6)], [1, 1, 1, 0]),
        ([(-20, 0), (40, 60)], [0, 0, 0, 0]),
        ([], [0, 0, 0, 0]),
    ],
)
def test_the_value_is_the_share_of_the_step(spans, wanted):
    """A step's value is the share of it that is covered; what overlaps counts once, what only touches it does not count."""
    found = shares(*(event(f"e{row}", *span) for row, span in enumerate(spans)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, 0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("scope", "named"),
    [
        ((), set(NAMES)),
        (("tenant-1",), {"tenant-1"}),
        (("tenant-*",), {"tenant-1", "tenant-10", "tenant-2"}),
        (("tenant-?",), {"tenant-1", "tenant-2"}),
        (("tenant-[12]",), {"tenant-1", "tenant-2"}),
        (("a[1]",), {"a[1]"}),
        (("x*",), {"x*"}),
        (("?enant-1",), {"tenant-1", "Tenant-1"}),
        (("a", "*-2", "nobody"), {"a", "tenant-2"}),
        (("*",), set(NAMES)),
    ],
)
def test_a_scope_names_order_params(scope, named):
    """Scopes are exact names or patterns; case matters, and a name that looks like a pattern is found by itself."""
    found = shares(event("e", 0, 10, scope), names=NAMES, steps=1)[:, 0, 0]
    assert {name for name, share in zip(NAMES, found, strict=True) if share} == named


def test_each_kind_has_its_column():
    """Columns come in the order asked for; other kinds do not matter; a kind without events is 0."""
    calendar = (event("m", 0, 10), event("h", 10, 20, kind="holiday"), event("c", 0, 40, kind="campaign"))
    found = shares(*calendar, kinds=("holiday", "maintenance", "match"))
    np.testing.assert_array_equal(found[0], [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_shapes_hold_when_something_is_missing():
    """No order params, no kinds, no steps and an empty calendar give arrays of the right shape."""
    one = event("e", 0, 10, ("a",))
    assert shares(one, names=()).shape == (0, 4, 1)
    assert shares(one, kinds=()).shape == (1, 4, 0)
    assert shares(one, steps=0).shape == (1, 0, 1)
    assert not shares().any()


def test_order_params_with_the_same_events_share_a_row():
    """Of 100,000 order params three are in a scope: four rows do; row 0 is everybody else's, with what concerns all."""
    names = tuple(f"tenant-{row}" for row in range(100_000))
    calendar = EventCalendar(
        (event("all", 0, 10), event("two", 10, 20, ("tenant-7", "tenant-8")), event("one", 20, 30, ("tenant-8", "tenant-9")))
    )
    rows, row_of = covariate_rows(calendar, ("match",), names, 0, 10, 3)
    assert rows.shape == (4, 3, 1)
    assert row_of.shape == (100_000,)
    assert np.flatnonzero(row_of).tolist() == [7, 8, 9]
    np.testing.assert_array_equal(rows[0, :, 0], [1, 0, 0])
    np.testing.assert_array_equal(rows[row_of[[7, 8, 9]], :, 0], [[1, 1, 0], [1, 1, 1], [1, 0, 1]])


def test_only_what_is_asked_for_makes_rows():
    """Scopes of other kinds, and of events outside the span, do not split the rows."""
    calendar = EventCalendar(
        (event("other", 0, 10, ("a",), "campaign"), event("past", -10, 0, ("a",)), event("b", 0, 5, ("b",)))
    )
    rows, row_of = covariate_rows(calendar, ("match",), ("a", "b", "c"), 0, 10, 1)
    assert (rows.tolist(), row_of.tolist()) == ([[[0.0]], [[0.5]]], [0, 1, 0])


def test_names_are_not_looked_at_without_need():
    """Where no event with a scope touches the span, no name is compared: the calendar may be long."""

    class Untouchable(tuple):
        __slots__ = ()

        def __iter__(self):
            raise AssertionError("a name was looked at")

    calendar = EventCalendar((event("past", -20, 0, ("*",)), event("now", 0, 10)))
    rows, row_of = covariate_rows(calendar, ("match",), Untouchable(("a", "b")), 0, 10, 1)
    assert (rows.tolist(), row_of.tolist()) == ([[[1.0]]], [0, 0])
    with pytest.raises(AssertionError, match="looked at"):  # the check itself works
        covariate_rows(calendar, ("match",), Untouchable(("a", "b")), -10, 10, 1)


spans = st.tuples(st.integers(-30, 90), st.integers(1, 60))
scopes = st.lists(st.sampled_from(("a", "tenant-1", "tenant-*", "?", "nobody", "*0")), max_size=2).map(tuple)
drawn = st.lists(st.tuples(spans, scopes, st.sampled_from(KINDS)), max_size=8)


@settings(deadline=None, derandomize=True)
@given(drawn)
def test_second_by_second_count_agrees(given_events):
    """Counting each second by itself, one order param and event after the other, gives the same shares."""
    events = [
        event(f"e{row}", start_s, start_s + length_s, scope, kind)
        for row, ((start_s, length_s), scope, kind) in enumerate(given_events)
    ]
    found = shares(*events, names=NAMES[:4], steps=6, kinds=KINDS)
    for row, name in enumerate(NAMES[:4]):
        for column, kind in enumerate(KINDS):
            mine = [
                each
                for each in events
                if each.kind == kind and (not each.scope or any(fnmatchcase(name, pattern) for pattern in each.scope))
            ]
            covered = [any(each.start_s <= second < each.end_s for each in mine) for second in range(60)]
            counted = np.array(covered, dtype=float).reshape(6, 10).mean(axis=1)
            np.testing.assert_allclose(found[row, :, column], counted, atol=1e-6)
