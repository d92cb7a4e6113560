"""The API and the dashboard in this process and event loop, by uvicorn, without Ray: for tests and for one-process use."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from plb_ray.errors import BadInputError
from service.ports import claim_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastapi import FastAPI

STARTED_POLL_S = 0.005


@asynccontextmanager
async def serving(
    app: FastAPI, host: str = "127.0.0.1", port: int = 0, tls: tuple[Path, Path] | None = None
) -> AsyncIterator[str]:
    """Serve an application while the block runs, and yield its URL. Signals are left to the caller.

    Args:
        app: what answers.
        host: address to listen on.
        port: 0 takes a free one.
        tls: certificate and key in PEM; None: plain HTTP.

    Raises:
        PortInUseError: somebody listens on that port.
    """
    port = claim_port(host, port, "the HTTP service")
    # uvicorn's own log_config would close every handler of this process, and absl's closes the stream it was born with.
    cert, key = tls or (None, None)
    quiet: dict[str, Any] = {"log_config": None, "log_level": "warning", "access_log": False, "lifespan": "off"}
    config = uvicorn.Config(app, host=host, port=port, ssl_certfile=cert, ssl_keyfile=key, **quiet)
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn tells by a flag only
            await asyncio.sleep(STARTED_POLL_S)
        yield url_of(host, port, tls=tls is not None)
    finally:
        server.should_exit = True
        await task


def url_of(host: str, port: int, *, tls: bool = False) -> str:
    """Return the URL under which a local browser reaches a service that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  shown, not bound
    return f"{'https' if tls else 'http'}://{reachable}:{port}"


def check_certificate(cert: Path, key: Path) -> None:
    """Refuse a certificate that no server can be started with. Raises BadInputError."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_passphrase)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise BadInputError(f"http.tls: {cert} and {key} cannot be used as certificate and key: {error}") from error


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase; take it off, and let only the owner read the file")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the caller."""
        yield
