"""Scenarios as text: what is read, what is refused, which traffic it becomes, and the command that plays them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from optimizer.checker import PlanVerifier
from plb_ray.control.deciding import Decider
from plb_ray.control.views import Admission, AdmittedMove
from plb_ray.domain.load import RESOURCES
from plb_ray.domain.plan import Move
from plb_ray.errors import BadInputError
from plb_ray.settings import BalancerSettings
from plb_ray.simulation.replay.physics import Fluid, PhysicsParams
from plb_ray.simulation.scenarios.build import BEGIN_S, build
from plb_ray.simulation.scenarios.parse import parse, split
from plb_ray.simulation.scenarios.play import play
from service import cli
from service.exit_codes import ExitCode
from service.steady_planner import SteadyPlanner

SMALL = """# Two shards, six tenants.
history 6h
length 2h
shards 2 x 100/s
traffic tenant x6 20/s
"""
STEP_S = 600


def built(*lines):
    return build(parse(SMALL + "\n".join(lines) + "\n", "test"))


def test_what_is_not_said_has_the_documented_value():
    """Steps of ten minutes, seed 1, the balancer's headroom, the baseline; the title is what stands behind #."""
    scenario = parse(SMALL, "test")
    assert (scenario.step_s, scenario.seed, scenario.headroom, scenario.forecaster) == (600, 1, 0.9, "baseline")
    assert (scenario.title, scenario.bins, scenario.first_bin) == ("Two shards, six tenants.", 12, 36)


