"""`plb replay` from the command line, on a small trace, and the choices behind it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from traffic import SETTINGS, STEP_S, Told, decider, field, shifted_days, trace_of

from models.baseline import BaselineForecaster
from models.calibration import Calibrated
from models.ensemble import Ensemble
from models.intermittent import IntermittentForecaster
from plb_ray.domain.events import NO_EVENTS
from plb_ray.errors import BadInputError
from plb_ray.settings import ElasticSettings
from plb_ray.simulation.replay.arm import ArmResult, run_arm
from plb_ray.simulation.replay.elastic_fleet import ElasticFleet
from plb_ray.simulation.replay.physics import PhysicsParams, Totals
from plb_ray.simulation.replay.setting import field_of, static_peak, unavoidable
from service import cli, replay_forecasts
from service.exit_codes import ExitCode
from service.replay_forecasts import Foretold, Oracle, forecasts_of
from service.replay_report import verdict, words
from service.replay_run import Replay, Run, _best_first
from tests.tools.trace_files import write_trace


@pytest.fixture(autouse=True)
def _without_networks(monkeypatch):
    """Forecast without networks: how long those train depends on the clock, so no two are exactly the same."""

    def quick(_seed):
        return Calibrated(Ensemble([IntermittentForecaster(), BaselineForecaster()], beforehand=(1.0, 1.0)))

    monkeypatch.setattr(replay_forecasts, "calibrated_ensemble", quick)


@pytest.mark.timeout(240)  # two processes import the solver
def test_the_command_runs_every_arm_and_writes_figures_and_page(tmp_path, capsys):
    """JSON with the promised keys for each arm, a frontier for those that decide, and a page that needs no network."""
    path = write_trace(trace_of(shifted_days(order_params=12, days=3)), tmp_path / "trace.parquet")
    arms = "static,static-peak,reactive,predictive,oracle,elastic"
    code = cli.run(
        [
            "replay",
            str(path),
            "--shards",
            "3",
            "--days",
            "1",
            "--arms",
            arms,
            "--json",
            "-",
            "--report",
            str(tmp_path / "out"),
        ]
    )
    assert code == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["shards"], found["bins"], list(found["arms"])) == (3, 144, arms.split(","))
    for arm, figures in found["arms"].items():
        assert {"p50", "p99"} <= figures["delay_s"].keys()
        for key in ("overload_shard_seconds", "excess_messages", "migrations", "bytes_moved", "shard_hours", "thrash_pct"):
            assert figures[key] >= 0
        assert len(figures.get("frontier", ())) == {"static": 0, "static-peak": 0, "elastic": 1}.get(arm, 6)
    assert found["arms"]["static"]["migrations"] == found["arms"]["static-peak"]["excess_messages"] == 0
    assert found["arms"]["static-peak"]["shard_hours"] > found["arms"]["static"]["shard_hours"] == pytest.approx(72)
    assert found["arms"]["oracle"]["excess_messages"] < 0.2 * found["arms"]["static"]["excess_messages"]
    page = (tmp_path / "out" / "replay.html").read_text()
    assert "Excess against migrations" in page
    assert "http://" not in page.split("<body>")[1].split("<script")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--arms", "magic"], "unknown arm 'magic'"),
        (["--arms", ","], "unknown arm ''"),
        (["--days", "0"], "days: must be above 0"),
        (["--utilisation", "1.5"], "utilisation: must be between 0 and 1"),
        (["--capacity", "nowhere.csv"], "columns shard, messages_per_s"),
        (["--json", "no/such/folder.json"], "a folder that exists"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path, capsys, arguments, words):
    """A wrong option is named with what to do, before anything is computed."""
    path = write_trace(trace_of(shifted_days(order_params=4, days=1)), tmp_path / "trace.parquet")
    assert cli.run(["replay", str(path), *arguments]) == ExitCode.USAGE
    assert words in capsys.readouterr().err


def test_capacities_of_a_file_are_the_shards(tmp_path):
    """As many shards as it has rows, each with its rate; what is not a rate is refused."""
    from service.cli_replay import _rates  # noqa: PLC0415  of this test alone

    path = tmp_path / "shards.csv"
    path.write_text("shard,messages_per_s\na,10\nb,20\n")
    assert _rates(str(path)).tolist() == [10.0, 20.0]
    path.write_text("shard,messages_per_s\na,10\nb,-1\n")
    with pytest.raises(BadInputError, match="above 0"):
        _rates(str(path))


def test_the_rule_of_capacity_ignores_a_single_burst_and_says_what_is_unavoidable():
    """One bin of one order param does not set the size of the shards; what it brings beyond one is told apart."""
    counts = np.full((10, 400), 60.0)
    counts[0, 300] = 1e6
    on = field_of(trace_of(counts), 4, 0.8, PhysicsParams())
    assert on.rates.tolist() == pytest.approx([600 / 4 / 0.8 / STEP_S] * 4)
    assert unavoidable(on) == pytest.approx(1e6 - on.rates[0] * STEP_S)
    assert unavoidable(field(shifted_days(days=1))) == 0


def test_static_peak_has_the_fewest_shards_that_hashing_never_congests():
    """One shard less, and some bin is over; where one order param is larger than a shard there is no such number."""
    on = field(shifted_days(order_params=12, days=1), shards=3, utilisation=0.5)
    peak = static_peak(on)
    assert peak is not None
    arrived = [np.bincount(peak.owner, weights=bin_, minlength=len(peak.rates)) for bin_ in peak.trace.counts.T[1:]]
    assert (np.array(arrived) <= peak.rates * STEP_S).all()
    assert static_peak(replace(on, rates=on.rates / 1e6)) is None


def test_forecasts_know_nothing_of_what_has_not_passed():
    """Whatever comes after a bin, the forecasts up to it are the same; the oracle alone knows."""
    counts = shifted_days(order_params=4, days=3)
    other = counts.copy()
    other[:, -20:] *= 7
    made = [forecasts_of(field(each, first_bin=300), NO_EVENTS, 1, lambda _: None) for each in (counts, other)]
    np.testing.assert_array_equal(made[0].quantiles[:-20], made[1].quantiles[:-20])
    on = field(counts, first_bin=300)
    told = Oracle(on).estimate(310, on.owner)
    np.testing.assert_allclose(told.target[:, 0, 0], counts[:, 310] / STEP_S, rtol=1e-5)
    load = Foretold(made[0], on, (0.9, 0.9, 0.9)).estimate(310, on.owner)
    assert load.target.shape == (4, 2, 3)
    assert (load.target >= load.expected - 1e-9).all()


def test_the_reported_reactive_run_is_its_best_of_all():
    """Least excess, whatever it costs in migrations; of equals the one with the fewest. Predicting is not chosen from."""
    reactive = [one("reactive", 0.7, 1.0, 90), one("reactive", 0.8, 1.0, 40), one("reactive", 0.9, 9.0, 10)]
    predictive = [one("predictive", 0.7, 0.0, 5), one("predictive", 0.9, 3.0, 5)]
    found = _best_first({"reactive": reactive, "predictive": predictive})
    assert (found["reactive"][0].headroom, found["predictive"][0].headroom) == (0.8, 0.9)
    assert len(found["reactive"]) == 3


@pytest.mark.parametrize(
    ("left", "said"), [(5.0, "75% less avoidable excess than"), (50.0, "2.5 times the avoidable excess of")]
)
def test_a_loss_is_told_as_a_loss(left, said):
    """Where predicting leaves more than reacting, the sentence says how many times as much."""
    runs = {"reactive": [one("reactive", 0.9, 20.0, 9)], "predictive": [one("predictive", 0.9, left, 9)]}
    assert words(Replay(field(shifted_days(days=1)), runs, unavoidable=0.0))[0] == (
        f"Predicting leaves {said} the best reactive setting."
    )


def test_the_verdict_compares_what_a_mapping_can_avoid():
    """Excess without what is unavoidable: against the best reacting, the best with as few moves, and the oracle's saving."""
    runs = {
        "static": [one("static", None, 110.0, 0)],
        "reactive": [one("reactive", 0.8, 20.0, 40), one("reactive", 0.9, 60.0, 10)],
        "predictive": [one("predictive", 0.9, 15.0, 12)],
        "oracle": [one("oracle", 0.9, 10.0, 12)],
    }
    shares = verdict(Replay(field(shifted_days(days=1)), runs, unavoidable=10.0))
    assert shares == {
        "of_reactive": pytest.approx(0.5),
        "of_reactive_with_as_few_moves": pytest.approx(0.9),
        "of_oracle": pytest.approx(0.95),
        "of_shard_hours": None,
    }


def test_elastic_shards_follow_the_load_and_cost_fewer_hours():
    """Days and nights on a fleet that is too large: shards go and come, nothing congests that would not otherwise."""
    on = field(shifted_days(order_params=60, days=2, seed=4), shards=6, utilisation=0.4)
    settings = replace(SETTINGS, headroom=0.8)
    fleet = ElasticFleet(float(on.rates[0]), np.ones(6, dtype=bool), ElasticSettings(min_shards=2, max_shards=6), 0.8)
    found = run_arm(on, decider(settings), Told(on), None, fleet)
    assert found.totals.excess_messages == 0
    assert found.totals.shard_s < 0.75 * 6 * on.bins * STEP_S
    assert found.totals.migrations > 10


def one(arm, headroom, excess, migrations):
    """A run with nothing in it but what it is judged by."""
    totals = Totals(excess_messages=excess, migrations=migrations)
    return Run(arm, headroom, ArmResult(totals, 0.0, 0, 0.0, np.zeros(1), np.zeros(1, dtype=np.int64)))
