"""What modelled shards do, against what can be worked out by hand."""

import numpy as np
import pytest

from plb_ray.errors import BadInputError
from plb_ray.simulation.replay.physics import Fluid, PhysicsParams

EXACT = PhysicsParams(substeps=10, copy_cost=0.0, overhead_s=0.0, pause_s=0.0)


def fluid(rates, owner, **params) -> Fluid:
    return Fluid(np.array(rates, dtype=float), np.array(owner), PhysicsParams(**{**vars(EXACT), **params}))


def test_messages_beyond_the_rate_wait_and_are_served_later():
    """150 a second on 100 for 10 s leave 500 waiting, which an idle 10 s serves; nothing is lost."""
    one = fluid([100.0], [0])
    one.run(np.array([1500.0]), 10.0)
    assert one.backlog[0] == pytest.approx(500)
    assert one.totals.excess_messages == pytest.approx(500)
    assert one.totals.overload_shard_s == pytest.approx(10)
    one.run(np.array([0.0]), 10.0)
    assert one.backlog[0] == 0
    assert one.totals.delays.sum() == pytest.approx(1500)


def test_the_delay_is_the_time_until_all_before_it_are_served():
    """The wait grows from 0 to 5 s: half of the messages wait 2.5 s at most, and hardly any more than 5 s."""
    one = fluid([100.0], [0], substeps=100)
    one.run(np.array([1500.0]), 10.0)
    assert one.totals.delay_s(0.5) == pytest.approx(2.5, rel=0.05)
    assert one.totals.delay_s(0.99) == pytest.approx(4.95, rel=0.05)
    assert one.totals.delay_s(1.0) == pytest.approx(5.0, rel=0.05)


def test_without_load_nobody_waits():
    """Below the rate all delays are 0, and nothing is over."""
    one = fluid([100.0, 50.0], [0, 1])
    one.run(np.array([900.0, 400.0]), 10.0)
    totals = one.totals
    assert (totals.delay_s(1.0), totals.excess_messages, totals.overload_shard_s) == (0.0, 0.0, 0.0)
    assert totals.shard_s == pytest.approx(20)


def test_a_migration_takes_its_backlog_along_and_turns_the_arrivals():
    """What waited is on the destination afterwards, and what comes is served there; the bytes are counted."""
    two = fluid([100.0, 100.0], [0, 0])
    two.run(np.array([1500.0, 0.0]), 10.0)
    two.migrate([(0, 1)])
    two.run(np.array([0.0, 900.0]), 10.0)
    assert two.owner.tolist() == [1, 0]
    assert two.backlog.sum() == pytest.approx(0)
    assert (two.totals.migrations, two.totals.moved_bytes) == (1, pytest.approx(500 * EXACT.message_bytes))
    assert two.moving == {}


def test_a_large_backlog_takes_its_time_and_service_away():
    """Copying 1,000 messages at 100 a second lasts 10 s, until then they are where they were; it costs services."""
    two = fluid([100.0, 100.0], [0, 1], copy_messages_per_s=100.0, copy_cost=0.5)
    two.backlog[:] = 1000.0
    two.migrate([(0, 1)])
    two.run(np.zeros(2), 5.0)
    assert (two.owner[0], two.moving) == (0, {0: 1})
    assert two.backlog.sum() == pytest.approx(2000 - 2 * 450)  # the first half second is spent on copying, on both shards
    two.run(np.zeros(2), 5.5)
    assert two.owner[0] == 1


def test_migrations_wait_for_a_slot():
    """With one at a time and 4 s each, ten seconds are enough for two of three; a repeat changes nothing."""
    one = fluid([1.0, 1.0], [0, 0, 0], overhead_s=4.0, in_flight=1)
    one.migrate([(0, 1), (1, 1), (2, 1), (0, 1), (1, 0)])
    one.run(np.zeros(3), 10.0)
    assert one.owner.tolist() == [1, 1, 0]
    assert one.moving == {2: 1}


def test_a_shard_that_is_down_serves_nothing():
    """Everything that arrives there waits, and its time is not counted as up."""
    one = fluid([0.0], [0])
    one.run(np.array([100.0]), 10.0)
    assert (one.backlog[0], one.totals.shard_s) == (pytest.approx(100), 0.0)


@pytest.mark.parametrize("wrong", [{"substeps": 0}, {"in_flight": 0}, {"copy_cost": -1.0}, {"copy_messages_per_s": 0.0}])
def test_parameters_out_of_range_are_refused(wrong):
    """The error names the parameter."""
    with pytest.raises(BadInputError, match=next(iter(wrong))):
        PhysicsParams(**wrong)
