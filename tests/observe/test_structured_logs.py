"""The log as JSON, and the ids that bring a request, a tick, a migration and their lines together."""

import asyncio
import json
import logging
import re
import threading

import httpx
import pytest

from plb_ray.context import named
from plb_ray.control.step_log import log_step
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import ControlUnavailableError
from plb_ray.settings import LogSettings, TracingSettings
from plb_ray.tracing import current_trace_id, span, tracing_process
from service.api.app import create_app
from service.logs import log_to
from tests.service.fake_balancer import FakeBalancer, record

LOG = logging.getLogger("plb.control")


@pytest.fixture
def said(tmp_path):
    """Log as JSON; what it yields gives the lines after the log is closed."""
    path = tmp_path / "plb.log"
    with log_to(path, LogSettings(format="json")):
        yield lambda: _lines(path)


def _lines(path):
    found: list = []
    for _ in range(200):
        found = [json.loads(line) for line in path.read_text().splitlines()]
        if found and found[-1]["message"] == "the end":
            return found[:-1]
        threading.Event().wait(0.01)
    raise AssertionError(found)


def test_a_line_is_one_object(said):
    """Time, level, logger and message, in any characters; nothing that JSON cannot hold."""
    LOG.info("tenant %s\nsecond line", "é ☕")
    LOG.info("the end")
    (line,) = said()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("at"))
    assert line == {"level": "INFO", "logger": "plb.control", "message": "tenant é ☕\nsecond line"}


def test_a_traceback_is_part_of_its_line(said):
    """An exception's traceback is a text in the same object."""
    try:
        int("broken")
    except ValueError:
        LOG.exception("it failed")
    LOG.info("the end")
    (line,) = said()
    assert line["message"] == "it failed"
    assert line["traceback"].endswith("ValueError: invalid literal for int() with base 10: 'broken'")


def test_a_migration_has_its_fields(said):
    """A step of a migration is there in words and as fields."""
    log_step(record("m1", "a//b", MigrationStep.ABORTED, 10.0, error="the destination does not answer"))
    LOG.info("the end")
    (line,) = said()
    assert line["level"] == "WARNING"
    assert line["fields"]["id"] == "m1"
    assert line["fields"]["order_param"] == "a//b"
    assert line["fields"]["messages"] == 412
    assert "pause_ms" not in line["fields"]


async def test_ids_follow_the_work_and_not_the_thread(said):
    """Lines of tasks and threads that a piece of work starts have its ids; those of others do not."""

    async def work(name):
        with named(migration=name):
            await asyncio.sleep(0)
            LOG.info("working")
            await asyncio.to_thread(LOG.info, "in a thread")

    with named(tick="4"):
        await asyncio.gather(work("m1"), work("m2"))
    LOG.info("outside")
    LOG.info("the end")
    lines = said()
    assert sorted((line.get("tick"), line.get("migration")) for line in lines[:-1]) == [("4", "m1")] * 2 + [("4", "m2")] * 2
    assert "tick" not in lines[-1]


def test_lines_name_their_trace(said, tmp_path):
    """With tracing on, a line has the id under which its trace is found."""
    with tracing_process(TracingSettings(exporter="file", folder=tmp_path), "test"), span("tick"):
        trace = current_trace_id()
        LOG.info("in a trace")
    LOG.info("the end")
    assert said()[0]["trace"] == trace


def test_text_shows_ids_in_brackets(tmp_path):
    """For people the ids stand at the end of the line, and only where there are any."""
    with log_to(tmp_path / "plb.log"):
        with named(request="r1", tick="4"):
            LOG.info("with")
        LOG.info("without")
    lines = (tmp_path / "plb.log").read_text().splitlines()
    assert lines[0].endswith(" INFO plb.control with [request=r1 tick=4]")
    assert lines[1].endswith(" INFO plb.control without")


def test_levels_and_rotation(tmp_path):
    """What is less important is left out; files are as large and as many as is set."""
    path = tmp_path / "plb.log"
    with log_to(path, LogSettings(level="error", file_mb=0.001, files=2)):
        LOG.warning("left out")
        for number in range(100):
            LOG.error("line %03d", number)
    files = sorted(tmp_path.glob("plb.log*"))
    assert [file.name for file in files] == ["plb.log", "plb.log.1"]
    assert all(file.stat().st_size <= 1100 for file in files)
    assert "left out" not in "".join(file.read_text() for file in files)
    with log_to(tmp_path / "debug.log", LogSettings(level="debug")):
        LOG.debug("shown")
    assert "shown" in (tmp_path / "debug.log").read_text()


async def test_requests_that_change_or_fail_are_logged_with_their_id(tmp_path):
    """A mutation and a 5xx are a line each, by route and id; a read that works is none."""
    balancer = FakeBalancer()
    path = tmp_path / "api.log"
    with log_to(path, LogSettings(format="json")):
        transport = httpx.ASGITransport(create_app(balancer), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://plb") as http:
            await http.get("/v1/status")
            await http.post(
                "/v1/migrations", json={"order_param": "LGA-ATL", "destination": "shard-9"}, headers={"X-Request-Id": "r-7"}
            )
            balancer.failing["mapping"] = ControlUnavailableError("gone")
            await http.get("/v1/allocations", headers={"X-Request-Id": "r-8"})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = [
        (line["request"], line["level"], line["message"].split(" in ")[0]) for line in lines if line["logger"] == "plb.api"
    ]
    assert found == [
        ("r-7", "INFO", "POST /v1/migrations answered 404"),
        ("r-8", "WARNING", "GET /v1/allocations answered 503"),
    ]
