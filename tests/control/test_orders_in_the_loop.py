"""Standing orders in the control loop; and what a second loop takes up from the first one's journal."""

from dataclasses import replace

import pytest
from lives import ADA, SETTINGS, Lives
from test_control_loop import START_S

from plb_ray.control.views import Admission, Basis, Mode
from plb_ray.domain.champions import ChampionStanding
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.errors import BadInputError
from tests.service.orders_contract import OrdersContract


@pytest.fixture
async def world(tmp_path):
    made = Lives(tmp_path)
    await made.start()
    yield made
    await made.stop()


class TestTheLoop(OrdersContract):
    """The loop holds what every balancer must."""

    @pytest.fixture
    async def balancer(self, world):
        await world.steps(1)
        return world.loop


# ---- standing orders


async def test_orders_survive_a_restart(world):
    """What was ordered stands in the next life, with who ordered it and when; taken back it is gone for good."""
    group = {"g": frozenset({"a", "c"})}
    change = {"mode": Mode.RELIEF, "paused": True, "pins": {"a": True}, "spread_groups": group, "draining": {"s1": True}}
    ordered = await world.order(**change, forbidden={"b": frozenset({"s1"})}, approval=True)
    await world.start()
    assert await world.loop.orders() == ordered
    assert (ordered.changed_by, ordered.changed_at_s) == (ADA, START_S)
    await world.order(as_configured=True, paused=False, pins={"a": False}, draining={"s1": False})
    await world.start()
    after = (await world.loop.orders()).orders
    assert (after.mode, after.paused, after.pinned, after.draining) == (Mode.PREDICTIVE, False, frozenset(), frozenset())
    assert after.spread_groups == group


async def test_orders_that_cannot_be_read_pause_the_balancer(world):
    """What is damaged might have forbidden anything: nothing is sent, the status says why, and orders can be given anew."""
    await world.journal.orders.write({"orders": {"forbidden": 7}, "mode": None})
    await world.start()
    await world.steps(5)
    status = await world.loop.status()
    assert status.paused
    assert "cannot be read" in status.last_error
    assert world.queue.records == []
    await world.order(paused=False)
    await world.steps(1)
    assert world.queue.records
    assert (await world.loop.status()).last_error == ""


async def test_a_paused_balancer_sends_nothing_until_it_is_resumed(world):
    """Overload stays while it is paused, also over a restart, and is relieved when it is resumed."""
    await world.order(paused=True)
    await world.steps(5)
    await world.start()
    decision = await world.steps(1)
    assert (world.queue.records, decision.moves) == ([], ())
    assert (await world.loop.status()).paused
    await world.order(paused=False)
    await world.steps(1)
    assert len(world.queue.records) == 1


async def test_a_pause_asks_nobody(world):
    """It is taken though no shard can be listed, and though an order that stood became impossible meanwhile."""
    await world.order(forbidden={"a": frozenset({"s0"})}, spread_groups={"g": frozenset({"a", "b"})})
    world.queue.shard_ids = ("s0",)
    with pytest.raises(BadInputError, match="forbidden on every shard"):
        await world.order(forbidden={"b": frozenset({"s0"})})
    world.queue.shards = None
    assert (await world.order(paused=True)).orders.paused
    assert (await world.order(forbidden={"a": frozenset()}, spread_groups={"g": frozenset()})).orders.forbidden == {}


async def test_an_order_param_is_in_one_group_only(world):
    """Another group is refused it, in one change or in two; the group itself may change its members."""
    await world.order(spread_groups={"g": frozenset({"a", "b"})})
    await world.order(spread_groups={"g": frozenset({"a", "c"})})
    with pytest.raises(BadInputError, match="in group 'g' already"):
        await world.order(spread_groups={"h": frozenset({"b", "c"})})
    with pytest.raises(BadInputError, match="already"):
        await world.order(spread_groups={"h": frozenset({"b"}), "i": frozenset({"b"})})


