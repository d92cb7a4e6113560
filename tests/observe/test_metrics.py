"""/metrics: what it tells, that names follow the scheme, that its size is bounded, what a scrape costs."""

import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from plb_ray.control.guard import Guard
from plb_ray.control.histogram import Histogram
from plb_ray.control.loop_meter import TICK_BUCKETS_S, BusyOrderParam, LoopCounts, LoopMeter
from plb_ray.control.migration_meter import MigrationMeter
from plb_ray.control.views import Admission
from plb_ray.domain.migration import MigrationStep
from service.api.metrics import Metrics
from tests.service.fake_balancer import NOW_S, default_decision, default_quality, default_status, record, shard_view

MANUAL = Path(__file__).parents[2] / "docs" / "observability.md"


def full_counts():
    return LoopCounts(
        ticks_failed=2,
        tick_s=Histogram(TICK_BUCKETS_S).plus(0.2).plus(70.0),
        moves={Admission.ADMITTED: 7, Admission.AWAITS_APPROVAL: 1},
        trusted=True,
        foreseen_loss=0.2,
        measured_loss=0.3,
        forecast_age_s={"short": 12.0, "medium": 12.0},
        busiest=(BusyOrderParam("JFK-LAX", "shard-3", 40.0, 55.0), BusyOrderParam("a//b", "shard-1", 4.0, None)),
        notices={("slack", "sent"): 3},
    )


def full_status():
    return replace(default_status(), counts=full_counts())


def scrape(status=None, metrics=None):
    metrics = metrics or Metrics()
    metrics.observe("/v1/status", "GET", 200, 0.002)
    return metrics.render(status or full_status(), default_decision(), default_quality()).decode()


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_what_the_loop_counts_is_told():
    """Ticks, decided moves, the guard, ages, notices and the busiest order params come out with their values."""
    found = samples(scrape())
    assert found["plb_ticks_failed_total",] == 2
    assert found["plb_tick_duration_seconds_count",] == 2
    assert found["plb_tick_duration_seconds_bucket", ("le", "60")] == 1
    assert found["plb_moves_total", ("admission", "admitted")] == 7
    assert found["plb_moves_total", ("admission", "deferred")] == 0
    assert found["plb_forecast_trusted",] == 1
    assert found["plb_forecast_age_seconds", ("horizon", "short")] == 12
    busy = (("order_param", "JFK-LAX"), ("shard", "shard-3"))
    assert found["plb_order_param_arrival_messages_per_second", *busy] == 40
    assert found["plb_order_param_foreseen_messages_per_second", *busy] == 55
    assert found["plb_notifications_total", ("outcome", "sent"), ("target", "slack")] == 3
    assert found["plb_history_samples_total", ("outcome", "new")] == 0
    assert found["plb_decision_basis", ("basis", "forecast")] == 1


def test_names_follow_the_scheme():
    """Every name begins with plb_, says its unit if it has one, and has a help text; only counters end in _total."""
    for name, family in families(scrape()).items():
        assert re.fullmatch(r"plb_[a-z0-9_]+", name), name
        assert family.documentation.endswith("."), name
        assert not re.search(r"_(ms|millis|minutes|hours|s|kb|mb)$", name), name
        assert (family.type == "counter") == any(each.name.endswith("_total") for each in family.samples), name


def test_every_metric_is_in_the_manual_and_nothing_else():
    """docs/observability.md has a row per metric, under the name that Prometheus shows."""
    told = set(re.findall(r"^\| `(plb_[a-z0-9_]+)", MANUAL.read_text(), re.MULTILINE))
    shown = {
        name + ("_total" if family.type == "counter" else "")
        for name, family in families(scrape()).items()
        if not name.startswith("plb_api_") and not name.endswith("_created")  # of the library, not ours
    }
    assert told == shown


def test_no_scrape_without_a_status_fails():
    """A loop that is away leaves plb_up, and what the API counts itself."""
    found = samples(Metrics().render(None, None, ()).decode())
    assert found["plb_up",] == 0
    assert not any(key[0].startswith("plb_shard") for key in found)


