import psutil
import pytest

from plb_ray.queues.embedded.meter import LatencyWindow, ProcessUse, SlidingSum, capacity_of


def test_rates_forget():
    """A sliding rate counts the window's amounts and nothing older."""
    served = SlidingSum(1.0)
    served.add(10, 0.0)
    served.add(20, 0.6)
    assert served.per_s(0.9) == 30
    assert served.per_s(1.5) == 20
    assert served.per_s(9.0) == 0


def test_latency_percentile_is_of_the_recent_ones():
    """p99 is by nearest rank over the last seconds; old samples do not count, and no sample means 0."""
    window = LatencyWindow()
    assert window.p99_ms(0.0) == 0
    window.add(9.0, 0.0)
    for place in range(100):
        window.add(place / 1000, 10.0)
    assert window.p99_ms(10.0) == pytest.approx(98)


def test_written_bytes_stand_in_where_the_system_does_not_count(monkeypatch):
    """Without I/O counters the shard's own count of written bytes is used."""
    monkeypatch.setattr(psutil.Process, "io_counters", lambda _: (_ for _ in ()).throw(psutil.AccessDenied()))
    use = ProcessUse(0.0)
    use.sample(2.0, 5000)
    assert use.io_bytes_per_s == 2500


def test_capacity_defaults():
    """A shard is one process and has one core, whatever the machine has; other things not given come from the machine."""
    capacity = capacity_of(0.0, 6.0)
    assert (capacity.cpu_cores, capacity.io_bytes_per_s) == (1.0, 6.0)
    assert capacity.memory_bytes == psutil.virtual_memory().total
