from __future__ import annotations

import io
import logging
import socket
from pathlib import Path

import httpx
import pytest
from fake_balancer import FakeBalancer

from plb_ray.errors import BadInputError, PortInUseError
from service import cli
from service.api.app import create_app
from service.local_http import serving, url_of
from service.options import DemoOptions, parse_arms, parse_start
from service.ports import claim_port


def test_a_port_in_use_is_one_sentence():
    """A taken port is a PortInUseError that says who wanted it and what to do."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"the HTTP service cannot listen on 127.0.0.1:{port}.*another port"):
            claim_port("127.0.0.1", port, "the HTTP service")


def test_port_zero_gives_a_free_one():
    """Port 0 becomes a port on which one can listen."""
    port = claim_port("127.0.0.1", 0, "x")
    assert claim_port("127.0.0.1", port, "x") == port


def test_an_address_that_is_not_ours():
    """An address of another machine is bad input, not a crash."""
    with pytest.raises(BadInputError, match="choose another address"):
        claim_port("192.0.2.1", 0, "x")


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")],
)
def test_urls_that_a_browser_can_open(host, url):
    """The URL is one that a local browser reaches, also when all addresses are listened on."""
    assert url_of(host, 80) == url


async def test_serving_in_process_serves_and_stops():
    """Without Ray the application answers while the block runs, and not after it."""
    async with serving(create_app(FakeBalancer())) as url, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url + "/healthz")).json() == {"status": "ok"}
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(PortInUseError):
            claim_port("127.0.0.1", port, "another")
    assert claim_port("127.0.0.1", port, "another") == port


class _Closing(logging.StreamHandler):
    """A handler that closes its stream with itself, as absl's does."""

    def close(self):
        self.stream.close()
        super().close()


async def test_serving_in_process_leaves_the_log_handlers_of_the_process_alone():
    """What else logs in this process goes on logging: no handler is closed, nor a stream with it."""
    kept = _Closing(io.StringIO())
    async with serving(create_app(FakeBalancer())):
        assert not kept.stream.closed


@pytest.mark.parametrize(
    ("text", "at_s"),
    [("2013-11-27T14:00", 1_385_560_800), ("2013-11-27T15:00+01:00", 1_385_560_800), ("2013-11-27", 1_385_510_400)],
)
def test_start_times(text, at_s):
    """A time without an offset is UTC; one with an offset is converted."""
    assert parse_start(text) == at_s


def test_arms_keep_order_without_repeats():
    """The arms run in the order given, each once."""
    assert parse_arms("predictive, static,predictive") == ("predictive", "static")


def test_every_demo_option_reaches_the_demo(monkeypatch, tmp_path):
    """Each option of `plb demo` arrives in the field that is meant, and the demo's result is the exit code."""
    seen = []

    class Demo:
        @staticmethod
        def run_demo(options, _console):
            seen.append(options)
            return 8

    monkeypatch.setitem(cli.sys.modules, "service.demo", Demo)
    arguments = (
        "--trace t.csv --order-params 7 --shards 5 --bins 9 --seconds-per-bin 0.5 --start 2013-11-27T14:00 "
        "--utilisation 0.7 --rate 300 --json out.json --keep-serving --port 8123 --seed 4 --state st --arms predictive"
    )
    assert cli.run(["demo", *arguments.split()]) == 8
    assert seen == [
        DemoOptions(
            trace=Path("t.csv"),
            order_params=7,
            shards=5,
            bins=9,
            seconds_per_bin=0.5,
            start_s=1_385_560_800,
            utilisation=0.7,
            rate=300,
            json_path=Path("out.json"),
            keep_serving=True,
            port=8123,
            seed=4,
            state_dir=Path("st"),
            arms=("predictive",),
        )
    ]
    assert cli.run(["demo"]) == 8
    assert seen[1] == DemoOptions()
