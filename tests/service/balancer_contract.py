"""What every `Balancer` must hold: the fake, the loop in process, the adapter of the control actor.

A subclass gives a fixture `balancer`: at least two shards, at least one order param that does not migrate, one tick done.
"""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from looks_contract import LooksContract
from orders_contract import OrdersContract
from record_contract import RecordContract

from plb_ray.domain.events import CalendarChange, Event, EventCalendar
from plb_ray.domain.migration import MigrationRequest, MigrationStep
from plb_ray.domain.outcomes import Distance
from plb_ray.domain.samples import PushOutcome, SampleBatch, SampleKind, Series
from plb_ray.errors import (
    MigrationConflictError,
    UnknownEventError,
    UnknownMigrationError,
    UnknownOrderParamError,
    UnknownShardError,
)


async def still(balancer):
    """Return the placement of an order param that does not migrate, and another shard than its owner."""
    busy = {each.order_param for each in await balancer.migrations(1000) if not each.step.terminal}
    placements = (await balancer.mapping()).placements
    placement = next(each for name, each in sorted(placements.items()) if name not in busy)
    shards = [shard.shard_id for shard in (await balancer.status()).shards]
    return placement, next(each for each in shards if each not in placement.shards)


class BalancerContract(RecordContract, OrdersContract, LooksContract):
    async def test_status_agrees_with_the_mapping(self, balancer):
        """The status counts the order params of the mapping, and every owner is one of its shards."""
        status, mapping = await balancer.status(), await balancer.mapping()
        assert status.ready
        assert status.order_params == len(mapping.placements)
        assert {each.owner for each in mapping.placements.values()} <= {shard.shard_id for shard in status.shards}

    @pytest.mark.parametrize("horizon", ["short", "medium"])
    async def test_forecast_is_well_formed(self, balancer, horizon):
        """A forecast has one row per step and one column per level, and its quantiles do not cross."""
        placement, _ = await still(balancer)
        found = await balancer.forecast(placement.order_param, horizon)
        assert found.order_param == placement.order_param
        assert found.forecast.values.shape[1] == len(found.forecast.levels)
        assert np.all(np.diff(found.forecast.values, axis=1) >= 0)

    async def test_forecast_quality_is_a_share_per_horizon(self, balancer):
        """Each horizon and forecaster comes once, with shares between 0 and 1; there may be none yet."""
        quality = await balancer.forecast_quality()
        assert len({(each.horizon, each.forecaster) for each in quality}) == len(quality)
        assert all(0 <= each.coverage_80 <= 1 and 0 <= each.coverage_95 <= 1 for each in quality)

    async def test_history_ends_before_the_forecast_begins(self, balancer):
        """History comes oldest first, at most as many steps as asked for, and ends where the forecast starts."""
        placement, _ = await still(balancer)
        history = await balancer.history(placement.order_param, 5)
        found = await balancer.forecast(placement.order_param, "short")
        times = [at_s for at_s, _ in history]
        assert 1 <= len(times) <= 5
        assert times == sorted(times)
        assert times[-1] < found.forecast.start_s

    @pytest.mark.parametrize("distance", list(Distance))
    async def test_outcomes_are_of_one_distance_in_the_order_of_time(self, balancer, distance):
        """What was foreseen and came is told oldest first, at one distance, a rate per level; there may be none yet."""
        placement, _ = await still(balancer)
        found = await balancer.outcomes(placement.order_param, "short", 20, distance)
        assert (found.order_param, found.horizon) == (placement.order_param, "short")
        ends_s = [each.end_s for each in found.items]
        assert ends_s == sorted(set(ends_s))
        assert len({each.ahead_s for each in found.items}) <= 1
        assert {len(each.quantiles) for each in found.items} <= {len(found.levels)}
        assert (found.coverage_80 is None) == (not found.items)

    async def test_unknown_order_param_is_refused(self, balancer):
        """Asking for an order param that does not exist says so, for forecast, history and outcomes."""
        with pytest.raises(UnknownOrderParamError):
            await balancer.outcomes("no such order param", "short", 5, Distance.NEXT)
        with pytest.raises(UnknownOrderParamError):
            await balancer.forecast("no such order param", "short")
        with pytest.raises(UnknownOrderParamError):
            await balancer.history("no such order param", 5)

    async def test_bad_migrations_are_refused(self, balancer):
        """A migration of an unknown order param, to an unknown shard, or from a shard that is not the owner is refused."""
        placement, other = await still(balancer)
        name, owner = placement.order_param, placement.owner
        with pytest.raises(UnknownOrderParamError):
            await balancer.migrate(MigrationRequest("contract-1", "no such order param", owner, other))
        with pytest.raises(UnknownShardError):
            await balancer.migrate(MigrationRequest("contract-2", name, owner, "no such shard"))
        with pytest.raises(MigrationConflictError):
            await balancer.migrate(MigrationRequest("contract-3", name, other, owner))

    async def test_a_repeated_migration_joins(self, balancer):
        """The same request twice is one migration, and it is listed."""
        placement, other = await still(balancer)
        request = MigrationRequest("contract-4", placement.order_param, placement.owner, other, "contract")
        first, second = await balancer.migrate(request), await balancer.migrate(request)
        assert first.migration_id == second.migration_id == "contract-4"
        listed = [each.migration_id for each in await balancer.migrations(1000)]
        assert listed.count("contract-4") == 1

    async def test_a_migration_has_a_timeline(self, balancer):
        """A migration is found by its id, and its timeline holds its steps in order, from the first one."""
        placement, other = await still(balancer)
        await balancer.migrate(MigrationRequest("contract-5", placement.order_param, placement.owner, other, "contract"))
        record, timeline = await balancer.migration("contract-5"), await balancer.timeline("contract-5")
        assert record.order_param == placement.order_param
        assert timeline[0].step is MigrationStep.PREPARE
        order = list(MigrationStep)
        assert [each.step for each in timeline] == sorted((each.step for each in timeline), key=order.index)
        assert {each.migration_id for each in timeline} == {"contract-5"}

    async def test_unknown_migrations_are_refused(self, balancer):
        """Asking for, or cancelling, a migration that does not exist says so."""
        for ask in (balancer.migration, balancer.timeline, balancer.cancel):
            with pytest.raises(UnknownMigrationError):
                await ask("no such migration")

    async def test_the_number_of_shards_is_advised(self, balancer):
        """It says how many there should be and why, for now and for later steps in the order of time."""
        fleet = await balancer.fleet()
        assert fleet.wanted >= 1
        assert fleet.why
        starts_s = [need.starts_s for need in fleet.needs]
        assert starts_s == sorted(starts_s)
        assert all(need.shards >= 0 for need in fleet.needs)

    async def test_pushed_samples_are_told_apart(self, balancer):
        """A cell is taken once, the same again is a duplicate, another value replaces it; nonsense is refused."""
        status = await balancer.status()
        start_s = (status.history.end_s // status.history.step_s - 3) * status.history.step_s

        def batch(value):
            return SampleBatch(SampleKind.RATE, (Series("contract ☕", np.array([float(start_s)]), np.array([value])),))

        first = await balancer.push_samples(batch(2.5))
        assert (first.new + first.late + first.replaced, first.refused) == (1, 0)
        assert await balancer.push_samples(batch(2.5)) == PushOutcome(duplicate=1)
        assert await balancer.push_samples(batch(3.5)) == PushOutcome(replaced=1)
        refused = await balancer.push_samples(batch(float("nan")))
        assert (refused.refused, len(refused.reasons)) == (1, 1)

    async def test_the_event_calendar(self, balancer):
        """What is put is read, a repeat changes nothing, the same id replaces; what is removed is gone, and unknown then."""
        event = Event("contract-6", "match", "Derby ☕", 1_000.0, 2_000.0, ("tenant/*",))
        before = await balancer.events()
        assert await balancer.put_events(EventCalendar((event,))) == CalendarChange(added=1, changed=0, unchanged=0)
        assert await balancer.put_events(EventCalendar((event,))) == CalendarChange(added=0, changed=0, unchanged=1)
        later = replace(event, end_s=3_000.0)
        assert await balancer.put_events(EventCalendar((later,))) == CalendarChange(added=0, changed=1, unchanged=0)
        assert await balancer.events() == before.merged_with(EventCalendar((later,)))
        assert await balancer.remove_event("contract-6") == later
        assert await balancer.events() == before
        with pytest.raises(UnknownEventError):
            await balancer.remove_event("contract-6")

    async def test_answers_cross_process_borders(self, balancer):
        """Every picture can be pickled, as it must on its way through Ray."""
        pictures = (await balancer.status(), await balancer.mapping(), await balancer.latest_decision())
        assert len(pickle.loads(pickle.dumps(pictures))) == 3
