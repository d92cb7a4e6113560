import json

from tests.tick_bench.__main__ import main


def test_it_runs_and_writes_what_it_measured(tmp_path):
    """In small: every tick decides, is timed, and the record's part of it is told."""
    path = tmp_path / "figures.json"
    assert main(["--size", "300x6:0.5", "--ticks", "2", "--json", str(path)]) == 0
    (figures,) = json.loads(path.read_text())["sizes"]
    assert (figures["order_params"], figures["shards"], figures["network"]) == (300, 6, False)
    assert len(figures["wall_s"]) == len(figures["moves"]) == 2
    assert all(0 < part < whole for part, whole in zip(figures["record_cpu_s"], figures["cpu_s"], strict=True))
