from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from plb_ray.clock import monotonic_s
from plb_ray.domain.plan import PlanBudget, PlanMode
from plb_ray.errors import BadInputError
from service.plan_files import PlanAsk, read_folder
from tests.plan_files.plan_folder import SHARDS, write

HEAD = "order_param,shard,cpu,memory"


def read(folder, **ask):
    return read_folder(folder, PlanAsk(**ask), PlanBudget())


def test_a_small_folder(tmp_path):
    """Names, loads, capacities, costs and owners come out where the files put them."""
    problem = read(write(tmp_path)).problem
    assert (problem.order_params, problem.shards, problem.resources) == (
        tuple("abcd"),
        ("s1", "s2", "s3"),
        ("cpu", "memory"),
    )
    assert problem.load[:, 0, 0].tolist() == [6, 5, 3, 4]
    assert problem.capacity.tolist() == [[10, 100], [10, 100], [10, np.inf]]
    assert problem.move_cost.tolist() == [1, 2, 1, 1]
    assert problem.current.tolist() == [0, 0, 1, 2]
    assert problem.rules.zone.tolist() == [0, 0, 1]
    assert problem.words.steps == ("now",)


def test_defaults(tmp_path):
    """Columns that are left out have their defaults; a headroom that is stated wins over the one asked for."""
    shards = "shard,cpu,headroom\ns1,10,0.8\ns2,10,\n"
    problem = read(write(tmp_path, shards=shards, order_params="order_param,shard,cpu\na,s1,1\n"), headroom=0.9).problem
    assert problem.headroom.tolist() == [0.8, 0.9]
    assert problem.move_cost.tolist() == [1]
    assert problem.rules.zone.tolist() == [0, 0]
    assert not problem.rules.pinned.any()
    assert problem.overload_weight.tolist() == [[1.0], [1.0]]


def test_rules(tmp_path):
    """Every rule of the files arrives as indices; a cell that is empty is no rule, an order param may have no shard yet."""
    order_params = """\
order_param,shard,cpu,memory,pinned,spread_group,zones,forbidden
a,s1,1,1,TRUE,,east|west,
b,s2,1,1,0,g1,west | east,s1|s3
c,,1,1,no,g1,west,
d,s3,1,1,,,,s2
"""
    shards = (
        SHARDS.replace("memory\n", "memory,draining\n")
        .replace("10,100\ns2", "10,100,yes\ns2")
        .replace("100\ns3", "100,\ns3")
    )
    problem = read(
        write(tmp_path, shards=shards.replace("10,\n", "10,,false\n"), order_params=order_params.replace("TRUE", ""))
    )
    rules = problem.problem.rules
    assert rules.draining.tolist() == [True, False, False]
    assert rules.zone_sets == (frozenset({0, 1}), frozenset({1}))
    assert rules.zone_set.tolist() == [0, 0, 1, -1]
    assert sorted(map(tuple, rules.forbidden.tolist())) == [(1, 0), (1, 2), (3, 1)]
    assert rules.spread_group[0] == rules.spread_group[3] == -1
    assert rules.spread_group[1] == rules.spread_group[2] >= 0
    assert problem.problem.current.tolist() == [0, 1, -1, 2]


@pytest.mark.parametrize(
    ("word", "flag"), [("true", True), ("Yes", True), ("1", True), ("F", False), ("no", False), ("", False)]
)
def test_flags(tmp_path, word, flag):
    """Flags may be written in any of the usual ways."""
    folder = write(tmp_path, order_params=f"{HEAD},pinned\na,s1,1,1,{word}\nb,s2,1,1,\n")
    assert read(folder).problem.rules.pinned.tolist() == [flag, False]


def test_odd_but_right_files(tmp_path):
    """A byte-order mark, Windows line ends, quotes, spaces round names and numbers, and numbers for names are all right."""
    order_params = '\ufefforder_param, shard ,cpu,memory\r\n"a, with comma", s1 ," 1.5",1e1\r\n007,s2,2,0\r\n'
    problem = read(write(tmp_path, order_params=order_params)).problem
    assert problem.order_params == ("a, with comma", "007")
    assert problem.load[:, 0].tolist() == [[1.5, 10], [2, 0]]


