"""Listening ports: is one free, and which one is."""

from __future__ import annotations

import errno
import socket

from plb_ray.errors import BadInputError, PortInUseError


def claim_port(host: str, port: int, what: str) -> int:
    """Return `port` if `what` can listen on it, or a free one for 0. The port is not held; claim it soon.

    Raises:
        PortInUseError: somebody listens there.
        BadInputError: this machine has no such address, or may not use the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise _in_words(error, host, port, what) from error
        return int(probe.getsockname()[1])


def _in_words(error: OSError, host: str, port: int, what: str) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(f"{host}:{port}", what)
    return BadInputError(f"{what} cannot listen on {host}:{port}: {error.strerror}; choose another address or port")
