"""The public keys of an issuer of JSON Web Tokens: from a file, or from a URL of the issuer's.

Issuers change their keys by publishing the new one beside the old one first. So keys are kept for a while and fetched again
when a token names one that is not known, but not more often than every `LOOK_AGAIN_S`: else anybody could make us ask the
issuer with every request. While the issuer does not answer, the keys that are known go on being used, up to `STALE_S`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from jwt import PyJWK, PyJWKSet, PyJWTError

from plb_ray.clock import monotonic_s
from plb_ray.errors import BadInputError, NotReadyError
from service.auth.roles import CredentialError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plb_ray.settings import OidcSettings

LOG = logging.getLogger("service.auth")
LOOK_AGAIN_S = 10.0
STALE_S = 3600.0
TIMEOUT_S = 5.0
DISCOVERY = "/.well-known/openid-configuration"
LOCAL = {"127.0.0.1", "localhost", "::1"}

Document = dict[str, Any]


class IssuerKeys:
    """Finds the key that a token names.

    Args:
        fetch: returns the issuer's key set as JSON says it; blocks. Raises OSError, ValueError or httpx.HTTPError.
        max_age_s: how long keys are used before they are fetched again.
        now_s: a clock that only goes forward.
    """

    def __init__(self, fetch: Callable[[], Document], max_age_s: float, now_s: Callable[[], float] = monotonic_s) -> None:
        self._fetch = fetch
        self._max_age_s = max_age_s
        self._now_s = now_s
        self._keys: tuple[PyJWK, ...] = ()
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str | None) -> PyJWK:
        """Return the key with this id; without an id, the only key that there is.

        Raises:
            CredentialError: UNKNOWN_KEY.
            NotReadyError: the issuer does not answer, and there are no keys of the last hour.
        """
        if self._older_than(self._max_age_s):
            await self._refresh()
        found = self._find(key_id)
        if found is None:
            await self._refresh()
            found = self._find(key_id)
        if self._older_than(STALE_S):
            raise NotReadyError(
                "the issuer's keys cannot be had just now, so tokens of its cannot be checked; retry in a moment"
            )
        if found is None:
            raise CredentialError(
                "UNKNOWN_KEY", f"the token is signed with a key {key_id!r} that its issuer does not publish"
            )
        return found

    def _find(self, key_id: str | None) -> PyJWK | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((each for each in self._keys if each.key_id == key_id), None)

    def _older_than(self, age_s: float) -> bool:
        return self._fetched_s is None or self._now_s() - self._fetched_s >= age_s

    async def _refresh(self) -> None:
        """Fetch the keys, unless that was tried a moment ago."""
        async with self._fetching:
            if self._tried_s is not None and self._now_s() - self._tried_s < LOOK_AGAIN_S:
                return
            self._tried_s = self._now_s()
            try:
                document = await asyncio.to_thread(self._fetch)
                self._keys = tuple(
                    each for each in PyJWKSet.from_dict(document).keys if each.public_key_use in (None, "sig")
                )
                self._fetched_s = self._now_s()
            except (OSError, ValueError, KeyError, TypeError, AttributeError, httpx.HTTPError, PyJWTError) as error:
                LOG.warning("the issuer's keys could not be read: %s: %s", type(error).__name__, error)


def fetcher(settings: OidcSettings) -> Callable[[], Document]:
    """Return what fetches the keys as the settings say."""
    if settings.jwks_file is not None:
        return _FromFile(settings.jwks_file)
    return lambda: _get(settings.jwks_url or _discovered(settings.issuer))


class _FromFile:
    """Reads a file of keys."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> Document:
        return _as_document(self._path.read_text(encoding="utf-8"))


def _discovered(issuer: str) -> str:
    """Return where an issuer says that its keys are."""
    url = issuer.rstrip("/") + DISCOVERY
    found = _get(url)
    if found.get("issuer") != issuer:
        raise ValueError(f"{url} is about {found.get('issuer')!r}, not about {issuer!r}")
    keys_url = str(found["jwks_uri"])
    if urlsplit(keys_url).scheme != "https" and urlsplit(keys_url).hostname not in LOCAL:
        raise ValueError(f"{url} names keys at {keys_url!r}; they are fetched by https:// only")
    return keys_url


def _get(url: str) -> Document:
    local = urlsplit(url).hostname in LOCAL
    with httpx.Client(timeout=TIMEOUT_S, trust_env=not local) as client:
        response = client.get(url, headers={"Accept": "application/json"})
        response.raise_for_status()
        return _as_document(response.text)


def _as_document(text: str) -> Document:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  as json.loads
    return found


def check_readable(settings: OidcSettings) -> None:
    """Refuse a file of keys that cannot be used, before anybody calls. Raises BadInputError."""
    if settings.jwks_file is None:
        return
    try:
        PyJWKSet.from_dict(_FromFile(settings.jwks_file)())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, PyJWTError) as error:
        raise BadInputError(f"http.auth.oidc.jwks_file {settings.jwks_file}: no set of JSON Web Keys: {error}") from error
