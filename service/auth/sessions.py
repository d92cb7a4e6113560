"""Logins to the dashboard: a signed cookie says who has logged in, so that no process has to remember it.

    base64url(JSON: name, role, until_s, token_id) . base64url(HMAC-SHA256 over that)

The key is a file of the state folder; removing it ends every login. A login by an API token also ends with that token, which
is looked up by its id at each request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING

from plb_ray.clock import wall_time_s
from plb_ray.cluster.file_lock import locked
from service.auth.private_files import private_folder, read_private, write_private
from service.auth.roles import Caller, CredentialError, Role

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY_FILE = "session.key"
KEY_BYTES = 32
HOUR_S = 3600.0


class Sessions:
    """Makes and checks logins.

    Args:
        key: signs them.
        hours: how long one lasts at most.
        now_s: wall time.
    """

    def __init__(self, key: bytes, hours: float, now_s: Callable[[], float] = wall_time_s) -> None:
        self._key = key
        self._hours = hours
        self._now_s = now_s

    def begin(self, caller: Caller) -> tuple[str, float]:
        """Return a cookie's value, and when it ends: with the login's hours or with the credential, whichever is first."""
        until_s = self._now_s() + self._hours * HOUR_S
        if caller.until_s is not None:
            until_s = min(until_s, caller.until_s)
        claims = {"name": caller.name, "role": caller.role.value, "until_s": until_s, "token_id": caller.token_id}
        body = _text(json.dumps(claims, separators=(",", ":")).encode())
        return f"{body}.{self._signature(body)}", until_s

    def caller_of(self, value: str) -> Caller:
        """Return who has logged in. Raises CredentialError: SESSION_INVALID, SESSION_ENDED."""
        body, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise CredentialError("SESSION_INVALID", "this login is not ours; log in again")
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if self._now_s() >= claims["until_s"]:
            raise CredentialError("SESSION_ENDED", "the login has ended; log in again")
        return Caller(claims["name"], Role(claims["role"]), claims["until_s"], claims["token_id"])

    def _signature(self, body: str) -> str:
        return _text(hmac.new(self._key, body.encode(), hashlib.sha256).digest())


def session_key(folder: Path, entropy: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """Return the key of a state folder's logins; made at its first use. Raises BadInputError: it cannot be read or kept."""
    path = private_folder(folder) / KEY_FILE
    with locked(folder / "lock", wait=True):
        text = read_private(path)
        if text is None:
            text = entropy(KEY_BYTES).hex()
            write_private(path, text)
    return bytes.fromhex(text)


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
