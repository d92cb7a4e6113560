"""The operator's view on real parts: HTTP over the control loop, the coordinator and a journal on disk; shards in memory."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime

import httpx
import pytest
from test_api_migrations import FOLLOW, parsed

from plb_ray.control.loop import ControlLoop
from plb_ray.control.migration_meter import MigrationMeter
from plb_ray.control.parts import Parts, Surroundings
from plb_ray.domain.migration import MigrationStep
from plb_ray.history.store import HistoryLimits, HistoryStore
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.journal.journal import open_journal
from plb_ray.settings import BalancerSettings
from service.api.app import create_app
from service.logs import log_to
from tests.migration.world import World

STEPS = ["prepare", "precopied", "paused", "sealing", "sealed", "activating", "mapped", "done"]
AROUND = Surroundings(queue_endpoint="", lookback_steps=1, retrain_every_s=1.0, min_history_steps=1)


class Service:
    """One life of a balancer on the shards of a world: `http` asks it, `meter` is its meter."""

    def __init__(self, world, folder):
        self.world, self._folder = world, folder
        self.http = self.meter = None

    @asynccontextmanager
    async def running(self):
        self.meter = MigrationMeter(self.world.clock.now_s)
        with log_to(self._folder / "plb.log"):
            journal = await open_journal(self._folder / "journal.sqlite", self.meter.note)
            self.world.journal = journal
            coordinator = await self.world.start()
            history = HistoryStore.open(self._folder / "history", BalancerSettings.step_s, HistoryLimits())
            events = CalendarStore(self._folder)
            parts = Parts(coordinator, None, None, None, history, journal.decisions, self.world.clock, events, self.meter)
            loop = ControlLoop(parts, BalancerSettings(), AROUND)
            app = create_app(loop, self.world.clock.now_s, lambda _seconds: asyncio.sleep(0))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://plb") as self.http:
                yield self
            await self.world.crash()
            await journal.close()
            history.close()

    async def start(self, mode="copy", request_id="m/1"):
        body = {"order_param": "x", "source": "a", "destination": "b", "request_id": request_id, "mode": mode}
        answer = await self.http.post("/v1/migrations", json=body)
        assert answer.status_code == 202, answer.text


@pytest.fixture
async def service(tmp_path):
    made = Service(World(), tmp_path)
    async with made.running():
        await made.world.coordinator.allocate("x", ["a"])
        made.world.produce("x", 20)
    return made


@pytest.mark.parametrize("mode", ["copy", "chain"])
async def test_a_migration_is_followed_to_its_end(service, mode, tmp_path):
    """Events, timeline, totals and log tell the same migration: each step once, in order."""
    async with service.running():
        await service.start(mode)
        events = parsed((await service.http.get("/v1/migrations/m/1/events", headers=FOLLOW)).text)
        told = [data["step"] for name, _, data in events if name == "step"]
        found = (await service.http.get("/v1/migrations/m%2F1")).json()
        assert told == [moment["step"] for moment in found["timeline"]] == STEPS
        times = [datetime.fromisoformat(moment["at"]) for moment in found["timeline"]]
        assert times == sorted(times)
        assert None not in times
        assert found["pause_ms"] is not None
        totals = service.meter.totals()
        assert totals.done == {found["mode"]: 1}
        assert totals.messages_copied == found["messages_copied"] == (20 if mode == "copy" else 0)
    lines = (tmp_path / "plb.log").read_text().splitlines()
    logged = [line for line in lines if " plb.migration migration id=m/1 " in line]
    assert [line.split(" step=")[1].split()[0] for line in logged] == STEPS


async def test_a_new_balancer_answers_for_its_predecessors_migrations(service):
    """After a restart timeline and end are read from the journal; nothing of it is counted twice."""
    async with service.running():
        await service.start()
        await service.world.coordinator.settled()
        before = (await service.http.get("/v1/migrations/m/1")).json()
    async with service.running():
        assert (await service.http.get("/v1/migrations/m/1")).json() == before
        answer = await service.http.get("/v1/migrations/m/1/events", headers=FOLLOW)
        assert [data["step"] for _, _, data in parsed(answer.text)] == STEPS
        assert service.meter.totals().done == {}


async def test_a_cancelled_migration_leaves_its_reason(service):
    """A migration that is cancelled before SEAL is rolled back: the answer, its timeline and the totals say so."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold():
        reached.set()
        await go_on.wait()

    async with service.running():
        service.world.plan["a.pause/before"] = hold
        await service.start()
        await reached.wait()
        cancelled = (await service.http.post("/v1/migrations/m/1/cancel")).json()
        assert (cancelled["step"], cancelled["finished"]) == ("aborted", True)
        assert "cancelled on request" in cancelled["error"]
        timeline = (await service.http.get("/v1/migrations/m/1")).json()["timeline"]
        assert [moment["step"] for moment in timeline] == ["prepare", "precopied", "precopied", "aborted"]
        assert service.meter.totals().rolled_back_at == {MigrationStep.PRECOPIED: 1}
        late = await service.http.post("/v1/migrations/m/1/cancel")
        assert (late.status_code, late.json()) == (200, cancelled)


async def test_unknown_migrations_are_not_found(service):
    """Nobody's migration is 404 for looking, following and cancelling."""
    async with service.running():
        answers = [
            await service.http.get("/v1/migrations/never"),
            await service.http.get("/v1/migrations/never/events", headers=FOLLOW),
            await service.http.post("/v1/migrations/never/cancel"),
        ]
        assert {(answer.status_code, answer.json()["reason"]) for answer in answers} == {(404, "UNKNOWN_MIGRATION")}
