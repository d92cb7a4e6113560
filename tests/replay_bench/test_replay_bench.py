from tests.replay_bench.__main__ import judged, main


def test_a_trace_that_is_not_there_is_skipped_by_name(tmp_path, capsys):
    """Nothing is replayed, and the output says what was looked for."""
    assert main(["--only", "servegen_m-small_10min", "--traces", str(tmp_path)]) == 0
    assert "servegen_m-small_10min: skipped" in capsys.readouterr().out


def test_every_goal_is_told_with_what_was_reached():
    """Also where there is nothing to compare."""
    verdict = {"of_reactive": 0.714, "of_oracle": None, "of_shard_hours": 0.5}
    said = judged({"verdict": verdict, "minutes": 2.25})
    assert said == "of_reactive 71% (goal 70%), of_oracle none (goal 80%), of_shard_hours 50% (goal 50%), 2.2 min (goal 5)"