def test_twelve_resources(tmp_path):
    """Any number of resources is read, in the order of shards.csv whatever the order in order_params.csv."""
    names = [f"r{each}" for each in range(12)]
    shards = f"shard,{','.join(names)}\ns1,{','.join('9' * 12)}\n"
    order_params = f"order_param,shard,{','.join(reversed(names))}\na,s1,{','.join(str(each) for each in range(12))}\n"
    problem = read(write(tmp_path, shards=shards, order_params=order_params)).problem
    assert problem.load[0, 0].tolist() == list(range(11, -1, -1))


def test_capacity_zero_is_a_limit(tmp_path):
    """A capacity of 0 is 0; only an empty cell is no limit."""
    problem = read(write(tmp_path, shards="shard,cpu,memory\ns1,0,\ns2,1,\ns3,1,5\n")).problem
    assert problem.capacity.tolist() == [[0, np.inf], [1, np.inf], [1, 5]]


def test_empty_cluster(tmp_path):
    """No shards and no order params are read as such."""
    problem = read(write(tmp_path, shards="shard,cpu\n", order_params="order_param,shard,cpu\n")).problem
    assert (problem.load.shape, problem.capacity.shape) == ((0, 1, 1), (0, 1))


def test_focus(tmp_path):
    """The shards to drain or to fill become indices."""
    assert read(write(tmp_path), mode=PlanMode.DRAIN, shards=("s3", "s1")).problem.focus == (0, 2)


# loads.parquet


def test_loads_by_step(tmp_path):
    """loads.parquet replaces the loads, step by step in order of time; what it has no row for is load 0, and is said."""
    loads = {"order_param": ["a", "b", "a"], "step": [7, 3, 3], "cpu": [1.0, 2.0, 3.0], "memory": [1, 1, 1]}
    found = read(write(tmp_path, loads=loads))
    assert found.problem.load[:, :, 0].tolist() == [[3, 1], [2, 0], [0, 0], [0, 0]]
    assert found.problem.words.steps == ("step 3", "step 7")
    assert found.notes == ("2 of 4 order params have no row in loads.parquet and count as load 0 there",)


def test_a_resource_that_only_one_file_has(tmp_path):
    """A resource that loads.parquet lacks is the same in every step; one that order_params.csv lacks comes from there."""
    loads = {"order_param": ["a", "a"], "step": [0, 1], "cpu": [1.0, 2.0]}
    folder = write(tmp_path, order_params="order_param,shard,memory\na,s1,5\n", loads=loads)
    assert read(folder).problem.load.tolist() == [[[1, 5], [2, 5]]]


def test_steps_of_time(tmp_path):
    """Timestamps name the steps, with the day only if there are several."""
    times = [datetime(2026, 1, 1, hour, 30, tzinfo=UTC) for hour in (13, 12)]
    loads = {"order_param": ["a", "a"], "step": times, "cpu": [1.0, 2.0], "memory": [0, 0]}
    assert read(write(tmp_path, loads=loads)).problem.words.steps == ("12:30", "13:30")
    loads["step"] = [times[0], datetime(2026, 1, 2, tzinfo=UTC)]
    assert read(write(tmp_path, loads=loads)).problem.words.steps == ("2026-01-01 13:30", "2026-01-02 00:00")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order_param": ["a", "x"]}, "row 2, column order_param: names the unknown order param 'x'"),
        ({"order_param": ["a", "a"], "step": [1, 1]}, "row 2, column step: order param 'a' has step 1 twice"),
        ({"cpu": [1.0, -2.0]}, "row 2, column cpu: is -2.0"),
        ({"cpu": [float("nan"), 1]}, "row 1, column cpu: is nan"),
        ({"cpu": pa.array([1.0, None])}, "row 2, column cpu: is None"),
        ({"cpu": ["1", "2"]}, "column cpu: is of type string"),
        ({"step": ["x", "y"]}, "column step: is of type string"),
        ({"step": pa.array([1, None])}, "row 2, column step: is empty"),
        ({"disk": [1, 1]}, "column disk: shards.csv has no capacity"),
    ],
)
def test_bad_loads(tmp_path, change, said):
    """What is wrong in loads.parquet is named with row and column."""
    loads = {"order_param": ["a", "b"], "step": [1, 1], "cpu": [1.0, 1.0], "memory": [1, 1]} | change
    with pytest.raises(BadInputError) as refused:
        read(write(tmp_path, loads=loads))
    assert f"loads.parquet, {said}" in str(refused.value)


