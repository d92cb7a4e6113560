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


def test_a_move_with_full_evidence_is_clean():
    """Refusals within the bound, repetitions, a new owner and a new holder are all as they should be."""
    checker = OrderChecker(pause_s_max=1.0)
    checker.serves("k", "a", 1)
    checker.appended("k", 2, 2, "a", 1, producer="p", at_s=0.0)
    checker.refused("k", 1.0)
    checker.refused("k", 1.9)
    checker.serves("k", "a", None)
    checker.serves("k", "b", 2)
    checker.appended("k", 3, 1, "b", 2, producer="q", repetition=True, at_s=1.95)
    checker.appended("k", 4, 1, "b", 2, producer="p", at_s=2.0)
    for seq, (producer, number, hold_no) in enumerate([("p", 1, 7), ("p", 2, 7), ("q", 1, 8), ("p", 3, 8)], start=1):
        checker.consumed("k", seq, producer, number, holder=f"c{hold_no}", hold_no=hold_no)
    verdict = checker.verdict(at_s=10.0)
    assert verdict.clean, verdict.examples
    assert verdict.pause_s_max == pytest.approx(0.95)


def test_a_sequence_given_twice_is_found():
    """A producer whose later append is acknowledged under a sequence that it was given before has lost one of them."""
    checker = OrderChecker()
    checker.appended("k", 3, 3, "a", 1, producer="p")
    checker.appended("k", 3, 1, "a", 1, producer="p")
    assert checker.verdict().violations[Violation.SEQUENCE_FELL] == 1


@pytest.mark.parametrize("late", [(4, 1), (5, 1), (6, 3)])
def test_sequences_that_do_not_rise_with_the_epochs_are_found(late):
    """What an old owner accepts after a new one has begun, or a new one below an old one, is found by its sequence."""
    checker = OrderChecker()
    checker.appended("k", 3, 3, "a", 1, producer="p")
    checker.appended("k", 4, 1, "b", 2, producer="p")
    checker.appended("k", 9, 3, "b", 2, producer="p")
    seq, epoch = late
    checker.appended("k", seq, 1, "a", epoch, producer="q")
    assert Violation.EPOCH_FELL in checker.verdict().violations


def test_an_old_epoch_that_another_shard_accepts_is_found():
    """An epoch belongs to one shard for ever."""
    checker = OrderChecker()
    checker.appended("k", 1, 1, "a", 1, producer="p")
    checker.appended("k", 2, 1, "b", 2, producer="p")
    checker.appended("k", 3, 1, "b", 1, producer="p")
    assert Violation.TWO_OWNERS in checker.verdict().violations


def test_two_shards_that_serve_at_once_are_found():
    """An owner that begins before the other one has ended is found, whatever their epochs."""
    checker = OrderChecker()
    checker.serves("k", "a", 1)
    checker.serves("k", "b", 2)
    assert checker.verdict().violations[Violation.TWO_OWNERS] == 1


def test_a_long_pause_is_found():
    """Appends that are refused for longer than the bound are counted, ended or not."""
    checker = OrderChecker(pause_s_max=0.5)
    checker.refused("k", 1.0)
    checker.appended("k", 1, 1, "a", 1, at_s=1.6)
    checker.refused("k", 2.0)
    checker.consumed("k", 1, "p", 1)
    assert checker.verdict(at_s=2.4).violations[Violation.PAUSED_LONG] == 1
    assert checker.verdict(at_s=2.6).violations[Violation.PAUSED_LONG] == 2


@pytest.mark.parametrize("late", [("c1", 1), ("c1", 2)])
def test_two_holders_are_found(late):
    """A consumer that hands on by an older token than another one's, or by the same, is found."""
    checker = OrderChecker()
    checker.held("k", "c1", 1)
    checker.held("k", "c2", 2)
    checker.held("k", *late)
    assert checker.verdict().violations[Violation.TWO_HOLDERS] == 1
