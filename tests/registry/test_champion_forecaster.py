from __future__ import annotations

import logging
import os

import numpy as np
import pytest

from models import champion as module
from models.base import LEVELS
from models.baseline import BaselineForecaster, seasonal_naive
from models.forecaster import CandidateForecaster
from models.trials import hold_out
from plb_ray.domain.rates import Horizon
from plb_ray.errors import NoForecastError
from tests.forecast.synthetic import DAY, SHORT, START_S, STEP_S
from tests.registry.builders import PARAMS, Spread, champion, folder_at, mean_at, noisy, trained

GOOD, FAIR, POOR, HOPELESS = 1.0, 1.1, 1.15, 100.0


def factor_of(forecast) -> float:
    """The factor of the version that answered `noisy()`, from the median of the first step."""
    step = (forecast.cutoff_s - START_S) // STEP_S
    return round(float(forecast.messages_per_s[0, 0, LEVELS.index(0.5)]) / mean_at(step), 2)


def last(folder):
    return folder.events()[-1]


def test_the_first_version_serves(tmp_path):
    """The first one that beats the baseline becomes champion, and its entry says how it was made and judged."""
    forecaster = trained(tmp_path, GOOD)
    folder = folder_at(tmp_path)
    assert (folder.champion(), forecaster.version) == ("v0001", "v0001")
    assert set(forecaster.predict(noisy()).sources) == {"flat"}
    entry = folder.entry("v0001")
    assert (entry.kind, entry.seed, entry.horizon) == ("spread", 7, SHORT)
    assert entry.data.end_s == noisy().end_s
    assert entry.data.learnt_until_s == hold_out(noisy(), SHORT, PARAMS.trial).learnt_until_s
    assert entry.metrics["wql"] < entry.metrics["wql_baseline"]
    assert len(entry.losses) == entry.metrics["origins"]
    assert np.mean(entry.losses) == pytest.approx(entry.metrics["wql"])
    assert "there was no champion" in last(folder).reason


def test_the_tail_is_kept_from_training(tmp_path):
    """What a challenger is judged on is not in the history it learns from."""
    seen = []

    class Spy(Spread):
        def fit(self, history, horizon, on_progress=None, parent=None):
            seen.append(history.end_s)
            super().fit(history, horizon, on_progress, parent)

    module.ChampionForecaster(Spy, params=PARAMS).fit(noisy(), SHORT)
    assert seen == [hold_out(noisy(), SHORT, PARAMS.trial).learnt_until_s]


def test_a_dedicated_forecaster_goes_on_from_the_champion_of_its_parent(tmp_path):
    """It is handed the parent's champion, the newest version where there is none, and nothing where there is no version."""
    group, seen = tmp_path / "group-0" / "short", []

    class Spy(Spread):
        def fit(self, history, horizon, on_progress=None, parent=None):
            seen.append(parent)
            super().fit(history, horizon, on_progress, parent)

    def begin():
        module.ChampionForecaster(Spy, params=PARAMS).fit(noisy(), SHORT, parent=group)

    begin()
    trained(group, GOOD)
    trained(group, FAIR)
    begin()
    folder_at(group).demote("told to", "test")
    begin()
    assert seen == [None, group / "v0001" / "model", group / "v0002" / "model"]


def test_a_challenger_must_be_significantly_better(tmp_path):
    """One no better stays a version that does not serve; one plainly better replaces the champion."""
    trained(tmp_path, FAIR)
    folder = folder_at(tmp_path)
    kept = trained(tmp_path, FAIR)
    assert (folder.champion(), kept.version) == ("v0001", "v0001")
    assert "no significant gain" in last(folder).reason
    assert folder.versions() == ("v0001", "v0002")
    better = trained(tmp_path, GOOD)
    assert (folder.champion(), better.version, factor_of(better.predict(noisy()))) == ("v0003", "v0003", GOOD)
    assert folder.entry("v0003").metrics["p_value"] < 0.05
    assert folder.entry("v0003").metrics["wql_champion"] > folder.entry("v0003").metrics["wql"]


def test_what_is_kept_answers_as_the_champion_not_as_the_challenger(tmp_path):
    """After a lost challenge the instance serves the older version's forecasts."""
    trained(tmp_path, GOOD)
    assert factor_of(trained(tmp_path, FAIR).predict(noisy())) == GOOD


