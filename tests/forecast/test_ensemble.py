import numpy as np
import pytest

from models.base import pinball, tail_steps
from models.ensemble import Ensemble
from models.traffic_class import CLASSES, classify
from plb_ray.domain.rates import medium_horizon
from plb_ray.errors import NoForecastError
from tests.forecast.members import Fixed, Oracle, ignore
from tests.forecast.synthetic import DAY, SHORT, STEP_S, before, history_of, seasonal_history


def mixed_history():
    """Ten steady order params and ten that are idle nine steps in ten."""
    rng = np.random.default_rng(4)
    steady = rng.uniform(9, 11, (10, 12 * DAY))
    idle = np.where(rng.random((10, 12 * DAY)) < 0.1, 20.0, 0.0)
    return history_of(np.concatenate([steady, idle]))


def test_the_one_that_knows_gets_all_the_weight():
    """Beside a member that knows the future, one that is far off counts nothing."""
    ensemble = Ensemble([Fixed("far", 1e3), Oracle()])
    history = seasonal_history()
    ensemble.fit(history, SHORT, ignore)
    at = np.array([13 * DAY])
    np.testing.assert_allclose(ensemble.quantiles(history, at), Oracle().quantiles(history, at, SHORT.steps), rtol=1e-3)


def test_together_they_are_better_than_the_best_alone():
    """Of two members whose errors are opposed the weighed middle loses less on unseen steps than either."""
    history = history_of(np.full((3, 12 * DAY), 10.0) + np.random.default_rng(1).normal(0, 1, (3, 12 * DAY)))
    members = [Fixed("low", 7.0, 1.0), Fixed("high", 12.0, 1.0)]
    ensemble = Ensemble(members)
    ensemble.fit(before(history, 10 * DAY), SHORT, ignore)
    origins = np.arange(10 * DAY, 12 * DAY - SHORT.steps)
    actual = np.stack([history.messages_per_s[:, at : at + SHORT.steps] for at in origins])
    loss = [pinball(actual, one.quantiles(history, origins)).mean() for one in (ensemble, *members)]
    assert loss[0] < 0.7 * min(loss[1:])


def test_each_class_of_traffic_has_its_own_weights():
    """A member that is right for idle order params and one that is right for steady ones each get their class."""
    history = mixed_history()
    of_class = classify(history)
    ensemble = Ensemble([Fixed("idle", 0.0), Fixed("steady", 10.0, 1.0)])
    ensemble.fit(history, SHORT, ignore)
    idle, steady = CLASSES.index("intermittent"), of_class[0]
    assert set(of_class[10:]) == {idle}
    assert ensemble.weights[idle, 0] > 0.8
    assert ensemble.weights[steady, 1] > 0.95


def test_a_spoiled_row_is_what_the_last_member_says():
    """Where a member says NaN, the baseline's quantiles stand."""
    history = seasonal_history(order_params=3)
    oracle = Oracle(spoil_after=14 * DAY, spoil="op-1")
    ensemble = Ensemble([oracle, Fixed("baseline", 5.0)])
    ensemble.fit(before(history, 14 * DAY), SHORT, ignore)
    said = ensemble.quantiles(history, np.array([14 * DAY + 5]))[0]
    assert np.isfinite(said).all()
    np.testing.assert_allclose(said[1], 5.0, rtol=1e-3)
    assert (np.abs(said[0] - 5.0) > 0.1).any()


def test_members_with_nothing_to_learn_from_are_left_out(tmp_path):
    """With a history too short for a network the baseline remains, now and after a restart; with none it is an error."""
    history = history_of(np.ones((2, 9)))
    members = [Oracle(needs=100), Fixed("baseline", 1.0)]
    ensemble = Ensemble(members)
    ensemble.fit(history, SHORT, ignore)
    assert ensemble.active == ("baseline",)
    ensemble.save(tmp_path)
    again = Ensemble(members)
    again.load(tmp_path, SHORT)
    assert (again.quantiles(history, np.array([9])) == 1.0).all()
    with pytest.raises(NoForecastError, match="too short"):
        Ensemble([Oracle(needs=100)]).fit(history, SHORT, ignore)


def test_the_tail_is_not_learnt_from():
    """Every member is trained on what ends where the tail begins, until it is told to go on."""
    history = seasonal_history(days=10)
    member = Fixed("spy", 1.0)
    ensemble = Ensemble([member])
    ensemble.fit(history, SHORT, ignore)
    assert member.steps_seen == 8 * DAY
    ensemble.learn_on(history, ignore)
    assert member.steps_seen == 10 * DAY
    assert [tail_steps(steps, STEP_S, SHORT) for steps in (5, 48, 480, 48000)] == [2, 9, 96, 96]
    assert tail_steps(400, 3600, medium_horizon(STEP_S)) == 48


def test_what_counts_is_made_an_order_params_own():
    """Members with a weight specialise on the rows they are given; what they weigh stays."""
    history, members = seasonal_history(days=10), [Oracle(), Fixed("baseline", 1.0)]
    ensemble = Ensemble(members)
    with pytest.raises(NoForecastError, match="not trained"):
        ensemble.specialise(history, ignore)
    ensemble.fit(history, SHORT, ignore)
    before_it = ensemble.weights.copy()
    ensemble.specialise(history.rows(("op-3",)), ignore)
    assert [member.specialised_for for member in members] == [("op-3",), ("op-3",)]
    np.testing.assert_array_equal(ensemble.weights, before_it)


@pytest.mark.parametrize("damage", ["", "{}", '{"format": 1, "active": ["baseline"], "weights": [[1.0]]}'])
def test_a_damaged_artifact_is_refused(tmp_path, damage):
    """A manifest that is cut off, empty, or of other classes is an error that says so."""
    ensemble = Ensemble([Fixed("baseline", 1.0)])
    ensemble.fit(seasonal_history(), SHORT, ignore)
    ensemble.save(tmp_path)
    (tmp_path / "ensemble.json").write_text(damage)
    with pytest.raises(NoForecastError):
        Ensemble([Fixed("baseline", 1.0)]).load(tmp_path, SHORT)


def test_progress_rises_to_one():
    """The members' progress is told as one."""
    told = []
    Ensemble([Fixed("a", 1.0), Fixed("b", 1.0)]).fit(seasonal_history(), SHORT, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
