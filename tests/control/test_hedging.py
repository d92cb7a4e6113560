"""Preparing for what came before: moves in calm times, decided on past moments of a few order params on three shards."""

from dataclasses import replace

import numpy as np
import pytest
from test_deciding import NAMES, SETTINGS, decided, situation

from plb_ray.control.damping import Memory
from plb_ray.control.hedging import prepared_s
from plb_ray.control.orders import Orders
from plb_ray.control.past_loads import with_surges
from plb_ray.control.stating import course_of
from plb_ray.control.views import Mode

CALM = (0.2, 0.2, 0.1, 0.1)
PEAK = (0.7, 0.6, 0.1, 0.1)
OF_A_DAY = 144


def past(*moments):
    """What each order param brought at one moment of ten minutes on each of the last days, in shares of a shard."""
    days = np.zeros((len(NAMES), len(moments) * OF_A_DAY, 1), dtype=np.float32)
    days[:, ::OF_A_DAY, 0] = np.array(moments).T
    return with_surges(days, (0,), 600.0)


def before(*moments, shares=CALM, **more):
    return replace(situation(shares, **more), past=past(*moments))


def test_what_peaked_together_is_parted_in_calm_times():
    """Two order params that filled their shard to 130 % on two days are parted today, with the reason."""
    ruling, _ = decided(before(CALM, PEAK, PEAK))
    (move,) = ruling.sent
    assert (move.order_param in ("a", "b"), move.source, ruling.faults) == (True, "s0", ())
    assert "what came together in the last 3 days would fill s0 beyond its limit again" in move.reason


def test_once_prepared_nothing_more_is_planned():
    """With unchanged input the next plan is the empty one."""
    at = before(PEAK, CALM, PEAK)
    ruling, memory = decided(at)
    owner = at.owner.copy()
    owner[NAMES.index(ruling.sent[0].order_param)] = int(ruling.sent[0].destination[1:])
    again, _ = decided(replace(at, owner=owner), memory=memory)
    forgotten, _ = decided(replace(at, owner=owner), memory=Memory())
    assert (again.plan.moves, forgotten.plan.moves) == ((), ())


def test_a_past_that_fits_moves_nothing():
    """What never came near the limit, or never at the same moment, is left where it is."""
    assert not decided(before(CALM, CALM))[0].plan.moves
    assert not decided(before((0.7, 0.1, 0.1, 0.1), (0.1, 0.7, 0.1, 0.1)))[0].plan.moves


def test_room_is_made_for_what_breaks_its_records():
    """What would fill its shard if it went on growing gets room; what comes as high every day moves nothing."""
    grown = np.full((len(NAMES), 3 * OF_A_DAY, 1), 0.3, dtype=np.float32)
    grown[0], grown[0, ::OF_A_DAY] = 0.2, [[0.2], [0.3], [0.6]]
    at = situation((0.2, 0.3, 0.3, 0.0), owner=(0, 0, 1, 2))
    (move,) = decided(replace(at, past=with_surges(grown, (0,), 600.0)))[0].sent
    assert "if a broke its record of the last 3 days by as much as" in move.reason
    assert "s0 would be beyond its limit" in move.reason
    grown[0, ::OF_A_DAY] = 0.6
    assert not decided(replace(at, past=with_surges(grown, (0,), 600.0)))[0].plan.moves


def test_what_came_once_is_no_pattern():
    """A peak of one day alone moves nothing; with a second one, of less, that second one is what counts."""
    once, less = before(CALM, PEAK, CALM), before(CALM, PEAK, (0.6, 0.5, 0.1, 0.1))
    assert not decided(once)[0].plan.moves
    damping = SETTINGS.damping
    for gain_s, moves in ((115.0, 1), (125.0, 0)):  # 0.2 of a shard above the limit of 90 %, for ten minutes
        assert len(decided(less, damping=replace(damping, hedge_gain_s=gain_s))[0].sent) == moves


def test_a_gain_below_the_least_is_not_worth_a_move():
    """What a move takes away is compared with `hedge_gain_s`: 0.4 of a shard, the part over 90 %, for ten minutes."""
    damping = SETTINGS.damping
    for gain_s, moves in ((235.0, 1), (245.0, 0)):
        assert len(decided(before(PEAK, PEAK), damping=replace(damping, hedge_gain_s=gain_s))[0].sent) == moves


@pytest.mark.parametrize(
    "orders",
    [
        Orders(mode=Mode.RELIEF),
        Orders(paused=True),
        Orders(pinned=frozenset({"a", "b"})),
        Orders(spread_groups={"g": frozenset({"a", "b", "c"})}),
    ],
    ids=["relief", "paused", "pinned", "spread"],
)
def test_orders_come_first(orders):
    """No preparing in mode relief or while paused; what is pinned, or must be apart, is not moved for it."""
    at = before(PEAK, PEAK, owner=(0, 0, 1, 2))
    moved = {move.order_param for move in decided(at, orders)[0].plan.moves if "beyond its limit" in move.reason}
    assert moved == set()


def test_shards_that_take_nothing_get_nothing():
    """What is prepared goes neither to a silent shard nor to one that is being emptied."""
    ruling, _ = decided(before(PEAK, PEAK, silent=frozenset({"s1"})))
    assert [move.destination for move in ruling.sent] == ["s2"]
    ruling, _ = decided(before(PEAK, PEAK), Orders(draining=frozenset({"s2"})))
    assert "s2" not in {move.destination for move in ruling.plan.moves}


def test_shards_that_take_nothing_hide_no_other():
    """However many silent shards there are, all of them empty, what is prepared goes to one that takes it."""
    at = before(PEAK, PEAK)
    more = tuple(replace(at.shards[0], shard_id=f"gone-{number}") for number in range(20))
    many = replace(at, shards=(*at.shards, *more), silent=frozenset(shard.shard_id for shard in more))
    sent, alone = decided(many)[0].sent, decided(at)[0].sent
    assert [(m.order_param, m.destination) for m in sent] == [(m.order_param, m.destination) for m in alone]
    assert len(sent) == 1


def test_where_now_leaves_a_choice_the_past_decides():
    """What has to leave goes to the shard that it has not filled before, though another is as empty now."""
    at = before(
        (0.3, 0.2, 0.7, 0.0), (0.2, 0.3, 0.7, 0.0), (0.3, 0.2, 0.7, 0.0), shares=(0.5, 0.4, 0.0, 0.0), owner=(0, 0, 1, 2)
    )
    assert [move.destination for move in decided(at)[0].sent] == ["s2"]


def test_a_worse_past_is_no_reason_against_relief():
    """Relieving what is over now is worth as much as without a past, whatever that says of the destination."""
    course = course_of(before((0.0, 0.0, 0.9, 0.9), (0.8, 0.0, 0.9, 0.9)), None)
    assert prepared_s(course, np.array([1, 0, 1, 2]), 0.8) == 0.0
