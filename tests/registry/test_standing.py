"""Who serves a horizon, as the control loop asks: it decides on what was measured while a demoted champion leaves a gap."""

from __future__ import annotations

from models.registry import ModelRegistry
from plb_ray.domain.champions import ChampionStanding, Demotion
from tests.registry.builders import NOW_S, entry, filled, folder_at, write_model

LEARNT_S = 100.0  # of the builders' entries


def standing(path, horizon="short"):
    return ModelRegistry(path, lambda: NOW_S).standing(horizon)


def test_nobody_ever_served(tmp_path):
    """No folder, and a version that was never promoted, are no demotion."""
    assert standing(tmp_path) == ChampionStanding()
    folder_at(tmp_path / "group-0" / "short").add(write_model, entry())
    assert standing(tmp_path) == ChampionStanding()


def test_a_champion_serves_until_it_is_demoted(tmp_path):
    """With the reason of the demotion; a rollback or a new champion ends it, of the horizon that is asked for only."""
    folder = filled(tmp_path / "group-0" / "short", 2)
    assert standing(tmp_path) == ChampionStanding(serving=1, learnt_s=LEARNT_S)
    ModelRegistry(tmp_path, lambda: NOW_S).demote("short", "worse than the seasonal naive", NOW_S)
    lost = standing(tmp_path)
    assert (lost.serving, lost.demoted, lost.lost) == (0, 1, True)
    assert lost.reason.startswith("worse than the seasonal naive")
    assert standing(tmp_path, "medium") == ChampionStanding()
    folder.keep("the challenger is worse, too")
    assert standing(tmp_path).lost
    folder.rollback()
    assert not standing(tmp_path).lost


def test_one_group_without_a_champion_is_not_all(tmp_path):
    """While another group's champion serves, the horizon has not lost its champions."""
    filled(tmp_path / "group-0" / "short", 1).demote("bad")
    filled(tmp_path / "group-1" / "short", 1)
    found = standing(tmp_path)
    assert (found.serving, found.demoted, found.lost) == (1, 1, False)


def test_demotions_name_group_reason_and_who(tmp_path):
    """Each group that the baseline serves since a demotion is told, until a version is promoted again."""
    registry = ModelRegistry(tmp_path, lambda: NOW_S)
    filled(tmp_path / "group-1" / "short", 1)
    assert registry.demotions() == ()
    folder = filled(tmp_path / "group-0" / "medium", 2)
    folder.demote("too high", "ada")
    assert registry.demotions() == (Demotion("group-0", "medium", "too high", "ada", NOW_S),)
    folder.keep("the challenger is worse, too")
    assert len(registry.demotions()) == 1
    folder.rollback()
    assert registry.demotions() == ()


def test_a_champion_that_cannot_be_read_has_learnt_nothing_known(tmp_path):
    """It serves as far as anybody knows, but proves nothing."""
    folder = filled(tmp_path / "group-0" / "short", 1)
    (folder.folder / "v0001" / "entry.json").write_text("{")
    assert standing(tmp_path) == ChampionStanding(serving=1)
