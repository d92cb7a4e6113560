"""The control loop over a queue in memory, with the real forecaster baseline, planner, checker and history."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from a_queue import HandClock, MemoryQueue

from models.baseline import seasonal_naive
from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.deciding import Decider
from plb_ray.control.loop import ControlLoop
from plb_ray.control.mover import Mover
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.control.record import decision_document
from plb_ray.control.views import Admission, Mode
from plb_ray.domain.events import Event, EventCalendar
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.domain.plan import Move, PlanStatus
from plb_ray.errors import NoForecastError, NotReadyError, RolledBackError, UnknownOrderParamError
from plb_ray.history.store import HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.settings import BalancerSettings

STEP_S = 600
START_S = 1_000 * STEP_S
RATE_PER_SHARD = 1.0
STEADY = {"a": 300, "b": 240, "c": 120}  # messages per step: a + b on one shard are 0.9 of its 600


class MemoryDecisions:
    def __init__(self):
        self.documents = []

    async def append(self, number, at_s, document):  # noqa: ARG002  the port's
        self.documents.append((number, document))

    async def count(self):
        return len(self.documents)

    async def find(self, query):
        found = [document for _, document in reversed(self.documents) if document.get("at_s", 0.0) >= query.since_s]
        return tuple(each for each in found if any(move["admission"] == query.admission for move in each.get("moves", ())))


class BaselinePool:
    """Forecasts with the baseline, and notes what it was asked to train."""

    def __init__(self):
        self.trained = []
        self.fail = None

    async def forecast(self, history, horizon):
        if self.fail is not None:
            raise self.fail
        return seasonal_naive(history, horizon)

    def start_training(self, history, horizons):
        self.trained.append((history.messages_per_s.shape, horizons))

    async def training(self):
        return ()

    async def close(self):
        pass


class World:
    """A loop with its parts, and a way to let time and messages pass."""

    def __init__(self, folder, settings=None):
        self.clock = HandClock(START_S)
        owners = {"a": "s0", "b": "s0", "c": "s1"}
        self.queue = MemoryQueue(self.clock, owners, ("s0", "s1"), RATE_PER_SHARD)
        self.history = HistoryStore.open(folder, STEP_S)
        self.pool = BaselinePool()
        self.decisions = MemoryDecisions()
        kept = (self.history, self.decisions, self.clock, CalendarStore(folder))
        parts = Parts(self.queue, self.pool, CompositePlanner(), PlanVerifier(), *kept)
        settings = settings or BalancerSettings("predictive", step_s=STEP_S, headroom=0.8, solver_budget_s=2.0)
        self.loop = ControlLoop(parts, settings, Surroundings("memory:queue", 2000, 3600.0, 3))

    async def steps(self, count, messages):
        """Let `count` steps pass, each with these messages, and tick at each end; return the last decision."""
        decision = None
        for _ in range(count):
            decision = await self.loop.tick()
            await asyncio.sleep(0)  # what was admitted begins before the next tick, as in real time
            self.queue.arrive(messages)
            self.clock.at_s += STEP_S
        decision = await self.loop.tick()
        await asyncio.sleep(0)
        return decision


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.history.close()


async def test_a_foreseen_congestion_is_moved_away_with_its_reason(world):
    """Load above the headroom makes one move to the other shard, whose reason names shard, time and share."""
    await world.steps(6, STEADY)
    assert len(world.queue.records) == 1
    record = world.queue.records[0]
    assert (record.source, record.destination) == ("s0", "s1")
    assert "s0" in record.reason
    assert "%" in record.reason
    assert "CPU" in record.reason


async def test_after_the_move_nothing_more_is_planned(world):
    """The empty plan is the answer to a load that fits: steady traffic does not make the balancer wander."""
    await world.steps(6, STEADY)
    decision = await world.steps(6, STEADY)
    assert len(world.queue.records) == 1
    assert decision.plan.status is PlanStatus.NOT_NEEDED
    assert decision.moves == ()


@pytest.mark.parametrize("mode", ["forecast_only", "static"])
async def test_modes_that_may_not_migrate_do_not(tmp_path, mode):
    """Forecast-only plans and says that the mode forbids acting; static does not even plan."""
    world = World(tmp_path, BalancerSettings(step_s=STEP_S, headroom=0.8, solver_budget_s=2.0, mode=mode))
    decision = await world.steps(6, STEADY)
    assert world.queue.records == []
    if mode == "forecast_only":
        assert [move.admission for move in decision.moves] == [Admission.MODE_FORBIDS]
    else:
        assert decision is None
    world.history.close()


async def test_forecasts_are_compared_with_what_came(tmp_path):
    """After a day the balancer knows how good it was at both horizons: of steady traffic the baseline foresees all."""
    world = World(tmp_path, BalancerSettings(step_s=STEP_S, mode="static"))
    await world.steps(24 * 6 + 12, STEADY)
    found = {(each.horizon, each.forecaster): each for each in await world.loop.forecast_quality()}
    world.history.close()
    assert set(found) == {("medium", "baseline"), ("short", "baseline")}
    short = found["short", "baseline"]
    assert short.until_s == world.history.end_s
    assert (short.loss, short.coverage_80) == pytest.approx((0.0, 0.8), abs=1e-3)


async def test_a_dry_run_moves_nothing(tmp_path):
    """A dry run shows the moves of a tick and sends none of them."""
    world = World(tmp_path, BalancerSettings(step_s=STEP_S, headroom=0.8, solver_budget_s=2.0, mode="forecast_only"))
    await world.steps(6, STEADY)
    shown = await world.loop.dry_run()
    world.history.close()
    assert [move.admission for move in shown.moves] == [Admission.DRY_RUN]
    assert world.queue.records == []


async def test_every_decision_is_recorded_before_it_is_carried_out(world):
    """The log holds each tick's decision as plain values, numbered without gaps."""
    await world.steps(6, STEADY)
    numbers = [number for number, _ in world.decisions.documents]
    assert numbers == list(range(len(numbers)))
    moved = [document for _, document in world.decisions.documents if document["moves"]]
    assert moved[0]["moves"][0]["admission"] == "admitted"


