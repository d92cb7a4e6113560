"""Feedback at its places: the history's gaps, the registry, the metrics. In the loop: tests/control."""

import numpy as np

from models.registry import ModelRegistry
from plb_ray.history.samples import Cells
from plb_ray.history.window import StepWindow
from service.api.metrics import Metrics
from tests.registry.builders import NOW_S, filled, folder_at
from tests.service.fake_balancer import default_quality


def test_gaps_are_steps_of_which_nobody_told():
    """A step that was only filled up is a gap until a cell of it is pushed; those before the time asked for are left out."""
    window = StepWindow(60, 100)
    for start_s in (0, 240, 360):
        window.put(start_s, {"a": 1.0})
    assert window.gap_starts_s(0).tolist() == [60, 120, 180, 300]
    window.push(Cells(("a",), np.array([120]), np.array([0]), np.array([2.0], dtype=np.float32)))
    assert window.gap_starts_s(120).tolist() == [180, 300]
    assert window.gap_starts_s(10_000).tolist() == StepWindow(60, 100).gap_starts_s(0).tolist() == []


def test_figures_reach_prometheus():
    """Coverage and loss by horizon and forecaster, and the seasonal naive's loss beside the champion's."""
    text = Metrics().render(None, None, default_quality()).decode()
    assert 'plb_forecast_coverage{forecaster="champion",horizon="short",interval="80"} 0.806' in text
    assert 'plb_forecast_loss{forecaster="seasonal_naive",horizon="medium"} 0.35' in text
    assert text.count('plb_forecast_loss{forecaster="seasonal_naive"') == 2


def test_a_verdict_reaches_every_group_of_the_horizon(tmp_path):
    """The baseline serves all groups at the short horizon, with the reason in the audit; the medium one is left alone."""
    for group, horizon in (("group-0", "short"), ("hot-0", "short"), ("group-0", "medium")):
        filled(tmp_path / group / horizon, 2)
    registry = ModelRegistry(tmp_path, lambda: NOW_S)
    for _ in range(2):
        registry.demote("short", "worse than the seasonal naive", 1_385_560_800.0)
    folders = {(group, horizon): versions for group, horizon, versions in registry.folders()}
    assert {place: versions.champion() for place, versions in folders.items()} == {
        ("group-0", "medium"): "v0002",
        ("group-0", "short"): None,
        ("hot-0", "short"): None,
    }
    last = folder_at(tmp_path / "hot-0" / "short").events()[-1]
    assert (last.what, last.version, last.who) == ("demoted", "v0002", "feedback")
    assert last.reason == "worse than the seasonal naive (in the week until 2013-11-27T14:00:00Z)"
