import json

from tests.forecast_bench.__main__ import main


def test_it_runs_and_writes_what_it_measured(tmp_path):
    """In small: a trace that is not there is skipped by name, and every speed is measured."""
    path = tmp_path / "figures.json"
    assert main(["--smoke", "--traces", str(tmp_path), "--only", "taxi_30min short", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["traces"] == []
    assert len(figures["speed"]) == 4
    assert min(figures["speed"].values()) > 0
