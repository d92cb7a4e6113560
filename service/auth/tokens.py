"""API tokens: made once, shown once, kept as hashes.

    plb_<id>_<secret>    id: 8 hexadecimal digits, no secret; secret: 32 random bytes in base64url

The file holds the SHA-256 of the secret. A slow hash would add nothing: it is there to make guessing of weak passwords dear,
and 256 random bits are beyond guessing, while every request would pay for it. The id says which record to compare with, so
that one comparison in constant time decides, and it names a token in lists, logs and revocations.

Whoever changes the file holds its lock and replaces it whole. Readers look at the file's stamp before each use, so that a
new or revoked token counts at once, in every process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from plb_ray.clock import wall_time_s
from plb_ray.cluster.file_lock import locked
from plb_ray.errors import BadInputError, UnknownTokenError
from service.auth.private_files import private_folder, read_private, write_private
from service.auth.roles import Caller, CredentialError, Role

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

FOLDER = "auth"
FILE = "tokens.json"
VERSION = 1
PREFIX = "plb"
ID_BYTES, SECRET_BYTES = 4, 32
DAY_S = 86_400.0
NAME_MAX = 100
_NOBODYS = hashlib.sha256(b"nobody's secret").hexdigest()

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class ApiToken:
    """What is kept of a token.

    Attributes:
        token_id: no secret.
        name: whose it is; the audit log shows it.
        secret_sha256: of the secret, in hexadecimal digits.
        made_s, expires_s, revoked_s: wall time; None: never.
    """

    token_id: str
    name: str
    role: Role
    secret_sha256: str
    made_s: float
    expires_s: float | None = None
    revoked_s: float | None = None

    def valid(self, now_s: float) -> bool:
        """Return whether it opens anything at this time."""
        return self.revoked_s is None and (self.expires_s is None or now_s < self.expires_s)

    @property
    def caller(self) -> Caller:
        """Who calls with it."""
        return Caller(self.name, self.role, self.expires_s, self.token_id)


class TokenStore:
    """The tokens of a state folder. Safe to use from several processes.

    Args:
        state_dir: of the balancer.
        now_s: wall time.
        entropy: gives so many bytes that nobody can guess.
    """

    def __init__(
        self,
        state_dir: Path,
        now_s: Callable[[], float] = wall_time_s,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.path = state_dir / FOLDER / FILE
        self._now_s = now_s
        self._entropy = entropy
        self._stamp: Stamp | None = None
        self._known: dict[str, ApiToken] = {}

    def tokens(self) -> tuple[ApiToken, ...]:
        """Return every token, revoked and expired ones included, oldest first. Raises BadInputError: the file is damaged."""
        return tuple(self._fresh().values())

    def create(self, name: str, role: Role, expires_days: float | None = None) -> tuple[str, ApiToken]:
        """Make a token; return it, which is the only time that it can be seen, and what is kept of it.

        Raises:
            BadInputError: the name is empty, too long or in use, or the file cannot be used.
        """
        _check(name, expires_days)
        with self._changing():
            known = self._read()
            now_s = self._now_s()
            if any(each.name == name and each.valid(now_s) for each in known.values()):
                raise BadInputError(f"there is a token with the name {name!r}; revoke it first or choose another name")
            token_id, secret = self._unused_id(known), _text(self._entropy(SECRET_BYTES))
            until_s = None if expires_days is None else now_s + expires_days * DAY_S
            made = ApiToken(token_id, name, role, _hash(secret), now_s, until_s)
            self._write({**known, token_id: made})
        return f"{PREFIX}_{token_id}_{secret}", made

    def revoke(self, which: str) -> ApiToken:
        """Let a token open nothing from now on, and return it. Harmless when it is revoked already.

        Args:
            which: its id, or the name of one that is not revoked.

        Raises:
            UnknownTokenError: there is no such token.
            BadInputError: the file cannot be used.
        """
        with self._changing():
            known = self._read()
            found = known.get(which) or next(
                (each for each in known.values() if each.name == which and not each.revoked_s), None
            )
            if found is None:
                raise UnknownTokenError(which)
            if found.revoked_s is None:
                found = replace(found, revoked_s=self._now_s())
                self._write({**known, found.token_id: found})
        return found

    def caller_of(self, token: str) -> Caller:
        """Return whose token this is.

        Raises:
            CredentialError: UNKNOWN_TOKEN, TOKEN_EXPIRED, TOKEN_REVOKED.
            BadInputError: the file is damaged.
        """
        prefix, _, rest = token.partition("_")
        token_id, _, secret = rest.partition("_")
        found = self._fresh().get(token_id) if prefix == PREFIX else None
        same = hmac.compare_digest(_hash(secret), found.secret_sha256 if found else _NOBODYS)
        if found is None or not same:
            raise CredentialError("UNKNOWN_TOKEN", "this token is not known; `plb token create` makes one")
        return self._still(found)

    def caller_with_id(self, token_id: str) -> Caller:
        """Return whose token has this id, for those who have shown it before. Raises as `caller_of`."""
        found = self._fresh().get(token_id)
        if found is None:
            raise CredentialError("UNKNOWN_TOKEN", "the token behind this login is not known any more; log in again")
        return self._still(found)

    def _still(self, found: ApiToken) -> Caller:
        if found.revoked_s is not None:
            raise CredentialError("TOKEN_REVOKED", f"the token of {found.name!r} was revoked; ask for a new one")
        if not found.valid(self._now_s()):
            raise CredentialError("TOKEN_EXPIRED", f"the token of {found.name!r} has expired; ask for a new one")
        return found.caller

    def _fresh(self) -> dict[str, ApiToken]:
        """Return what the file holds now, at the cost of one `stat` while it does not change."""
        try:
            seen = os.stat(self.path)  # noqa: PTH116  every request pays for it
            stamp = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        except FileNotFoundError:
            stamp = (0, 0, 0)
        if stamp != self._stamp:
            self._known, self._stamp = self._read(), stamp
        return self._known

    def _read(self) -> dict[str, ApiToken]:
        text = read_private(self.path)
        if text is None:
            return {}
        try:
            document = json.loads(text)
            if document["version"] != VERSION:
                raise BadInputError(f"{self.path} is of version {document['version']}, which this plb-ray does not know")
            tokens = [ApiToken(**{**each, "role": Role(each["role"])}) for each in document["tokens"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{self.path} is damaged ({error!r}); put it back from a copy, or remove it") from error
        return {each.token_id: each for each in tokens}

    def _write(self, tokens: dict[str, ApiToken]) -> None:
        document = {"version": VERSION, "tokens": [asdict(each) for each in tokens.values()]}
        write_private(self.path, json.dumps(document, indent=1, ensure_ascii=False))

    def _unused_id(self, known: dict[str, ApiToken]) -> str:
        while (token_id := self._entropy(ID_BYTES).hex()) in known:
            pass
        return token_id

    def _changing(self) -> AbstractContextManager[bool]:
        return locked(private_folder(self.path.parent) / "lock", wait=True)


def _check(name: str, expires_days: float | None) -> None:
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise BadInputError(
            f"--name {name!r}: 1 to {NAME_MAX} printable characters, to know it by in lists and in the audit log"
        )
    if expires_days is not None and not 0 < expires_days < 36_525:
        raise BadInputError(f"--expires {expires_days:g}: a number of days above 0")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _text(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()