def test_loads_that_are_no_parquet(tmp_path):
    """Another file under that name is refused, not a crash."""
    (write(tmp_path) / "loads.parquet").write_text("nonsense")
    with pytest.raises(BadInputError, match="is not a parquet file"):
        read(tmp_path)


# Refusals


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        (None, "shards.csv: no such file"),
        (b"", "shards.csv, row 1: there is no header"),
        ("name,cpu,memory\ns1,1,1\n", "row 1: there is no column 'shard'"),
        ("shard;cpu;memory\ns1;1;1\n", "columns are separated by commas"),
        ("shard,zone\ns1,z\n", "row 1: there is no column of capacity"),
        ("shard,cpu,cpu\ns1,1,1\n", "names 'cpu' twice"),
        ("shard,cpu,\ns1,1,1\n", "leaves column 3 without a name"),
        (SHARDS + "s1,east,1,1\n", "row 5, column shard: names 's1' again (also in row 2)"),
        (SHARDS + ",east,1,1\n", "row 5, column shard: is empty"),
        (SHARDS + "s4,east,-1,1\n", "row 5, column cpu: is -1; it must be a finite number, 0 or more"),
        (SHARDS + "s4,east,ten,1\n", "row 5, column cpu: is 'ten', which is not a number"),
        (SHARDS + "s4,east,inf,1\n", "leave the cell empty for no limit"),
        (SHARDS + "s4,east,nan,1\n", "row 5, column cpu: is not a number (nan)"),
        (SHARDS + "s4,east,true,1\n", "row 5, column cpu: is 'true'"),
        (SHARDS + "s4,east,1\n", "row 5: has 3 cells, the header names 4 columns"),
        ("shard,cpu,memory,headroom\ns1,1,1,0\ns2,1,1,1\n", "row 2, column headroom: is 0; it must be"),
        ("shard,cpu,memory,cost\ns1,1,1,1\ns2,1,1,-4\n", "row 3, column cost: is -4"),
        ("shard,cpu,memory,draining\ns1,1,1,perhaps\n", "row 2, column draining: is 'perhaps'; write true or false"),
        (b"shard,cpu,memory\n\xff\xfe,1,1\n", "UTF-8"),
    ],
)
def test_bad_shards(tmp_path, shards, said):
    """What is wrong in shards.csv is named with row, column and what to do."""
    with pytest.raises(BadInputError) as refused:
        read(write(tmp_path, shards=shards))
    assert said in str(refused.value)
    assert "shards.csv" in str(refused.value)