def test_what_a_scrape_costs_with_many_shards():
    """1,000 shards are told in well under a second, with a number of samples that grows with shards alone."""
    some, many = (
        replace(full_status(), shards=tuple(shard_view(f"shard-{row}", 0.6, 0.9) for row in range(count)))
        for count in (10, 1000)
    )
    started_s = time.perf_counter()
    text = scrape(many)
    took_s = time.perf_counter() - started_s
    count = len(re.findall(r"^plb_shard", text, re.MULTILINE))
    assert count <= 13 * 1000
    assert len(samples(text)) - count == len(samples(scrape(some))) - len(
        re.findall(r"^plb_shard", scrape(some), re.MULTILINE)
    )
    assert took_s < 2.0


class Seen:
    """What the meter needs of an `Observation`: K order params over two shards."""

    def __init__(self, loads):
        names = tuple(f"order-{row}" for row in range(len(loads)))
        self.arriving = np.array([[load, 0.0, 0.0] for load in loads], dtype=float).reshape(-1, 3)
        self.history = type("H", (), {"order_params": names})()
        self.rates = self.arriving[:, 0] * 100
        self.owner = np.array([row % 2 for row in range(len(loads))], dtype=np.int64)
        self.shards = [type("S", (), {"shard_id": f"shard-{row}"})() for row in range(2)]


@pytest.mark.parametrize(("top", "expected"), [(0, []), (2, ["order-1", "order-2"]), (9, ["order-1", "order-2", "order-0"])])
def test_only_the_busiest_order_params_are_told(top, expected):
    """As many as are set, by load, ties by name; fewer if there are not so many."""
    counts = LoopMeter(top).counts(Seen([0.1, 0.5, 0.5]), None, 0.0)
    assert [each.order_param for each in counts.busiest] == expected
    assert all(each.foreseen_messages_per_s is None for each in counts.busiest)


def test_the_meter_before_anything_happened():
    """Nothing seen, nothing decided: zeros, and no word about trust."""
    counts = LoopMeter(20).counts(None, None, 0.0)
    assert (counts.busiest, counts.trusted, counts.ticks_failed) == ((), None, 0)
    assert LoopMeter(20).counts(Seen([]), None, 0.0).busiest == ()


def test_the_meter_adds_up():
    """Ticks and moves add up over decisions; a sender's counts are read as they are at the moment."""
    notices = Counter()
    meter = LoopMeter(0, notices)
    for failed in (False, True, False):
        meter.ticked(0.3, failed=failed)
        meter.decided(default_decision(), Guard(trusted=failed))
    notices["slack", "sent"] += 1
    counts = meter.counts(None, None, 0.0)
    assert (counts.ticks_failed, sum(counts.tick_s.counts)) == (1, 3)
    assert counts.moves == {Admission.ADMITTED: 3, Admission.MODE_FORBIDS: 3}
    assert counts.trusted is False
    assert counts.notices == {("slack", "sent"): 1}


def test_durations_of_migrations_by_outcome():
    """Each migration counts once, by how it ended, with the time from its start to its end."""
    meter = MigrationMeter(lambda: NOW_S - 1000)
    for _ in range(2):  # what is known already is not counted again
        meter.note(record("m1", "a", MigrationStep.DONE, 100.0))
        meter.note(record("m2", "b", MigrationStep.ABORTED, 100.0, error="why"))
    durations = meter.totals().durations_s
    assert {step: sum(found.counts) for step, found in durations.items()} == {
        MigrationStep.DONE: 1,
        MigrationStep.ABORTED: 1,
    }
    assert durations[MigrationStep.DONE].total == pytest.approx(0.8)


def test_a_histogram_counts_into_half_open_ranges():
    """A value on a bound counts below it, one above all bounds in the last range."""
    found = Histogram((1.0, 2.0)).plus(1.0).plus(1.5).plus(9.0)
    assert (found.counts, found.total) == ((1, 1, 1), 11.5)