def test_one_worse_than_the_baseline_never_serves(tmp_path):
    """Without a champion the baseline answers, says so as source, and the audit says why; a later good one takes over."""
    forecaster = trained(tmp_path, HOPELESS)
    folder = folder_at(tmp_path)
    assert (folder.champion(), forecaster.version) == (None, None)
    forecast = forecaster.predict(noisy())
    assert set(forecast.sources) == {"seasonal_naive"}
    np.testing.assert_array_equal(forecast.messages_per_s, seasonal_naive(noisy(), SHORT).messages_per_s)
    assert "worse than the seasonal naive, which serves" in last(folder).reason
    loaded = champion()
    loaded.load(tmp_path)
    assert set(loaded.predict(noisy()).sources) == {"seasonal_naive"}
    trained(tmp_path, GOOD)
    assert factor_of(loaded.predict(noisy())) == GOOD


def test_before_it_is_saved_the_baseline_guards_it_too():
    """A pool that keeps nothing serves what was trained, or the baseline if that is better."""
    for factor, source in ((GOOD, "flat"), (HOPELESS, "seasonal_naive")):
        forecaster = champion(factor)
        forecaster.fit(noisy(), SHORT)
        assert set(forecaster.predict(noisy()).sources) == {source}


def test_a_demoted_champion_is_replaced_by_the_next_sound_one(tmp_path):
    """After a demotion no significant gain is asked for, only that the baseline is beaten."""
    forecaster = trained(tmp_path, GOOD)
    folder_at(tmp_path).demote("coverage", "feedback")
    assert set(forecaster.predict(noisy()).sources) == {"seasonal_naive"}
    assert trained(tmp_path, FAIR).version == "v0002"


@pytest.mark.parametrize("damage", ["entry.json", "model/flat.json", "model/factor.json"])
def test_a_champion_that_cannot_be_read_gives_way(tmp_path, damage):
    """Loading it is an error of the port; the next challenger replaces it without a test, if the baseline is beaten."""
    trained(tmp_path, GOOD)
    (tmp_path / "v0001" / damage).write_text("{")
    with pytest.raises(NoForecastError):
        champion().load(tmp_path)
    assert trained(tmp_path, FAIR).version == "v0002"
    assert "cannot serve" in last(folder_at(tmp_path)).reason


def test_a_champion_that_cannot_be_read_and_a_hopeless_challenger_leave_the_baseline(tmp_path):
    """Then loading succeeds again, and the baseline answers."""
    trained(tmp_path, GOOD)
    (tmp_path / "v0001" / "model" / "flat.json").unlink()
    trained(tmp_path, HOPELESS)
    assert folder_at(tmp_path).champion() is None
    loaded = champion()
    loaded.load(tmp_path)
    assert set(loaded.predict(noisy()).sources) == {"seasonal_naive"}


def test_a_champion_for_another_horizon_gives_way(tmp_path):
    """Steps that are no longer asked for are no reason to keep a version."""
    trained(tmp_path, GOOD)
    forecaster = champion(FAIR)
    forecaster.fit(noisy(), Horizon("short", STEP_S, 3))
    forecaster.save(tmp_path)
    assert forecaster.version == "v0002"
    assert "other steps" in last(folder_at(tmp_path)).reason


def test_a_rollback_by_another_process_is_followed_at_the_next_forecast(tmp_path):
    """A serving instance notices promotion, rollback and demotion without being told."""
    trained(tmp_path, FAIR)
    serving = trained(tmp_path, GOOD)
    folder = folder_at(tmp_path)
    folder.rollback(who="ann")
    assert (factor_of(serving.predict(noisy())), serving.version) == (FAIR, "v0001")
    folder.promote("v0002", "")
    assert (factor_of(serving.predict(noisy())), serving.version) == (GOOD, "v0002")
    folder.demote("")
    assert set(serving.predict(noisy()).sources) == {"seasonal_naive"}


def test_a_new_champion_that_cannot_be_read_leaves_the_older_one_and_is_said_once(tmp_path, caplog):
    """Forecasts go on with what is in memory."""
    serving = trained(tmp_path, FAIR)
    trained(tmp_path, GOOD)
    (tmp_path / "v0002" / "model" / "factor.json").unlink()
    with caplog.at_level(logging.ERROR):
        assert [factor_of(serving.predict(noisy())) for _ in range(3)] == [FAIR] * 3
    assert len(caplog.records) == 1
    assert (serving.version, "v0001 goes on" in caplog.text) == ("v0001", True)


def test_a_file_system_that_does_not_answer_leaves_the_champion(tmp_path, monkeypatch):
    """A `stat` that fails is no demotion."""
    serving = trained(tmp_path, GOOD)

    def broken(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.VersionFolder, "pointer_key", broken)
    assert factor_of(serving.predict(noisy())) == GOOD


def test_nothing_is_loaded_while_the_champion_stays(tmp_path):
    """A forecast looks at the pointer only: files of the version may even be gone."""
    serving = trained(tmp_path, GOOD)
    for name in ("flat.json", "factor.json"):
        (tmp_path / "v0001" / "model" / name).unlink()
    assert factor_of(serving.predict(noisy())) == GOOD