@pytest.mark.parametrize(
    ("order_params", "said"),
    [
        (None, "order_params.csv: no such file"),
        ("order_param,cpu,memory\na,1,1\n", "there is no column 'shard'"),
        ("order_param,shard,cpu\na,s1,1\n", "row 1: there is no column 'memory', of which shards.csv states a capacity"),
        (f"{HEAD},disk\na,s1,1,1,1\n", "row 1, column disk: is neither a known column nor a resource"),
        (f"{HEAD}\na,s1,,1\n", "row 2, column cpu: is empty"),
        (f"{HEAD}\na,s1,1,1\na,s2,1,1\n", "row 3, column order_param: names 'a' again (also in row 2)"),
        (f"{HEAD}\na,s9,1,1\n", "row 2, column shard: names the unknown shard 's9'"),
        (f"{HEAD}\n\n\na,s1,1,1\n\nb,s1,x,1\n", "row 6, column cpu: is 'x'"),
        (f'{HEAD}\n"a\nb",s1,1,1\nc,s1,-1,1\n', "row 4, column cpu: is -1"),
        (f"{HEAD},move_cost\na,s1,1,1,-1\n", "row 2, column move_cost: is -1"),
        (f"{HEAD},pinned\na,s1,1,1,2\n", "row 2, column pinned: is '2'"),
        (f"{HEAD},zones\na,s1,1,1,east|north\n", "row 2, column zones: names the unknown zone 'north'"),
        (f"{HEAD},forbidden\na,s1,1,1,s2|s9\n", "row 2, column forbidden: names the unknown shard 's9'"),
        (f"{HEAD},pinned,zones\na,s1,1,1,1,west\n", "pins the order param to shard 's1', which is in none of its zones"),
        (f"{HEAD},pinned,forbidden\na,s1,1,1,1,s1\n", "pins the order param to shard 's1', which is forbidden to it"),
        (
            f"{HEAD},forbidden\na,s1,1,1,s1|s2|s3\n",
            "row 2, column forbidden: together with zones leaves the order param no shard",
        ),
        (f"{HEAD},zones,forbidden\na,s1,1,1,west,s3\n", "row 2, column forbidden: together with zones"),
        (
            f"{HEAD},pinned,spread_group\na,s1,1,1,1,g\nb,s2,1,1,,g\nc,s1,1,1,1,g\n",
            "row 4, column pinned: pins a second member",
        ),
        (
            f"{HEAD},spread_group\n" + "".join(f"{each},s1,1,1,g\n" for each in "abcd"),
            "row 5, column spread_group: the group has 4",
        ),
    ],
)
def test_bad_order_params(tmp_path, order_params, said):
    """What is wrong or contradictory in order_params.csv is named with row, column and what to do."""
    with pytest.raises(BadInputError) as refused:
        read(write(tmp_path, order_params=order_params))
    assert said in str(refused.value)
    assert "order_params.csv" in str(refused.value)


def test_pinned_to_a_draining_shard(tmp_path):
    """An order param that may not leave a shard that is to be emptied is a contradiction."""
    folder = write(tmp_path, shards="shard,cpu,draining\ns1,1,1\n", order_params="order_param,shard,cpu,pinned\na,s1,1,1\n")
    with pytest.raises(BadInputError, match="row 2, column pinned: pins the order param to shard 's1', which is draining"):
        read(folder)


def test_broken_but_mendable_rules_are_no_contradiction(tmp_path):
    """An order param in a wrong zone, on a forbidden shard or beside its group is read: plans mend that."""
    order_params = f"{HEAD},zones,forbidden,spread_group\na,s1,1,1,west,,\nb,s1,1,1,,s1,g\nc,s1,1,1,,,g\n"
    assert read(write(tmp_path, order_params=order_params)).problem.current.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"mode": PlanMode.DRAIN}, "needs --shards"),
        ({"mode": PlanMode.ADD, "shards": ("s9",)}, "unknown shard 's9'"),
        ({"shards": ("s1",)}, "not for --mode relief"),
    ],
)
def test_bad_focus(tmp_path, ask, said):
    """Shards to drain or fill must be named for those modes alone, and exist."""
    with pytest.raises(BadInputError, match=said):
        read(write(tmp_path), **ask)


def test_reading_is_vectorised(tmp_path):
    """100,000 order params with 12 resources and rules are read in a small part of what a loop over cells would take."""
    names = ",".join(f"r{each}" for each in range(12))
    rows = "".join(f"o{k},s{k % 1000},{k % 7},,z{k % 2}," + ",".join(["1.25"] * 12) + "\n" for k in range(100_000))
    shards = f"shard,zone,{names}\n" + "".join(f"s{s},z{s % 2}," + ",".join(["900"] * 12) + "\n" for s in range(1000))
    folder = write(tmp_path, shards=shards, order_params=f"order_param,shard,move_cost,pinned,zones,{names}\n{rows}")
    started_s = monotonic_s()
    problem = read(folder).problem
    assert monotonic_s() - started_s < 3.0  # 0.2 s on an idle machine
    assert problem.load.sum() == 100_000 * 12 * 1.25
