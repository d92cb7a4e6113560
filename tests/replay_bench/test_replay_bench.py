from tests.replay_bench.__main__ import judged, main
from tests.replay_bench.mappings import means


def test_a_trace_that_is_not_there_is_skipped_by_name(tmp_path, capsys):
    """Nothing is replayed, and the output says what was looked for."""
    assert main(["--only", "servegen_m-small_10min", "--traces", str(tmp_path)]) == 0
    assert "servegen_m-small_10min: skipped" in capsys.readouterr().out


def test_every_goal_is_told_with_what_was_reached():
    """Also where there is nothing to compare."""
    verdict = {"of_reactive": 0.714, "of_oracle": None, "of_shard_hours": 0.5}
    said = judged({"verdict": verdict, "minutes": 2.25})
    assert said == "of_reactive 71% (goal 70%), of_oracle none (goal 80%), of_shard_hours 50% (goal 50%), 2.2 min (goal 5)"


def test_the_mean_of_each_setting_is_over_all_mappings():
    """In the order of the arms; a setting without a headroom is one too."""
    rows = [
        (1, "oracle", 0.9, 0.0, 4, 600.0, 8.0),
        (1, "static", None, 10.0, 0, 1200.0, 8.0),
        (2, "static", None, 30.0, 0, 0.0, 8.0),
        (2, "oracle", 0.9, 2.0, 6, 0.0, 9.0),
    ]
    found = means(rows)
    assert list(found) == [("static", None), ("oracle", 0.9)]
    assert [each.tolist() for each in found.values()] == [[20.0, 0.0, 600.0, 8.0], [1.0, 5.0, 300.0, 8.5]]
