"""Gathering how errors came together."""

import numpy as np
import pytest

from plb_ray.control.joint_errors import JointErrors
from plb_ray.estimate.scenarios import SCENARIOS_MAX
from plb_ray.history.outcomes import Outcomes, Pairs


def outcomes(number, pit, names=("a", "b"), spacing_s=900, horizon="short"):
    """The number-th step; `pit` is (N, 2)."""
    pit = np.asarray(pit, dtype=float)
    pairs = Pairs(np.ones(len(pit)), np.ones(len(pit)), np.ones((len(pit), 5)), pit)
    return Outcomes(horizon, number * spacing_s, 900, names, ("test",) * len(pit), pairs)


def gathered(steps, **more):
    joint = JointErrors(np.random.default_rng(1))
    for number, pit in enumerate(steps):
        joint.add(outcomes(number, pit, **more))
    return joint


def test_the_newest_are_kept_in_order():
    """Of more than SCENARIOS_MAX steps the oldest are forgotten."""
    level = np.linspace(0.01, 0.99, SCENARIOS_MAX + 7)
    (group,) = gathered([[(u, u), (1 - u, 1 - u)] for u in level]).scenarios().groups
    assert group.levels[group.index["a"]] == pytest.approx(level[7:], abs=1e-6)
    assert group.levels[group.index["b"]] == pytest.approx(1 - level[7:], abs=1e-6)


def test_steps_that_follow_closely_are_left_out():
    """Steps of a minute: one of fifteen is kept; medium steps: one an hour."""
    steps = [[(0.5, 0.6)] * 2] * 121
    assert gathered(steps, spacing_s=60).scenarios().groups[0].levels.shape[1] == 9
    assert gathered(steps, spacing_s=900, horizon="medium").scenarios().groups[0].levels.shape[1] == 31


def test_idle_order_params_do_not_seem_to_move_together():
    """Two whose rate is always within a stretch of equal quantiles get levels that are unrelated and within the stretch."""
    (group,) = gathered([[(0.0, 0.8), (0.0, 0.8)]] * SCENARIOS_MAX).scenarios().groups
    assert (group.levels <= 0.8).all()
    assert abs(np.corrcoef(group.levels)[0, 1]) < 0.3


def test_one_that_is_new_is_known_of_its_own_steps_only_and_one_that_left_is_forgotten():
    """`known` counts; who has not been seen in any kept step is gone."""
    joint = gathered([[(0.2, 0.2)]] * 40, names=("old",))
    for number in range(40, 40 + SCENARIOS_MAX):
        joint.add(outcomes(number, [(0.3, 0.3)], names=("new",)))
        if number == 49:
            (group,) = joint.scenarios().groups
            assert group.known[group.index["new"]] == 10
            assert group.rows(("old", "new", "stranger")).tolist() == [group.index["old"], -1, -1]
    (group,) = joint.scenarios().groups
    assert set(group.index) == {"new"}


def test_groups_that_have_not_changed_stay_the_same_objects():
    """Ranks are worked out once per change, not once a tick."""
    joint = gathered([[(0.2, 0.2)] * 2] * 40)
    (before,) = joint.scenarios().groups
    joint.add(outcomes(100, [(0.4, 0.4)] * 2, horizon="medium"))
    assert before in joint.scenarios().groups
