"""The files of retrainings: whole or not there, safe from names that lead elsewhere, and the locks beside them."""

import os
from dataclasses import replace

import pytest
from retrainings_here import GROUPS, NOW_S, a_place

from plb_ray.cluster.assignment import members, read_assignment
from plb_ray.cluster.retrain_files import RetrainFiles, training_lock
from plb_ray.cluster.retraining import RetrainRequest, State, planned
from plb_ray.errors import BadInputError, UnknownRetrainingError


@pytest.fixture
def place(tmp_path):
    return a_place(tmp_path)


@pytest.fixture
def record(place):
    return planned(RetrainRequest(), set(GROUPS.values()), place, NOW_S)


def test_what_was_written_last_is_read(place, record):
    """A record takes the place of the one before, and is listed."""
    files = RetrainFiles(place.networks)
    files.write(record)
    files.write(record.ended(State.DONE, NOW_S))
    assert files.read(record.retraining_id).state is State.DONE
    assert files.ids() == (record.retraining_id,)


def test_old_ones_are_forgotten(place, record):
    """Only the newest are kept, with their locks."""
    files = RetrainFiles(place.networks)
    names = [f"retrain-{number}" for number in range(4)]
    for number, name in enumerate(names):
        files.write(replace(record, retraining_id=name))
        os.utime(place.networks / "retrain" / f"{name}.json", (number, number))
        with files.working_on(name):
            pass
    files.forget_old(kept=2)
    assert files.ids() == ("retrain-3", "retrain-2")
    assert sorted(path.name for path in (place.networks / "retrain").glob("*.lock")) == ["retrain-2.lock", "retrain-3.lock"]


@pytest.mark.parametrize("name", ["retrain-0", "../groups", "retrain-../../groups", "retrain-a/b", "", "retrain-.."])
def test_unknown_names_are_unknown(place, name):
    """A name that was never given, or that would lead out of the folder, is unknown."""
    with pytest.raises(UnknownRetrainingError, match="plb retrain list"):
        RetrainFiles(place.networks).read(name)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"retraining_id": "x"}'])
def test_a_damaged_file_is_named(place, record, content):
    """A file that was damaged by hand is an error that says which and what to do."""
    files = RetrainFiles(place.networks)
    files.write(record)
    path = place.networks / "retrain" / f"{record.retraining_id}.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=f"{record.retraining_id}.json: is damaged"):
        files.read(record.retraining_id)


def test_one_job_at_a_time_works_on_a_retraining(place, record):
    """The second one is told that it is not alone; once the first has ended, the next one is."""
    files = RetrainFiles(place.networks)
    with files.working_on(record.retraining_id) as first, files.working_on(record.retraining_id) as second:
        assert (first, second) == (True, False)
    with files.working_on(record.retraining_id) as third:
        assert third


def test_a_group_is_trained_by_one_at_a_time_and_horizons_apart(tmp_path):
    """The lock is per group and horizon."""
    with (
        training_lock(tmp_path, "group-0", "short") as mine,
        training_lock(tmp_path, "group-0", "short") as again,
        training_lock(tmp_path, "group-0", "medium") as other,
    ):
        assert (mine, again, other) == (True, False, True)


def test_members_of_groups(place):
    """Groups and their order params are sorted, so that seeds and rows are the same each time."""
    by_group = members(read_assignment(place.networks))
    assert by_group == {"group-0": ("op-0", "op-2"), "group-1": ("op-1",), "hot-0": ("op-3",)}
    assert list(by_group) == sorted(by_group)