async def test_a_mode_that_is_ordered_counts_from_the_next_tick(world):
    """Under forecast_only the plan is shown and forbidden; under static there is none; predictive sends it."""
    await world.order(mode=Mode.FORECAST_ONLY)
    decision = await world.steps(5)
    assert {each.admission for each in decision.moves} == {Admission.MODE_FORBIDS}
    await world.order(mode=Mode.STATIC)
    assert await world.steps(1) is None
    await world.order(mode=Mode.PREDICTIVE)
    await world.steps(1)
    assert len(world.queue.records) == 1


async def test_a_drained_shard_is_seen_to_be_empty(world):
    """Drained, it is shown as draining with nothing on it, and takes nothing although the other one is over."""
    await world.steps(3, dict.fromkeys("abc", 60))
    await world.order(draining={"s1": True})
    await world.steps(2, dict.fromkeys("abc", 60))
    await world.steps(4)
    views = {shard.shard_id: shard for shard in (await world.loop.status()).shards}
    assert (views["s1"].draining, views["s1"].order_params, views["s1"].backlog) == (True, 0, 0)
    assert not views["s0"].draining
    assert {record.destination for record in world.queue.records} == {"s0"}


# ---- auto


async def test_auto_acts_when_a_champion_has_proved_itself(tmp_path):
    """Until then it sends nothing, and says what is missing; once it has, that holds over a restart and a demotion."""
    world = Lives(tmp_path, replace(SETTINGS, mode="auto"))
    await world.start()
    decision = await world.steps(5)
    status = await world.loop.status()
    assert (status.mode, decision.mode) == (Mode.FORECAST_ONLY, Mode.FORECAST_ONLY)
    assert "the backtest has not passed yet" in status.mode_why
    assert {each.admission for each in decision.moves} == {Admission.MODE_FORBIDS}
    world.champions.of["short"] = ChampionStanding(serving=1, learnt_s=2 * 86_400.0)
    await world.steps(1)
    status = await world.loop.status()
    assert status.mode is Mode.PREDICTIVE
    assert "a champion serves" in status.mode_why
    assert len(world.queue.records) == 1
    world.champions.of["short"] = ChampionStanding(demoted=1, reason="it was worse")
    await world.start()
    assert (await world.steps(1)).mode is Mode.PREDICTIVE
    await world.stop()


async def test_a_demoted_champion_leaves_what_was_measured(world):
    """Decisions say whose fault it is and relieve measured overload; with a new champion the forecast counts."""
    world.champions.of["short"] = ChampionStanding(demoted=1, reason="worse than the seasonal naive")
    decision = await world.steps(5)
    assert decision.basis is Basis.MEASURED
    assert any("the short champion was demoted (worse than the seasonal naive)" in note for note in decision.notes)
    assert len(world.queue.records) == 1
    world.champions.of["short"] = ChampionStanding(serving=1, learnt_s=86_400.0)
    assert (await world.steps(1)).basis is Basis.FORECAST


# ---- what a predecessor has left


async def test_a_restart_does_not_free_what_was_just_moved(world):
    """The next life knows the move, its cooldown, and the hour's budget; a move that never arrived is free."""
    await world.steps(2)
    (record,) = world.queue.records
    before = world.loop._memory
    await world.start()
    await world.loop.orders()
    after = world.loop._memory
    assert after.latest == before.latest
    assert (after.sent_s, after.moves) == (before.sent_s, before.moves)
    assert record.order_param in after.cooling(world.clock.at_s, SETTINGS.damping.cooldown_s)
    world.queue.owners[record.order_param] = record.source
    await world.start()
    await world.loop.orders()
    assert world.loop._memory.latest == {}


async def test_the_lead_time_is_what_migrations_took(world):
    """Situations carry the 95th percentile of the measured migrations: from their order until their destination served."""
    for number in range(20):
        took_s = 2.0 if number else 40.0
        started_s = START_S + number
        world.loop._parts.meter.note(
            MigrationRecord(f"m{number}", "a", "s0", "s1", 1, MigrationStep.MAPPED, "", started_s, at_s=started_s + took_s)
        )
    await world.steps(1)
    assert world.loop._situation(world.loop._seen, world.loop._outlook).lead_s == pytest.approx(2.0)
    world.loop._surroundings = replace(world.loop._surroundings, speed=60.0)
    assert world.loop._situation(world.loop._seen, world.loop._outlook).lead_s == pytest.approx(120.0)
