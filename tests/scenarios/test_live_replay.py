"""The arms of a replay on real shard processes: what is run, in whose figures, and that they are those of the model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from models.baseline import BaselineForecaster
from plb_ray.domain.events import NO_EVENTS
from plb_ray.domain.load import RESOURCES, LoadEstimate
from plb_ray.errors import BadInputError
from plb_ray.simulation.replay.arm import Field, run_arm
from plb_ray.simulation.replay.physics import PhysicsParams
from plb_ray.simulation.replay.setting import unavoidable
from plb_ray.simulation.trace import Trace
from service import cli, replay_forecasts
from service.exit_codes import ExitCode
from service.replay_forecasts import forecasts_of
from service.replay_live import LiveReplay, run_live
from service.replay_live_stage import LEAST_BIN_S, OVERHEAD_S, staged

STEP_S = 600
BINS = 10


def field(bins=BINS, rush=range(4, 8)):
    """Six equal order params of 15/s on the first of two shards of 100/s; in a rush each sends 25/s."""
    counts = np.full((6, 1 + bins), 15.0 * STEP_S, dtype=np.float32)
    counts[:, [1 + at for at in rush]] = 25.0 * STEP_S
    trace = Trace("rush", tuple(f"op-{row}" for row in range(6)), 1_700_006_400, STEP_S, counts)
    owner = np.zeros(6, dtype=np.int64)
    return Field(trace, 1, bins, ("shard-0", "shard-1"), np.full(2, 100.0), owner, PhysicsParams())


class NextBin:
    """Tells the true rates of the two bins to come."""

    def __init__(self, on):
        self._on = on

    def estimate(self, at_bin, _owner):
        trace = self._on.trace
        ahead = np.minimum(at_bin + np.arange(2), trace.bins - 1)
        load = np.zeros((len(trace.order_params), 2, len(RESOURCES)))
        load[..., 0] = trace.counts[:, ahead] / STEP_S
        return LoadEstimate(trace.order_params, trace.start_s + STEP_S * (at_bin + np.arange(2)), load, load, 0.9)


def minutes_for(bins, arms, bin_s=LEAST_BIN_S):
    return arms * (bins * bin_s + OVERHEAD_S + 0.01) / 60


def test_the_part_that_is_congested_for_the_longest_is_run_and_fits_the_time():
    """Of a long field the window with the rush; a message is so much of a real one that the rate is bearable."""
    live = staged(field(bins=60, rush=range(40, 44)), arms=2, minutes=minutes_for(10, 2))
    assert live.on.bins == 10
    assert live.on.first_bin <= 41
    assert live.on.first_bin + 10 >= 45
    assert live.stage.seconds_per_bin == pytest.approx(LEAST_BIN_S, rel=0.01)
    assert live.stage.window.sum() / (10 * live.stage.seconds_per_bin) <= 251
    assert live.stage.service_rate_per_s == pytest.approx(100 * live.scale * live.stage.speed)


def test_forecasts_are_made_of_the_part_that_is_run_and_what_comes_after_it_does_not_count(monkeypatch):
    """A rush in the middle of a long field: a forecast for each of its bins, and the part's own unavoidable excess."""
    monkeypatch.setattr(replay_forecasts, "calibrated_ensemble", lambda _seed: BaselineForecaster())
    on = field(bins=300, rush=[*range(200, 204), 280])
    on.trace.counts[0, [201, 281]] = 150.0 * STEP_S
    live = staged(on, arms=2, minutes=minutes_for(10, 2))
    assert live.on.first_bin + live.on.bins < on.trace.bins
    made = forecasts_of(live.on, NO_EVENTS, 1, lambda _done: None)
    assert len(made.quantiles) == live.on.bins
    assert np.isfinite(made.quantiles).all()
    assert made.at(0).cutoff_s == on.trace.start_s + live.on.first_bin * STEP_S
    assert unavoidable(live.on) == pytest.approx(50.0 * STEP_S)


def test_a_sender_that_is_late_is_told():
    """Half a bin late or less is a bin's own blur; more, and the arm is named."""
    found = LiveReplay(None, {}, {"static": 0.2, "oracle": 0.6}, 1.0)
    assert found.too_late == ["oracle"]


@pytest.mark.parametrize(
    ("on", "minutes", "words"),
    [
        (field(), 0.2, "are too few for 2 arms"),
        (replace(field(), rates=np.array([100.0, 50.0])), 5, "must all have the same rate"),
    ],
)
def test_what_cannot_be_run_is_refused(on, minutes, words):
    """Too little time, or shards that differ."""
    with pytest.raises(BadInputError, match=words):
        staged(on, 2, minutes)


@pytest.mark.shards
def test_the_arms_on_real_shards_have_the_figures_of_the_model():
    """Hashing leaves the excess that the model says, within 5 %; who acts leaves less, by real migrations, in order.

    In bins so long that a sender which is some 50 ms late on a busy machine puts few messages into the next one.
    """
    live = staged(field(), arms=2, minutes=minutes_for(BINS, 2, bin_s=2.0))
    told = []
    found = run_live(
        live, ["static", "oracle"], lambda arm: (NextBin(live.on) if arm == "oracle" else None, None), 1, told_to(told)
    )
    modelled = run_arm(live.on, None, None).totals
    static, oracle = found.replay.reported("static").result.totals, found.replay.reported("oracle").result.totals
    assert found.clean
    assert all(verdict.sent == verdict.consumed > 500 for verdict in found.verdicts.values())
    assert static.excess_messages == pytest.approx(modelled.excess_messages, rel=0.05)
    assert static.overload_shard_s == modelled.overload_shard_s == 4 * STEP_S
    assert oracle.migrations >= 1
    assert oracle.excess_messages < 0.8 * static.excess_messages
    assert [done for _, done in told] == sorted(done for _, done in told)


def told_to(told):
    return lambda words, done: told.append((words, done))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "flash-crowd", "--arms", "static-peak"], "there is no static-peak arm on real shards"),
        (["--scenario", "shard-lost", "--arms", "static"], "shards come or are lost in it"),
        (["--scenario", "flash-crowd", "--minutes", "0.1", "--arms", "static"], "are too few"),
    ],
)
def test_the_command_refuses_in_one_sentence(capsys, arguments, words):
    """Before any shard is started."""
    assert cli.run(["replay", "--live", *arguments]) == ExitCode.USAGE
    assert words in capsys.readouterr().err


@pytest.mark.shards
def test_the_command_runs_a_scenario_and_writes_the_same_document(tmp_path):
    """The keys of a modelled replay, and what the order checker found."""
    path = tmp_path / "found.json"
    minutes = str(minutes_for(8, 1))
    arguments = ["--scenario", "flash-crowd", "--live", "--arms", "static", "--minutes", minutes, "--json", str(path)]
    assert cli.run(["replay", *arguments]) == ExitCode.OK
    document = json.loads(path.read_text())
    assert (document["bins"], document["shards"]) == (8, 4)
    figures = document["arms"]["static"]
    assert {"overload_shard_seconds", "excess_messages", "delay_s", "migrations", "shard_hours"} <= figures.keys()
    assert document["order"]["static"]["lost"] == document["order"]["static"]["order_violations"] == 0
