"""The steepest descent on overload, against what it promises."""

from dataclasses import replace

import numpy as np
import pytest

from plb_ray.domain.descent import Descent, Slope, descend


def slope(load, shard_of, limit=1.0, shards=2, movable=None, closed=(), weight=1.0):
    load, shard_of = np.asarray(load, dtype=float), np.asarray(shard_of)
    use = np.zeros((shards, load.shape[1]))
    np.add.at(use, shard_of, load)
    may = np.ones(shards, dtype=bool)
    may[list(closed)] = False
    return Slope(
        load,
        use,
        np.full(use.shape, float(limit)),
        np.full(use.shape, float(weight)),
        shard_of,
        np.ones(len(load), dtype=bool) if movable is None else np.array(movable),
        lambda rows: np.tile(may, (len(rows), 1)),
    )


def overload(of, steps):
    shard_of = of.shard_of.copy()
    for step in steps:
        shard_of[step.row] = step.shard
    use = np.zeros_like(of.use)
    np.add.at(use, shard_of, of.load)
    return float((np.maximum(0, use - of.limit) * of.weight).sum())


def test_what_fits_is_left_alone():
    """Without overload there is no move, however uneven the shards are."""
    assert descend(slope([[0.5], [0.4]], [0, 0]), 10, 0.0) == ()


def test_two_that_are_never_high_together_may_stay():
    """Loads of different columns are not added up: what peaks at different moments shares a shard."""
    apart = slope([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]], [0, 0, 1])
    assert descend(apart, 10, 0.0) == ()
    together = slope([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], [0, 0, 1])
    (step,) = descend(together, 10, 0.0)
    assert (step.shard, step.gain) == (1, pytest.approx(0.8))


def test_companions_leave_what_is_larger_than_a_shard():
    """Where overload has to stay, as much as can be taken away is, the largest first."""
    steps = descend(slope([[1.5], [0.3], [0.1], [0.2]], [0, 0, 0, 1]), 10, 0.0)
    assert [step.row for step in steps] == [1, 2]
    assert overload(slope([[1.5], [0.3], [0.1], [0.2]], [0, 0, 0, 1]), steps) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(8))
def test_every_move_gains_what_is_said_and_no_move_more_is_worth_it(seed):
    """The overload falls by the sum of the gains, each at least the least; afterwards no single move would gain as much."""
    rng = np.random.default_rng(seed)
    load = rng.lognormal(-2.2, 1.0, (30, 12))
    of = slope(load, rng.integers(0, 4, 30), shards=4, weight=2.0)
    steps = descend(of, 100, 0.05)
    assert all(step.gain >= 0.05 for step in steps)
    assert overload(of, ()) - overload(of, steps) == pytest.approx(sum(step.gain for step in steps))
    moved = {step.row for step in steps}
    left = overload(of, steps)
    for row in set(range(30)) - moved:
        for shard in range(4):
            assert left - overload(of, [*steps, Descent(row, shard, 0.0)]) < 0.05 + 1e-9


def test_the_best_spell_of_a_move_does_not_count():
    """What takes away overload in one spell gains nothing; in two, as much as in the lesser; before them all counts."""
    once, twice = [[0.9, 0.1, 0.1], [0.9, 0.1, 0.1]], [[0.9, 0.1, 0.7], [0.9, 0.1, 0.7]]
    assert descend(replace(slope(once, [0, 0]), spells=(0, 1, 2)), 10, 0.0) == ()
    (step,) = descend(replace(slope(twice, [0, 0]), spells=(0, 1, 2)), 10, 0.0)
    assert step.gain == pytest.approx(0.4)
    (step,) = descend(replace(slope(once, [0, 0]), spells=(1, 2)), 10, 0.0)
    assert step.gain == pytest.approx(0.8)


def test_limits_and_rules_are_kept():
    """No more moves than allowed, in all and per shard; what may not move stays, and a closed shard gets nothing."""
    load, at = [[0.5]] * 6, [0] * 6
    assert len(descend(slope(load, at, shards=3), 2, 0.0)) == 2
    assert len(descend(slope(load, at, shards=3), 9, 0.0, per_shard=1)) == 1
    assert descend(slope(load, at, shards=3, movable=[False] * 6), 9, 0.0) == ()
    assert {step.shard for step in descend(slope(load, at, shards=3, closed=[1]), 9, 0.0)} == {2}


def test_empty_shards_that_take_nothing_hide_no_other():
    """However many closed shards are emptier, what has to leave goes to an open one."""
    of = slope([[0.8], [0.7], [0.1]], [0, 0, 1], shards=40, closed=range(2, 40))
    assert [(step.row, step.shard) for step in descend(of, 10, 0.0)] == [(0, 1)]
