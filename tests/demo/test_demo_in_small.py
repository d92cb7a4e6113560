"""`plb demo` as a user runs it, in small: real Ray, real shards, both arms, table and JSON."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plb_ray.simulation.trace import Trace, packaged_sample
from service.demo import SAMPLE_LEAD_BINS, SAMPLE_MESSAGES_PER_FLIGHT, stage_of
from service.options import DemoOptions
from tests.tools.trace_files import write_trace

pytestmark = [pytest.mark.demo, pytest.mark.ray, pytest.mark.shards, pytest.mark.timeout(1300)]
ARM_KEYS = {
    "sent",
    "consumed",
    "order_violations",
    "lost",
    "duplicates",
    "overload_shard_seconds",
    "delay_ms",
    "migrations",
    "pause_ms",
}


def plb(*arguments: str, cwd: Path, timeout_s: float = 1200) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).parent / "plb"), *arguments]
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)


def end_of_sample(days: int, order_params: int) -> Trace:
    """Return the last days of the packaged sample, of the busiest order params: networks learn them in seconds."""
    sample = packaged_sample().busiest(order_params)
    first = sample.bins - days * 86_400 // sample.step_s
    return replace(sample, start_s=sample.start_s + first * sample.step_s, counts=sample.counts[:, first:])


def test_both_arms_on_the_end_of_the_packaged_sample(tmp_path):
    """Both arms see the same messages, nothing is lost, doubled or reordered, and only `predictive` migrates."""
    trace = write_trace(end_of_sample(days=8, order_params=60), tmp_path / "trace.parquet")
    result = tmp_path / "result.json"
    options = ["--trace", str(trace), "--bins", "16", "--seconds-per-bin", "1", "--json", str(result)]
    done = plb("demo", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dashboard: http://127.0.0.1:" in done.stdout
    assert "shard-seconds over capacity" in done.stdout
    arms = json.loads(result.read_text())["arms"]
    assert list(arms) == ["static", "predictive"]
    for arm in arms.values():
        assert set(arm) == ARM_KEYS
        assert arm["sent"] == arm["consumed"] > 500
        assert (arm["order_violations"], arm["lost"], arm["duplicates"]) == (0, 0, 0)
    assert arms["static"]["sent"] == arms["predictive"]["sent"]
    assert arms["static"]["overload_shard_seconds"] > 0
    assert arms["static"]["migrations"] == {"planned": 0, "completed": 0, "rolled_back": 0}
    assert arms["predictive"]["migrations"]["completed"] > 0


def test_without_a_trace_the_whole_packaged_sample_is_the_stage():
    """Each flight sends so many messages over the bins that end with its own; what is before the window is history."""
    stage, sample = stage_of(DemoOptions()), packaged_sample()
    first, end = stage.first_bin, stage.first_bin + stage.bins
    assert (stage.trace.start_s, stage.trace.order_params) == (sample.start_s, sample.order_params)
    coming = np.lib.stride_tricks.sliding_window_view(
        sample.counts[:, first : end + SAMPLE_LEAD_BINS - 1], SAMPLE_LEAD_BINS, 1
    )
    np.testing.assert_allclose(stage.window, coming.sum(axis=2) * SAMPLE_MESSAGES_PER_FLIGHT / SAMPLE_LEAD_BINS, atol=1e-3)
    assert first > sample.bins / 2
    assert stage.window.sum() > 500


def test_a_malformed_trace_is_refused_before_anything_starts(tmp_path):
    """One sentence on standard error, the exit code of bad input, no traceback."""
    bad = tmp_path / "bad.csv"
    bad.write_text("order_param,ts,messages\na,2020-01-01T00:00Z,-1\n")
    done = plb("demo", "--trace", str(bad), cwd=tmp_path, timeout_s=60)
    assert done.returncode == 2
    assert str(bad) in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_a_state_folder_in_use_is_refused(tmp_path):
    """An earlier demo's state is not mixed with a new one's."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "something").write_text("x")
    done = plb("demo", "--state", str(tmp_path / "state"), cwd=tmp_path, timeout_s=60)
    assert done.returncode == 2
    assert "not empty" in done.stderr