async def test_a_plan_with_a_fault_is_not_executed(world):
    """When the checker objects, nothing is sent and the decision says why."""

    class Objecting:
        def check(self, problem, plan):  # noqa: ARG002  the port's
            return ("told to object",) if plan.moves else ()

    world.loop._decider = Decider(CompositePlanner(), Objecting(), world.loop._settings)
    decision = await world.steps(6, STEADY)
    assert decision.faults == ("told to object",)
    assert decision.plan.status is PlanStatus.REFUSED
    assert {move.admission for move in decision.moves} == {Admission.PLAN_REFUSED}
    assert world.queue.records == []


async def test_a_silent_shard_does_not_stop_the_loop(world):
    """The others are still observed; the silent one is shown with its error."""
    await world.steps(3, STEADY)
    world.queue.silent = {"s1"}
    await world.steps(2, STEADY)
    status = await world.loop.status()
    views = {shard.shard_id: shard for shard in status.shards}
    assert views["s1"].error == "it was told to be silent"
    assert views["s0"].error == ""


async def test_no_shard_at_all_is_told_and_the_next_tick_recovers(world):
    """A tick that cannot see anything leaves a sentence in the status; the next good one clears it."""
    await world.steps(2, STEADY)
    world.queue.silent = {"s0", "s1"}
    await world.loop._tick_safely()
    assert "does not answer" in (await world.loop.status()).last_error
    world.queue.silent = set()
    world.clock.at_s += STEP_S
    await world.loop._tick_safely()
    assert (await world.loop.status()).last_error == ""


async def test_a_rolled_back_migration_is_planned_again(world):
    """An order param whose migration was rolled back is free for the next plan."""
    world.queue.refuse_migrations = True
    await world.steps(6, STEADY)
    assert world.queue.records == []
    world.queue.refuse_migrations = False
    await world.steps(1, STEADY)
    assert len(world.queue.records) == 1


