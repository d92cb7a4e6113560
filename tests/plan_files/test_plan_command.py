from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from optimizer import planner
from plb_ray.domain.plan import Move, Plan, PlanMode, PlanStatus, Termination
from service import cli
from service.cli_plan import ModeName
from service.exit_codes import ExitCode
from tests.plan_files.plan_folder import write

KEYS = ["status", "termination", "overload_before", "overload", "moves", "move_cost", "lower_bound", "gap"]
KEYS += ["max_utilisation", "elapsed_s", "peak_memory_mb", "verified"]


@pytest.fixture
def folder(tmp_path):
    """Shard s1 carries 11 of 10 cpu; moving `a` (cost 1) is enough and the cheapest."""
    return write(tmp_path / "cluster")


def planned(folder, *options):
    path = folder.parent / "plan.json"
    assert cli.run(["plan", str(folder), "--json", str(path), *options]) == ExitCode.OK
    return json.loads(path.read_text())


def test_the_least_migration_that_ends_the_overload(folder, capsys):
    """The JSON holds the agreed keys first, the cheapest plan, its proof and the figures of every shard."""
    found = planned(folder)
    assert list(found)[: len(KEYS)] == KEYS
    assert [(move["order_param"], move["source"]) for move in found["moves"]] == [("a", "s1")]
    assert found["moves"][0]["destination"] in {"s2", "s3"}
    assert found["moves"][0]["reason"]
    assert (found["overload_before"], found["overload"], found["move_cost"], found["lower_bound"]) == (1, 0, 1, 1)
    assert (found["status"], found["gap"], found["verified"]) == ("optimal", 0, True)
    assert found["max_utilisation"] == max(shard["utilisation"] for shard in found["shards"]) <= 1
    assert found["shards"][0]["utilisation_before"] == pytest.approx(1.1)
    assert found["not_moved"] == {"fits": 2, "not_needed": 1}
    for shard in found["shards"]:
        binds = next(each for each in shard["resources"] if each["resource"] == shard["binds"])
        assert binds["utilisation_after"] == shard["utilisation"] == pytest.approx(binds["after"] / binds["capacity"])
        assert binds["headroom"] == shard["headroom"]
        assert max(each["utilisation_before"] for each in shard["resources"]) == shard["utilisation_before"]
    shown = capsys.readouterr()
    assert "optimal" in shown.out
    assert "110%" in shown.out
    assert shown.err == ""


