"""A champion that fails, from its forecasts to the decisions: the real feedback loop, registry and control loop."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from a_queue import HandClock, MemoryQueue
from test_control_loop import RATE_PER_SHARD, STEP_S, BaselinePool, MemoryDecisions

from models.baseline import seasonal_naive
from models.registry import ModelRegistry
from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.control.feedback import Feedback, FeedbackParams
from plb_ray.control.forecast_quality import VerdictRule
from plb_ray.control.loop import ControlLoop
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.control.views import Basis
from plb_ray.domain.rates import RateHistory
from plb_ray.history.store import HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.settings import BalancerSettings
from tests.registry.builders import NOW_S, filled

DAY = 24 * 3600 // STEP_S
START_S = 2_000 * 86_400
CALM = {"a": 200, "b": 200, "c": 120}  # a + b are two thirds of s0: nothing to do
SETTINGS = BalancerSettings("predictive", step_s=STEP_S, headroom=0.8, solver_budget_s=1.0, hedge_days=0.0)


class ChampionPool(BaselinePool):
    """A champion that foresees twice what comes, as long as the registry says that it serves; the baseline after that."""

    def __init__(self, registry):
        super().__init__()
        self._registry = registry

    async def forecast(self, history, horizon):
        made = seasonal_naive(history, horizon)
        if not self._registry.standing(horizon.name).serving:
            return made
        return replace(made, messages_per_s=2 * made.messages_per_s, sources=("ensemble",) * len(made.sources))


@pytest.fixture
def world(tmp_path):
    """A loop with a day and a half of history, whose short champion was just promoted."""
    clock = HandClock(START_S)
    queue = MemoryQueue(clock, {"a": "s0", "b": "s0", "c": "s1"}, ("s0", "s1"), RATE_PER_SHARD)
    history = HistoryStore.open(tmp_path / "history", STEP_S)
    past = np.array([[count / STEP_S] * (DAY * 3 // 2) for count in CALM.values()], dtype=np.float32)
    history.import_history(RateHistory(tuple(CALM), START_S - past.shape[1] * STEP_S, STEP_S, past))
    registry = ModelRegistry(tmp_path / "networks", lambda: NOW_S)
    filled(tmp_path / "networks" / "group-0" / "short", 1)
    rule = VerdictRule(span_s=2 * 3600.0, pairs=20)
    feedback = Feedback(FeedbackParams(rule=rule), keeper=registry)
    kept = (history, MemoryDecisions(), clock, CalendarStore(tmp_path))
    parts = Parts(
        *(queue, ChampionPool(registry), CompositePlanner(), PlanVerifier(), *kept), feedback=feedback, champions=registry
    )
    loop = ControlLoop(parts, SETTINGS, Surroundings("memory:queue", 2000, 1e9, 10**9))

    async def steps(count, messages):
        decisions = []
        for _ in range(count):
            queue.arrive(messages)
            clock.at_s += STEP_S
            decisions.append(await loop.tick())
            await asyncio.sleep(0)
        return decisions

    yield queue, registry, loop, steps
    history.close()


async def test_a_failing_champion_is_demoted_and_decisions_fall_back_to_what_was_measured(world):
    """The verdict demotes it, the next decisions say so, and overload is still relieved; a rollback ends it."""
    queue, registry, loop, steps = world
    await loop.tick()
    decisions = await steps(20, CALM)
    standing = registry.standing("short")
    assert standing.lost
    assert "worse than the seasonal naive" in standing.reason
    last, before = decisions[-1], len(queue.records)
    assert last.basis is Basis.MEASURED
    assert any(note.startswith("the short champion was demoted (worse than the seasonal naive") for note in last.notes)
    shared = max(("s0", "s1"), key=list(queue.owners.values()).count)
    await steps(6, {name: 300 if owner == shared else 60 for name, owner in queue.owners.items()})
    assert [record.source for record in queue.records[: len(queue.records) - before]] == [shared]
    registry.of("group-0", "short").promote("v0001", "people know better")
    again = (await steps(1, CALM))[-1]
    assert not any("demoted" in note for note in again.notes)
