"""Samples at any times to cells of the grid: rates, counters, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plb_ray.domain.samples import REASONS_MAX, PushOutcome, SampleBatch, SampleKind, Series
from plb_ray.history.samples import to_cells

STEP_S = 60
LATE = 1e9


def batch(kind, **points):
    """Return a batch from order param = [(time, value), ...]; a name with a number after __ is one more series of it."""
    series = []
    for name, pairs in points.items():
        at_s, values = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
        series.append(Series(name.split("__")[0], at_s, values))
    return SampleBatch(kind, tuple(series))


def gridded(made, until_s=LATE):
    """Return cells as {(order param, step number): rate}, and the outcome."""
    cells, outcome = to_cells(made, STEP_S, until_s)
    keys = zip((cells.names[column] for column in cells.columns), (cells.starts_s // STEP_S).tolist(), strict=True)
    return dict(zip(keys, cells.rates.astype(float).tolist(), strict=True)), outcome


def test_rates_are_averaged_over_their_step():
    """The samples of a step, in whatever order they come, are one cell with their mean."""
    found, outcome = gridded(batch(SampleKind.RATE, a=[(119, 4), (60, 2), (0, 1)], b=[(60, 7)]))
    assert found == {("a", 0): 1, ("a", 1): 3, ("b", 1): 7}
    assert outcome == PushOutcome()


def test_a_counter_is_cut_at_the_grid_lines():
    """Only steps that lie between samples have cells; what was counted across a line is shared in proportion."""
    found, outcome = gridded(batch(SampleKind.COUNTER, a=[(30, 1000), (90, 1060), (150, 1180), (170, 1180)]))
    assert found == {("a", 1): pytest.approx((30 + 60) / 60)}
    assert outcome == PushOutcome()


def test_a_counter_that_fell_started_anew():
    """A reset is counted, and what the counter shows after it arrived since."""
    found, outcome = gridded(batch(SampleKind.COUNTER, a=[(0, 500), (60, 560), (120, 30), (180, 90)]))
    assert found == {("a", 0): 1.0, ("a", 1): 0.5, ("a", 2): 1.0}
    assert outcome == PushOutcome(resets=1)


def test_a_gap_in_a_counter_loses_nothing():
    """What was counted in a gap is spread over it."""
    found, _ = gridded(batch(SampleKind.COUNTER, a=[(0, 0), (600, 1200)]))
    assert found == {("a", step): pytest.approx(2.0) for step in range(10)}


def test_one_sample_of_a_counter_says_nothing():
    """A counter needs two looks; one gives no cell and is no fault."""
    assert gridded(batch(SampleKind.COUNTER, a=[(0, 5)])) == ({}, PushOutcome())


def test_the_last_of_repeated_times_counts():
    """Two samples of one time: the one that came last, and the repeat is counted."""
    found, outcome = gridded(batch(SampleKind.RATE, a=[(0, 1), (60, 5), (0, 3)]))
    assert (found, outcome) == ({("a", 0): 3, ("a", 1): 5}, PushOutcome(repeated=1))


def test_series_of_one_order_param_are_summed():
    """Producers that count the same order param each on its own add up, counters after their own resets."""
    found, outcome = gridded(
        batch(SampleKind.COUNTER, a__1=[(0, 0), (60, 60), (120, 6)], a__2=[(0, 9), (60, 129), (120, 129)])
    )
    assert (found, outcome) == ({("a", 0): pytest.approx(3.0), ("a", 1): pytest.approx(0.1)}, PushOutcome(resets=1))


@pytest.mark.parametrize(
    ("at_s", "value", "why"),
    [
        (0, float("nan"), "not a finite number"),
        (0, float("inf"), "not a finite number"),
        (0, -1.0, "the value is negative"),
        (float("nan"), 1.0, "a time in seconds since 1970 is needed"),
        (-60, 1.0, "a time in seconds since 1970 is needed"),
        (1_385_560_800_000, 1.0, "a time in seconds since 1970 is needed"),
        (600, 1.0, "this has not happened yet"),
        (1e6, 1.0, "this has not happened yet"),
    ],
)
@pytest.mark.parametrize("kind", SampleKind)
def test_what_makes_no_sense_is_refused_with_its_reason(kind, at_s, value, why):
    """A bad sample is left out and named; those around it count as if it had not been there."""
    good = [(0, 0), (60, 0), (540, 0)] if at_s != 0 else [(60, 0), (540, 0)]
    until_s = 600 - (kind is SampleKind.COUNTER)
    clean, _ = gridded(batch(kind, a=good), until_s)
    found, outcome = gridded(batch(kind, a=[*good, (at_s, value)]), until_s)
    assert found == clean
    assert outcome.refused == 1
    assert why in outcome.reasons[0]
    assert outcome.reasons[0].startswith("order param 'a', time ")


def test_a_rate_counts_when_its_step_has_ended():
    """A step that still runs is refused: its rate is not known yet."""
    assert gridded(batch(SampleKind.RATE, a=[(60, 1)]), until_s=119.9)[1].refused == 1
    assert gridded(batch(SampleKind.RATE, a=[(60, 1)]), until_s=120.0)[1].refused == 0


def test_reasons_are_few_and_counts_complete():
    """A batch of nonsense is counted in full and explained by a few examples."""
    made = batch(SampleKind.RATE, **{f"op{number}": [(0, -1), (60, -1)] for number in range(20)})
    _, outcome = gridded(made)
    assert (outcome.refused, len(outcome.reasons)) == (40, REASONS_MAX)


def test_an_empty_batch_gives_nothing():
    """No series, or a series without samples: no cells and no faults."""
    assert gridded(SampleBatch(SampleKind.RATE, ())) == ({}, PushOutcome())
    assert gridded(SampleBatch(SampleKind.COUNTER, (Series("a", np.zeros(0), np.zeros(0)),))) == ({}, PushOutcome())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(looks=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 1000)), min_size=1, max_size=30), shuffle=st.randoms())
def test_a_counter_loses_and_invents_nothing(looks, shuffle):
    """From one grid line to another, whatever the times and order of the looks: the cells add up to what was counted."""
    at_s, total, points = 0, 0, [(0, 0)]
    for after_s, arrived in looks:
        at_s, total = at_s + after_s, total + arrived
        points.append((at_s, total))
    end_s = -(-at_s // STEP_S) * STEP_S
    points.append((end_s, total))
    shuffle.shuffle(points)
    found, _ = gridded(batch(SampleKind.COUNTER, a=points))
    assert sum(found.values()) * STEP_S == pytest.approx(total, rel=1e-5)
    assert [step for _, step in found] == list(range(end_s // STEP_S))
