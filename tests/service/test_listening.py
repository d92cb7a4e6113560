from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from service.api.request_ids import OneRequestId
from service.listening import Door, listening_at


class Options(SimpleNamespace):
    """Serve's HTTP options, as far as they are used."""

    def model_copy(self, update):
        return Options(**{**vars(self), **update})


async def opened(door):
    """Return what Serve's own function is called with."""
    called = {}

    async def start(app, options, *, event_loop, enable_so_reuseport):
        called.update(app=app, options=options, loop=event_loop, reuse=enable_so_reuseport)
        return "server"

    serves = Options(host="127.0.0.1", port=30_000, middlewares=["theirs"], keep_alive_timeout_s=5)
    assert await listening_at(door, start)("app", serves, event_loop="loop", enable_so_reuseport=False) == "server"
    return called


async def test_the_port_is_the_one_that_was_asked_for():
    """Address and port are ours, the rest of the options stays, and the port can be taken again at once."""
    called = await opened(Door("0.0.0.0", 8_000))
    options = called["options"]
    assert (options.host, options.port, options.keep_alive_timeout_s) == ("0.0.0.0", 8_000, 5)
    assert (called["app"], called["loop"], called["reuse"]) == ("app", "loop", True)
    assert not hasattr(options, "ssl_certfile")


async def test_ids_are_looked_at_before_serve_does():
    """Serve puts the last middleware outermost."""
    theirs, ours = (await opened(Door("127.0.0.1", 8_000)))["options"].middlewares
    assert (theirs, ours.cls) == ("theirs", OneRequestId)


@pytest.mark.parametrize(("key", "is_https"), [(Path("/c/key.pem"), True), (None, False)])
async def test_https_needs_a_certificate_and_its_key(key, is_https):
    """Both files go to the server; a certificate alone does not make HTTPS."""
    options = vars((await opened(Door("127.0.0.1", 8_000, Path("/c/cert.pem"), key)))["options"])
    expected = {"ssl_certfile": "/c/cert.pem", "ssl_keyfile": "/c/key.pem"} if is_https else {}
    assert {name: value for name, value in options.items() if name.startswith("ssl")} == expected
