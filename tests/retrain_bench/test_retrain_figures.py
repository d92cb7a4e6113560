import numpy as np

from tests.retrain_bench.figures import summary, table


def test_a_phase_in_figures():
    """Median, 99th percentile and worst tick are in milliseconds; the table has a line for each phase."""
    seconds = np.full(100, 0.010)
    seconds[7] = 0.5
    row = summary("alone", seconds, 0.98765)
    assert (row["ticks"], row["p50_ms"], row["max_ms"], row["by_network"]) == (100, 10.0, 500.0, 0.988)
    assert 10.0 < row["p99_ms"] < 500.0
    lines = table([row, {**row, "phase": "with a retraining"}]).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("with a retraining  100")