async def test_the_views_answer_from_the_last_tick(world):
    """Status, forecast, history and mapping agree with what happened."""
    with pytest.raises(NoForecastError):
        await world.loop.forecast("a", "short")
    await world.steps(6, STEADY)
    status = await world.loop.status()
    assert status.ready
    assert status.mode is Mode.PREDICTIVE
    assert status.order_params == 3
    assert status.migrations_done == 1
    assert sum(shard.arrival_messages_per_s for shard in status.shards) == pytest.approx(660 / STEP_S)
    forecast = await world.loop.forecast("a", "short")
    assert forecast.forecast.values.shape == (2, len(forecast.forecast.levels))
    history = await world.loop.history("a", 2)
    assert [rate for _, rate in history] == pytest.approx([0.5, 0.5])
    with pytest.raises(UnknownOrderParamError):
        await world.loop.forecast("zebra", "short")
    with pytest.raises(UnknownOrderParamError):
        await world.loop.history("zebra", 2)
    assert (await world.loop.latest_decision()).number == len(world.decisions.documents) - 1


async def test_many_order_params_are_answered_as_each_alone(world):
    """Rows of many are those of one, in the order asked for; unknown names are left out; `look` changes with a tick only."""
    with pytest.raises(NoForecastError):
        await world.loop.forecasts(("a",), "short")
    with pytest.raises(NotReadyError):
        await world.loop.histories(("a",), 2)
    before = await world.loop.look()
    await world.steps(6, STEADY)
    look, names = await world.loop.look(), ("zebra", "b", "a")
    assert (before.at_s, before.ticks, look.ticks) == (None, 0, (await world.loop.status()).ticks)
    assert look == await world.loop.look()
    assert look.at_s == (await world.loop.order_params()).at_s
    forecasts, histories = await world.loop.forecasts(names, "short"), await world.loop.histories(names, 2)
    assert forecasts.order_params == histories.order_params == ("b", "a")
    alone = await world.loop.forecast("a", "short")
    assert np.array_equal(forecasts.of("a").forecast.values, alone.forecast.values)
    assert [rate for _, rate in await world.loop.history("a", 2)] == histories.messages_per_s[1].tolist()
    assert histories.messages_per_s.shape == (2, 2)
    assert [each.order_param for each in await world.loop.costs_of(names)] == ["b", "a"]


async def test_training_starts_when_the_history_is_long_enough_and_again_when_it_is_old(world):
    """Not before three steps, then once, then once an hour of the loop's own time."""
    await world.steps(2, STEADY)
    await world.loop._train_if_due()
    assert world.pool.trained == []
    await world.steps(2, STEADY)
    await world.loop._train_if_due()
    await world.loop._train_if_due()
    assert len(world.pool.trained) == 1
    world.clock.at_s += 3600
    await world.loop._train_if_due()
    assert len(world.pool.trained) == 2


async def test_run_ticks_at_each_boundary_and_counts_on_from_the_log(tmp_path):
    """The loop's numbers go on where the log's end, also after a restart."""
    world = World(tmp_path)
    world.decisions.documents = [(0, {}), (1, {})]
    await world.loop.run_for(ticks=3)
    assert [number for number, _ in world.decisions.documents[2:]] == [2, 3]
    world.history.close()


def test_a_decision_is_plain_json(tmp_path):
    """What goes to the log can be written as JSON."""
    import json  # noqa: PLC0415

    world = World(tmp_path)
    decision = asyncio.run(world.steps(6, STEADY))
    world.history.close()
    assert json.loads(json.dumps(decision_document(decision)))["plan"]["status"] == "not_needed"


async def test_an_order_param_on_a_shard_never_reached_is_left_out(world):
    """A mapping may name a shard that has not been seen since the start; the others are planned all the same."""
    await world.steps(3, STEADY)
    world.queue.owners["c"] = "s9"
    world.clock.at_s += STEP_S
    await world.loop.tick()
    status = await world.loop.status()
    assert status.last_error == ""
    assert sum(shard.order_params for shard in status.shards) == 2


async def test_a_silent_shard_is_given_nothing(world):
    """The plan does not move anything to a shard that does not answer, however empty it is."""
    world.queue.shard_ids = ("s0", "s1", "s2")
    world.queue.owners["d"] = "s2"
    await world.steps(2, {**STEADY, "a": 240, "b": 180})
    world.queue.silent = {"s2"}
    await world.steps(4, STEADY)
    assert {record.destination for record in world.queue.records} <= {"s1"}
    assert world.queue.records


