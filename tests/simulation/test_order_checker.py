"""Each check of the checker has a negative control: a run that must be found guilty."""

import pytest

from plb_ray.simulation.checker import OrderChecker, Violation


def clean_run(messages: int = 5) -> OrderChecker:
    checker = OrderChecker()
    checker.appended("k", last_seq=messages, messages=messages, shard_id="a", epoch=1)
    for seq in range(1, messages + 1):
        checker.consumed("k", seq, "p", seq)
    return checker


def test_a_clean_run_has_no_violation():
    """Everything sent, delivered once and in order: the verdict is clean and counts the messages."""
    verdict = clean_run().verdict()
    assert verdict.clean
    assert (verdict.sent, verdict.consumed, verdict.lost) == (5, 5, 0)


def test_interleaved_producers_are_clean():
    """Two producers of one order param may interleave as long as each one's own numbers are contiguous."""
    checker = OrderChecker()
    checker.appended("k", 4, 4, "a", 1)
    for seq, (producer, number) in enumerate([("p", 1), ("q", 1), ("q", 2), ("p", 2)], start=1):
        checker.consumed("k", seq, producer, number)
    assert checker.verdict().clean


def test_a_move_to_another_shard_is_clean_when_the_epoch_rises():
    """Ownership may change with a higher epoch."""
    checker = clean_run()
    checker.appended("k", 6, 1, "b", 2)
    checker.consumed("k", 6, "p", 6)
    assert checker.verdict().clean


@pytest.mark.parametrize(
    ("deliveries", "kind"),
    [
        ([(1, "p", 1), (2, "p", 2), (2, "p", 2), (3, "p", 3)], Violation.DUPLICATED),
        ([(1, "p", 1), (2, "p", 2), (1, "p", 1), (3, "p", 3)], Violation.REORDERED),
        ([(1, "p", 1), (3, "p", 3)], Violation.SKIPPED),
        ([(1, "p", 1), (2, "p", 3), (3, "p", 4)], Violation.PRODUCER_ORDER),
        ([(1, "p", 1), (2, "p", 2), (3, "p", 2)], Violation.DUPLICATED),
        ([(1, "p", 1), (2, "p", 2)], Violation.LOST),
    ],
)
def test_each_delivery_fault_is_found(deliveries, kind):
    """A duplicate, a reordering, a jump, a producer's own disorder and a loss are each found and named."""
    checker = OrderChecker()
    checker.appended("k", 3, 3, "a", 1)
    for seq, producer, number in deliveries:
        checker.consumed("k", seq, producer, number)
    verdict = checker.verdict()
    assert kind in verdict.violations
    assert not verdict.clean
    assert verdict.examples


def test_two_owners_in_one_epoch_are_found():
    """Two shards that accept appends in the same epoch break the fence."""
    checker = OrderChecker()
    checker.appended("k", 1, 1, "a", 1)
    checker.appended("k", 2, 1, "b", 1)
    assert checker.verdict().violations[Violation.TWO_OWNERS] == 1


def test_an_epoch_that_falls_is_found():
    """An append acknowledged under an older epoch than before means the fence let an old owner through."""
    checker = OrderChecker()
    checker.appended("k", 1, 1, "a", 2)
    checker.appended("k", 2, 1, "b", 1)
    assert checker.verdict().violations[Violation.EPOCH_FELL] == 1


def test_a_loss_counts_every_missing_message():
    """What was acknowledged and never delivered is counted message by message."""
    checker = OrderChecker()
    checker.appended("k", 10, 10, "a", 1)
    for seq in range(1, 4):
        checker.consumed("k", seq, "p", seq)
    assert checker.outstanding() == 7
    assert checker.verdict().lost == 7


def test_messages_acknowledged_as_others_are_lost():
    """An append that was taken for a repetition of another one is acknowledged, and its messages never come."""
    checker = clean_run()
    checker.appended("k", last_seq=5, messages=2, shard_id="a", epoch=1)
    assert checker.verdict().lost == 2