def test_a_champion_changed_by_a_person_during_the_trial_is_not_overruled(tmp_path, monkeypatch):
    """Who rolls back while a challenger is tried against the old champion gets what was asked for."""
    trained(tmp_path, POOR)
    trained(tmp_path, FAIR)
    folder = folder_at(tmp_path)
    assert folder.champion() == "v0002"
    entry_of = module.ChampionForecaster._entry

    def meanwhile(self, *arguments):
        folder.rollback(who="ann")
        return entry_of(self, *arguments)

    monkeypatch.setattr(module.ChampionForecaster, "_entry", meanwhile)
    forecaster = trained(tmp_path, GOOD)
    assert (folder.champion(), forecaster.version) == ("v0001", "v0001")
    assert "somebody has changed the champion" in last(folder).reason


def test_a_save_that_fails_leaves_the_champion_and_can_be_repeated(tmp_path, monkeypatch):
    """A full disk costs nothing but the attempt."""
    trained(tmp_path, FAIR)
    forecaster = champion(GOOD)
    forecaster.fit(noisy(), SHORT)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            forecaster.save(tmp_path)
    assert folder_at(tmp_path).champion() == "v0001"
    forecaster.save(tmp_path)
    assert folder_at(tmp_path).champion() == "v0002"


def test_drift_of_the_champion_is_told(tmp_path):
    """Traffic that left what the champion knows is in the audit with a date, and in the new version's metrics."""
    trained(tmp_path, GOOD)
    history = noisy(days=30)
    moved = history.messages_per_s.copy()
    moved[:, -2 * DAY :] += 3.0
    history = type(history)(history.order_params, history.start_s, history.step_s, moved)
    trained(tmp_path, 1.3, history)
    folder = folder_at(tmp_path)
    assert folder.entry("v0002").metrics["champion_drifted"] == 1
    assert any("have drifted since 20" in event.reason for event in folder.events())


def test_old_versions_are_pruned(tmp_path):
    """The newest three stay, and the champion."""
    for _ in range(6):
        trained(tmp_path, GOOD)
    assert folder_at(tmp_path).versions() == ("v0001", "v0004", "v0005", "v0006")


def test_a_spoiled_row_is_the_baselines(tmp_path):
    """NaN in one order param's forecast replaces only that row; a version is judged as it serves."""
    forecaster = trained(tmp_path, GOOD, spoil="op-1")
    forecast = forecaster.predict(noisy())
    assert forecast.sources == ("flat", "seasonal_naive", "flat")
    assert np.isfinite(forecast.messages_per_s).all()


def test_progress_rises_to_one_and_the_trial_is_part_of_it():
    """The last word is 1 and comes only when the challenger was tried."""
    told = []
    champion().fit(noisy(), SHORT, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0 > told[-2]


def test_a_candidate_of_the_real_kind_is_kept_and_read_back(tmp_path):
    """The baseline as a candidate is not worse than the baseline, so it serves, and a second process serves the same."""
    forecaster = module.ChampionForecaster(lambda: CandidateForecaster(BaselineForecaster()), params=PARAMS)
    forecaster.fit(noisy(), SHORT)
    forecaster.save(tmp_path)
    loaded = module.ChampionForecaster(lambda: CandidateForecaster(BaselineForecaster()), params=PARAMS)
    loaded.load(tmp_path)
    assert set(loaded.predict(noisy()).sources) == {"baseline"}
    np.testing.assert_array_equal(loaded.predict(noisy()).messages_per_s, forecaster.predict(noisy()).messages_per_s)


def test_errors_of_the_port(tmp_path):
    """Nothing trained, nothing there, a network of the older format, nothing new to save: each says so."""
    with pytest.raises(NoForecastError, match="not trained"):
        champion().predict(noisy())
    with pytest.raises(NoForecastError, match="no version"):
        champion().load(tmp_path)
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").write_text("v1")
    with pytest.raises(NoForecastError, match="older plb-ray"):
        champion().load(tmp_path)
    forecaster = trained(tmp_path / "new", GOOD)
    with pytest.raises(NoForecastError, match="call fit"):
        forecaster.save(tmp_path / "new")


def test_a_training_key_stands_for_what_was_trained_on_what(tmp_path):
    """The same training has the same key; another recipe or other data another."""
    keys = []
    for number, (recipe, days) in enumerate([("a", 12), ("a", 12), ("b", 12), ("a", 13)]):
        forecaster = module.ChampionForecaster(Spread, "spread", 7, recipe, PARAMS, lambda: 0.0)
        forecaster.fit(noisy(days=days), SHORT)
        forecaster.save(tmp_path / str(number))
        keys.append(folder_at(tmp_path / str(number)).entry("v0001").training_key)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