def test_json_on_standard_output(folder, capsys):
    """`--json -` prints the JSON and nothing else."""
    assert cli.run(["plan", str(folder), "--json", "-"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["verified"] is True


def test_reasons_for_every_order_param(folder, tmp_path):
    """--explain has one row per order param: the moves with their reasons, the others with why they stay."""
    planned(folder, "--explain", str(tmp_path / "why.csv"))
    rows = list(csv.DictReader((tmp_path / "why.csv").read_text().splitlines()))
    assert sorted(row["order_param"] for row in rows) == list("abcd")
    assert [row["moves"] for row in rows] == ["true", "false", "false", "false"]
    assert all(row["reason"] for row in rows)


def test_the_page(folder, tmp_path):
    """--report writes one page that holds everything, asks no network, and shows names as text and not as markup."""
    path = folder / "order_params.csv"
    path.write_text(path.read_text().replace("\na,", "\n<i>a</i>,"))
    planned(folder, "--report", str(tmp_path / "out" / "deep"))
    page = (tmp_path / "out" / "deep" / "plan.html").read_text()
    assert "&lt;i&gt;a&lt;/i&gt;" in page
    assert "<i>a</i>" not in page
    assert 'src="http' not in page
    assert "Plotly.newPlot" in page


def test_nothing_to_do(folder):
    """A folder in which nothing overloads has the empty plan."""
    found = planned(folder, "--headroom", "2")
    assert (found["status"], found["moves"], found["move_cost"]) == ("not_needed", [], 0)


@pytest.mark.parametrize("files", [{"order_params": "order_param,shard,cpu,memory\n"}, {"shards": "shard,cpu,memory\n"}])
def test_an_empty_cluster(tmp_path, files):
    """No order params, or no shards for those there are, is an outcome and not a crash."""
    if "shards" in files:
        files["order_params"] = "order_param,shard,cpu,memory\na,,1,1\n"
    found = planned(write(tmp_path / "cluster", **files))
    assert found["moves"] == []
    assert any("there are no" in note for note in found["notes"])
    assert found["status"] == ("partial" if "shards" in files else "not_needed")


def test_load_on_no_capacity(tmp_path):
    """A load where all capacity is 0 is an overload that stays and is said, in JSON that every reader can read."""
    found = planned(write(tmp_path / "cluster", shards="shard,cpu\ns1,0\n", order_params="order_param,shard,cpu\na,s1,3\n"))
    assert (found["status"], found["overload"], found["max_utilisation"]) == ("partial", 3, None)
    assert found["unresolved"]


def test_steps_are_not_summed_peaks(tmp_path):
    """Two order params that peak at different times share a shard: nothing is to do, though their peaks sum to too much."""
    loads = {"order_param": ["a", "b", "a", "b"], "step": [0, 0, 1, 1], "cpu": [9, 1, 1, 9], "memory": [0] * 4}
    assert planned(write(tmp_path / "cluster", loads=loads))["status"] == "not_needed"


def test_drain(folder):
    """Draining empties the named shard."""
    found = planned(folder, "--mode", "drain", "--shards", "s2")
    assert {shard["shard"]: shard["order_params"] for shard in found["shards"]}["s2"] == 0


def test_moves_max(folder):
    """A plan that may have no moves leaves the overload and says so."""
    found = planned(folder, "--moves-max", "0")
    assert (found["status"], found["moves"], found["overload"]) == ("partial", [], 1)


class Lying(planner.CompositePlanner):
    """A planner whose plan claims to help and does not."""

    def explained(self, problem):
        _, story = super().explained(problem)
        move = Move(problem.order_params[2], "s2", "s1", "because")
        return Plan(PlanStatus.OPTIMAL, Termination.PROVEN, (move,), 0.0, 0.0, 0, 0, 1.0, 0.0, 0.5, (), 0.0), story


def test_a_plan_that_fails_the_check_is_not_written(folder, tmp_path, monkeypatch, capsys):
    """What the verifier refuses is not written: its faults are said, the exit code says so, an older file stays."""
    monkeypatch.setattr(planner, "CompositePlanner", Lying)
    path = tmp_path / "plan.json"
    path.write_text("older")
    assert cli.run(["plan", str(folder), "--json", str(path)]) == ExitCode.CHECKS_FAILED
    assert path.read_text() == "older"
    shown = capsys.readouterr()
    assert "does not pass the check" in shown.err
    assert shown.out == ""


def test_a_zipf_cluster(tmp_path):
    """500 skewed order params on 20 shards: no overload is left, the gap is small, and the file agrees with a recount."""
    rng = np.random.default_rng(5)
    loads = rng.permutation(np.arange(1, 501) ** -0.6)
    owners = rng.integers(0, 20, 500)
    rows = "".join(f"o{k},s{owners[k]},{loads[k]:.6f}\n" for k in range(500))
    shards = "shard,cpu\n" + "".join(f"s{s},{loads.sum() / 20 / 0.75:.6f}\n" for s in range(20))
    found = planned(
        write(tmp_path / "cluster", shards=shards, order_params="order_param,shard,cpu\n" + rows), "--deadline", "5"
    )
    assert (found["overload"], found["verified"]) == (0, True)
    assert found["overload_before"] > 0
    assert found["gap"] <= 0.1
    for move in found["moves"]:
        owners[int(move["order_param"][1:])] = int(move["destination"][1:])
    share = np.bincount(owners, weights=loads, minlength=20) / (loads.sum() / 20 / 0.75)
    assert share.max() == pytest.approx(found["max_utilisation"], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--headroom", "0"], "--headroom"),
        (["--headroom", "nan"], "--headroom"),
        (["--gap", "2"], "--gap"),
        (["--deadline", "0"], "--deadline"),
        (["--band", "nan"], "--band"),
        (["--mode", "magic"], "--mode"),
        (["--mode", "drain"], "--shards"),
        (["--json", "no/such/folder/plan.json"], "cannot be written"),
    ],
)
def test_bad_usage(folder, capsys, options, said):
    """Wrong options are named and leave with 2 before any work."""
    assert cli.run(["plan", str(folder), *options]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_bad_files(folder, capsys):
    """A file that cannot be meant is one sentence, with file, row and column, and leaves with 2."""
    path = folder / "order_params.csv"
    path.write_text(path.read_text().replace("a,s1,1,6", "a,s1,1,six"))
    assert cli.run(["plan", str(folder)]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert f"{path}, row 2, column cpu: is 'six', which is not a number" in err
    assert err.count("\n") == 1


def test_the_modes_have_one_list():
    """The command offers the modes that the domain knows."""
    assert [each.value for each in ModeName] == [each.value for each in PlanMode]


def test_neither_ray_nor_torch(folder):
    """A plan is made without importing Ray, torch, a server or the network's libraries."""
    heavy = ("ray", "torch", "neuralforecast", "fastapi", "httpx", "grpc", "plotly")
    code = f"import sys; from service.cli import run; left = run(['plan', {str(folder)!r}])\n"
    code += f"print(left, [name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, timeout=110
    )
    assert done.stdout.rstrip().endswith("0 []")