def test_what_came_of_it_is_not_a_part_of_what_it_says():
    """Below the line anything may stand; writing the two together gives the file again."""
    said, came = split(SMALL + "====\nstatic\n  nonsense x -1\n")
    assert (said, came) == (SMALL, "static\n  nonsense x -1\n")
    assert split(SMALL) == (SMALL, "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trafic a x2 3/s", "line 6: 'trafic a x2 3/s': unknown word 'trafic'"),
        ("traffic a 2 3/s", "'2' is not a number of order params such as x20"),
        ("traffic a x2 3", "'3' is not a rate above 0 such as 100/s"),
        ("traffic a x2 3/s noise", "'noise' has no value"),
        ("traffic a x2 3/s colour red", "unknown word 'colour'"),
        ("traffic a x2 3/s daily 1.5", "'1.5' is not a share"),
        ("traffic tenant x2 3/s", "two groups of traffic have one name"),
        ("traffic a x2 3/s on shard-7", "traffic is on shard-7, which is not there at the beginning"),
        ("at noon times 2 *", "'noon' is not a time such as 90s"),
        ("at 1h times 2 nobody-*", "no order param matches 'nobody-*'"),
        ("at 1h times -2 *", "must not be negative"),
        ("at 1h times 2 * until 2h", "unknown word 'until'; known is for"),
        ("at 1h explode shard-1", "unknown word 'explode'"),
        ("at 1h lose shard-9", "it loses shard-9, which it does not have"),
        ("step", "it takes one value"),
        ("history 1h", "it is said twice"),
        ("forecaster crystal-ball", "forecaster is one of baseline, events"),
        ("at 1h", "it cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_its_line(line, words):
    """The error names the file, and where it can the line, and what would be right."""
    with pytest.raises(BadInputError, match="test") as refused:
        parse(f"{SMALL}{line}\n", "test")
    assert words in str(refused.value)


def test_a_scenario_needs_two_shards():
    """One that is added later does not count."""
    with pytest.raises(BadInputError, match="needs two shards at the beginning"):
        parse("shards 1 x 5/s\nat 1h add 1 x 5/s\ntraffic a x1 1/s\n", "test")


def test_traffic_is_what_the_words_say():
    """Mean rates, sizes, the day, drift, turns, and events that cover part of a bin, worked out by hand."""
    on = built(
        "traffic sized x3 30/s zipf 1",
        "traffic day x1 10/s daily 0.5 peak 1h",
        "traffic more x1 10/s drift 12",
        "traffic turn x2 10/s swing 10m on shard-1",
        "at 65m times 3 tenant-0 for 5m announced sale",
    )
    rate = {name: row / STEP_S for name, row in zip(on.trace.order_params, on.trace.counts, strict=True)}
    assert rate["tenant-1"] == pytest.approx(20)
    assert rate["sized-0"][0] == pytest.approx(2 * rate["sized-1"][0])
    assert sum(rate[f"sized-{n}"][0] for n in range(3)) == pytest.approx(90)
    assert rate["day-0"][36 + 6] == pytest.approx(15, rel=0.01)
    assert rate["more-0"][:36] == pytest.approx(10)
    assert rate["more-0"][36 + 6] == pytest.approx(10 * (1 + 12 * (65 / 60) / 24))
    assert (rate["turn-0"] + rate["turn-1"]).tolist() == pytest.approx([20] * 48)
    assert (rate["turn-0"][36:40] > rate["turn-1"][36:40]).tolist() == [True, False, True, False]
    assert on.owner[-2:].tolist() == [1, 1]
    assert rate["tenant-0"][[41, 42, 43]].tolist() == pytest.approx([20, 40, 20])  # half of the bin is covered
    (event,) = on.calendar.events
    assert (event.kind, event.start_s - BEGIN_S, event.end_s - event.start_s) == ("sale", 3900, 300)


def test_the_same_scenario_is_the_same_traffic_and_another_seed_another():
    """Noise comes from the seed alone."""
    noisy = "traffic noisy x3 5/s noise 0.3"
    assert (built(noisy).trace.counts == built(noisy).trace.counts).all()
    assert (built(noisy).trace.counts != built(noisy, "seed 2").trace.counts).any()


class Recorder:
    """The real decider, which has nothing to do here; one move is added in its second tick, and what it is shown is kept."""

    def __init__(self, source, destination):
        self.seen, self._move = [], Move("tenant-0", source, destination, "test")
        self._decider = Decider(SteadyPlanner(), PlanVerifier(), BalancerSettings(step_s=STEP_S, headroom=1.0))

    def decide(self, situation, orders, memory):
        self.seen.append(situation)
        ruling, memory = self._decider.decide(situation, orders, memory)
        assert ruling.moves == ()
        moves = (AdmittedMove(self._move, Admission.ADMITTED),) if len(self.seen) == 2 else ()
        return replace(ruling, moves=moves), memory


def test_a_lost_shard_is_silent_counts_as_before_and_moves_from_it_are_undone():
    """The balancer is told the rates of before the loss, and what it sends changes nothing."""
    on = built("traffic x x1 1/s on shard-0", "at 0m lose shard-0 for 30m", "at 10m times 5 x-0")
    recorder = Recorder("shard-0", "shard-1")
    found = play(on, recorder, None, PhysicsParams())
    row, cpu = on.trace.order_params.index("x-0"), RESOURCES.index("cpu_cores")
    assert [bool(each.silent) for each in recorder.seen[:4]] == [True, True, True, False]
    assert [each.measured[row, cpu] for each in recorder.seen[:6]] == pytest.approx([1, 1, 1, 1, 5, 5])
    assert [each.undone for each in found.sent] == [True]
    assert found.totals.migrations == 0


def test_a_shard_that_is_added_is_not_there_before():
    """It is described from its time on, and takes what is sent to it."""
    on = built("at 10m add 1 x 50/s")
    recorder = Recorder("", "shard-2")
    found = play(on, recorder, None, PhysicsParams())
    assert [len(each.shards) for each in recorder.seen[:3]] == [2, 3, 3]
    assert found.totals.migrations == 1


def test_who_came_while_a_shard_was_down_waits_until_it_is_back():
    """100 messages over ten seconds that nobody serves, then 20 a second: delays from 0.25 s less to 15 s."""
    one = Fluid(np.array([0.0]), np.array([0]), PhysicsParams(substeps=100))
    one.run(np.array([100.0]), 10.0)
    assert one.totals.delay_s(0.01) > 1e6  # nobody knows when, so for ever
    one.rates = np.array([20.0])
    one.run(np.array([0.0]), 10.0)
    assert one.totals.delays.sum() == pytest.approx(100)
    assert one.totals.delay_s(0.5) == pytest.approx(7.5, rel=0.05)  # came at 5 s, 50 before it: served at 12.5 s
    assert one.totals.delay_s(1.0) == pytest.approx(10, rel=0.05)


def test_the_command_records_compares_and_prints(tmp_path, capsys):
    """--rewrite writes what came of it, the next run agrees, a changed record is shown as a diff and leaves with 8."""
    path = tmp_path / "small.txt"
    path.write_text(SMALL)
    assert cli.run(["replay", str(path), "--rewrite"]) == ExitCode.OK
    assert cli.run(["replay", str(path), "--json", str(tmp_path / "small.json")]) == ExitCode.OK
    figures = json.loads((tmp_path / "small.json").read_text())["arms"]
    assert list(figures) == ["static", "reactive", "predictive", "oracle"]
    assert figures["static"]["shard_hours"] == pytest.approx(4)
    path.write_text(path.read_text().replace("static\n  over capacity", "static\n  under capacity"))
    capsys.readouterr()
    assert cli.run(["replay", str(path)]) == ExitCode.CHECKS_FAILED
    assert "-  under capacity" in capsys.readouterr().err
    assert cli.run(["replay", "--scenario", "no-such"]) == ExitCode.USAGE
    assert "stable" in capsys.readouterr().err
