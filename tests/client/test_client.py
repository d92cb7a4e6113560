"""The public client: the examples of docs/client.md run and print what stands there; the blocking form; its edges."""

import asyncio
import re
import subprocess
import sys
import threading
from importlib import metadata, resources
from pathlib import Path

import pytest

import plb_ray.client
from plb_ray.client import (
    BadInputError,
    BlockingQueue,
    OutcomeUnknownError,
    PermanentError,
    Queue,
    Retry,
    ShardUnavailableError,
)
from plb_ray.queues import consumer as consumer_module
from plb_ray.rpc.server import start_server
from tests.coordinator.live_queue import live_queue

ROOT = Path(__file__).parents[2]
ENDPOINT = "127.0.0.1:7070"
NOBODY = "127.0.0.1:1"


def examples(page):
    """Return the programs of a page, each with what it prints."""
    return re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


async def run_program(text):
    """Run a program of its own and return what it prints."""
    command = [sys.executable, "-W", "error", "-c", text]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    return out.decode()


@pytest.mark.shards
async def test_the_examples_of_the_page_print_what_stands_there(tmp_path):
    """Each program of docs/client.md runs on a real queue as it stands, but for the port, and prints what is shown."""
    programs = examples("client.md")
    assert len(programs) == (ROOT / "docs/client.md").read_text().count("```python") == 4
    async with live_queue(tmp_path) as live:
        for program, printed in programs:
            assert ENDPOINT in program
            assert await run_program(program.replace(ENDPOINT, live.endpoint)) == printed


@pytest.mark.shards
async def test_the_readme_s_example_runs(tmp_path):
    """The program in the README sends and consumes."""
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    async with live_queue(tmp_path) as live:
        printed = await run_program(program.replace(ENDPOINT, live.endpoint))
    assert printed == "tenant-7 1 first\ntenant-7 2 second\n"


def test_it_is_typed_and_complete():
    """The marker of typed packages is there, every public name exists and has words of its own."""
    assert (resources.files("plb_ray") / "py.typed").is_file()
    assert metadata.version("plb-ray")
    for name in plb_ray.client.__all__:
        found = getattr(plb_ray.client, name)
        assert not isinstance(found, type) or found.__doc__, name


@pytest.mark.parametrize(
    "endpoint", ["", "nonsense", ":7070", "127.0.0.1:0", "127.0.0.1:99999", "http://127.0.0.1:7070", None]
)
def test_endpoints_that_cannot_be_meant(endpoint):
    """What is not HOST:PORT is refused before anything is tried."""
    with pytest.raises(BadInputError, match=r"a queue is at HOST:PORT, such as 127\.0\.0\.1:7070, not at"):
        Queue(endpoint)
    with pytest.raises(BadInputError):
        BlockingQueue(endpoint)


@pytest.mark.parametrize("name", ["", "x" * 513, None])
async def test_names_that_cannot_be_meant(name):
    """A producer and a consumer have a name that shards take; one without would be refused by every shard, for ever."""
    async with Queue(NOBODY) as queue:
        with pytest.raises(BadInputError, match="a consumer has a name of 1 to 512 bytes"):
            queue.consumer(name, print)
        with pytest.raises(BadInputError, match="a producer has a name of 1 to 512 bytes"):
            await queue.producer(name).__aenter__()


async def test_a_consumer_says_once_that_the_queue_is_away(caplog, monkeypatch):
    """While the list of shards cannot be had a consumer waits, and says so once."""
    monkeypatch.setattr(consumer_module, "REFRESH_S", 0.01)
    async with Queue(NOBODY) as queue:
        consumer = queue.consumer("c", print)
        running = asyncio.create_task(consumer.run())
        await asyncio.sleep(0.3)
        await consumer.stop()
        await running
    assert [record.levelname for record in caplog.records if "list of shards" in record.message] == ["WARNING"]


async def test_a_queue_that_is_not_there():
    """`shards` says at once that nothing answers; `send` says what became of the messages, and so does the block's end."""
    async with Queue(NOBODY) as queue:
        with pytest.raises(ShardUnavailableError, match="does not answer"):
            await queue.shards()
        opened = queue.producer("p", timeout_s=0.2)
        producer = await opened.__aenter__()
        with pytest.raises(OutcomeUnknownError, match=r"does not answer.*they stay queued"):
            await producer.send("x", [b"1"])
        with pytest.raises(OutcomeUnknownError, match=r"not confirmed after 0\.2 s"):
            await opened.__aexit__(None, None, None)