async def test_a_migration_of_somebody_else_is_counted_at_its_destination(world):
    """What people or a predecessor have under way is not planned again, and stands where it is going."""
    await world.steps(1, {})
    running = MigrationRecord("by hand", "b", "s0", "s1", 1, MigrationStep.PRECOPIED, "", 0.0)
    world.queue.records = [running]
    await world.steps(5, STEADY)
    assert world.queue.records == [running]


async def test_moves_that_have_not_begun_are_forgotten_at_the_next_tick():
    """With the queue stuck in one migration, later moves wait, and are not held to what was planned before."""

    class Stuck:
        async def migrate(self, request):
            began.append(request.order_param)
            await asyncio.Event().wait()
            yield

    began, dropped = [], []
    mover = Mover(Stuck().migrate, 1, note=began.append, dropped=lambda migration_id, _why: dropped.append(migration_id))
    mover.send([Move(name, "s0", "s1", "test") for name in ("a", "b")], 1)
    await asyncio.sleep(0)
    assert mover.on_their_way == {"a": "s1", "b": "s1"}
    mover.drop_waiting()
    await asyncio.sleep(0)
    assert mover.on_their_way == {"a": "s1"}
    assert (began, dropped) == (["a"], ["1-b"])
    for task in list(mover._tasks):
        task.cancel()


def never(*told):
    raise AssertionError(told)


async def test_a_move_ends_for_the_mover_when_the_destination_serves():
    """A source that is drained for ever does not keep a place from the next move."""

    class Draining:
        async def migrate(self, request):
            for step in (MigrationStep.SEALED, MigrationStep.MAPPED):
                yield MigrationRecord(request.request_id, request.order_param, "s0", "s1", 1, step, "", 0.0)
            await asyncio.Event().wait()

    noted = []
    mover = Mover(Draining().migrate, 1, note=noted.append, dropped=never)
    mover.send([Move(name, "s0", "s1", "test") for name in ("a", "b")], 1)
    async with asyncio.timeout(5):
        while mover.on_their_way:  # noqa: ASYNC110  the mover has no event to wait for
            await asyncio.sleep(0)
    assert [(record.order_param, record.step.value) for record in noted] == [
        (name, step) for name in ("a", "b") for step in ("sealed", "mapped")
    ]


@pytest.mark.parametrize("through", [True, False])
async def test_a_wave_begins_when_the_one_before_it_has_got_through(through):
    """The second wave waits for both of the first; if one of them is rolled back, it is not begun."""

    class Waves:
        async def migrate(self, request):
            began.append(request.order_param)
            if request.order_param == "b":
                await gate.wait()
                if not through:
                    raise RolledBackError("1-b", "precopied", "test")
            yield MigrationRecord(request.request_id, request.order_param, "s0", "s1", 1, MigrationStep.MAPPED, "", 0.0)

    began, dropped, gate = [], [], asyncio.Event()
    mover = Mover(Waves().migrate, 2, note=lambda _: None, dropped=lambda *told: dropped.append(told))
    mover.send([Move("c", "s0", "s1", "test", wave=2), Move("a", "s1", "s2", "test"), Move("b", "s1", "s2", "test")], 1)
    async with asyncio.timeout(5):
        while "a" in mover.on_their_way:  # noqa: ASYNC110  the mover has no event to wait for
            await asyncio.sleep(0)
        assert (sorted(began), sorted(mover.on_their_way)) == (["a", "b"], ["b", "c"])
        gate.set()
        while mover.on_their_way:  # noqa: ASYNC110  the same
            await asyncio.sleep(0)
    assert ("c" in began) is through
    assert dropped == ([] if through else [("1-c", "one that makes room for it did not get through")])


async def test_the_calendar_is_kept(world, tmp_path):
    """Events that are put are read and removed again; what another process changes meanwhile is seen at once."""
    event = Event("e1", "match", "Derby", 1_000.0, 2_000.0)
    assert (await world.loop.put_events(EventCalendar((event,)))).added == 1
    other = replace(event, event_id="e2")
    CalendarStore(tmp_path).put(EventCalendar((other,)))
    assert await world.loop.events() == EventCalendar((event, other))
    assert await world.loop.remove_event("e1") == event
    assert CalendarStore(tmp_path).read() == EventCalendar((other,))