async def test_what_is_not_a_queue():
    """A server that does not speak the contract is refused for good, by a consumer too."""
    stranger = await start_server("127.0.0.1:0", {}, "a stranger")
    async with Queue(stranger.endpoint) as queue:
        with pytest.raises(PermanentError, match=r"does not speak this part of plb\.v1"):
            await queue.consumer("c", print).run()
    await stranger.stop(0)


@pytest.mark.shards
async def test_leaving_a_producer_sends_what_is_queued_and_an_error_drops_it(tmp_path):
    """At the end of the block everything queued is stored; an error within it is not held up by what cannot be sent."""
    async with live_queue(tmp_path) as live, Queue(live.endpoint) as queue:
        async with queue.producer("p") as producer:
            receipts = [producer.enqueue("x", [b"m"]) for _ in range(300)]
        assert [receipt.result().last_seq for receipt in receipts] == list(range(1, 301))
        assert (await queue.locate("x")).shard_id == receipts[0].result().shard_id
    async with Queue(NOBODY) as queue:
        lost = []
        with pytest.raises(ZeroDivisionError):
            await _fail_within(queue, lost)
    assert isinstance(lost[0].exception(), OutcomeUnknownError)


async def _fail_within(queue, lost):
    async with queue.producer("p") as producer:
        lost.append(producer.enqueue("x", [b"m"]))
        raise ZeroDivisionError


@pytest.mark.shards
async def test_blocking_handlers_keep_the_order_of_an_order_param_and_run_side_by_side(tmp_path):
    """A handler that blocks holds up its own order param alone; `Retry` and errors work as in the asynchronous form."""
    async with live_queue(tmp_path) as live:
        assert await asyncio.to_thread(_blocking, live.endpoint) == ["slow 1", "slow 2"]


@pytest.mark.shards
async def test_ctrl_c_and_closing_end_a_blocking_consumer(tmp_path):
    """Ctrl-C stops `consume` cleanly and is raised on; leaving the block ends a `consume` of another thread."""
    async with live_queue(tmp_path) as live:
        program = INTERRUPTED.replace(ENDPOINT, live.endpoint)
        assert await run_program(program) == "interrupted\nended\n"


INTERRUPTED = f"""
import os, signal, threading
from plb_ray.client import BlockingQueue

with BlockingQueue("{ENDPOINT}") as queue:
    queue.producer("p").send("x", [b"1"])
    try:
        queue.consume("c", lambda message: os.kill(os.getpid(), signal.SIGINT))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    threading.Thread(target=lambda: (queue.consume("c", print), print("ended", flush=True))).start()
    while not queue._running:
        pass
"""


def test_an_error_within_a_blocking_queue_is_not_held_up_by_what_cannot_be_sent():
    """The block is left at once, and the messages' futures say that nobody knows."""
    lost = []
    with pytest.raises(ZeroDivisionError):
        _fail_within_a_blocking_queue(lost)
    assert isinstance(lost[0].exception(5), OutcomeUnknownError)


def _fail_within_a_blocking_queue(lost):
    with BlockingQueue(NOBODY) as queue:
        lost.append(queue.producer("p").enqueue("x", [b"m"]))
        raise ZeroDivisionError


def _blocking(endpoint):
    """Let order param `slow` wait within its handler until `quick` was handled."""
    seen, quick_done, retried = [], threading.Event(), []

    def handle(message):
        if message.order_param == "quick":
            if not retried:
                retried.append(message)
                raise Retry(0.01)
            quick_done.set()
            return
        assert quick_done.wait(10), "handlers of different order params do not run side by side"
        seen.append(f"slow {message.seq}")
        if message.seq == 2:
            raise ZeroDivisionError

    with BlockingQueue(endpoint) as queue:
        producer = queue.producer("p")
        assert len(queue.shards()) == 2
        producer.enqueue("slow", [b"1"])
        assert producer.enqueue("slow", [b"2"]).result(10).last_seq == 2
        producer.send("quick", [b"1"])
        producer.flush()
        with pytest.raises(ZeroDivisionError):
            queue.consume("c", handle)
    return seen
