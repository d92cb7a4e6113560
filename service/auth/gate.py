"""From what a request shows to who calls: the one place that knows the ways in, and how often a wrong one is looked at.

A credential that is right is never refused because others from the same address were wrong: tokens cannot be guessed, so
turning people away would help nobody but those who want them turned away. Wrong ones are answered 429 after a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.auth.buckets import Buckets
from service.auth.issuer_keys import IssuerKeys, check_readable, fetcher
from service.auth.oidc import OidcVerifier, looks_like_jwt
from service.auth.roles import ANONYMOUS, Caller, CredentialError
from service.auth.sessions import Sessions, session_key
from service.auth.tokens import FOLDER, TokenStore

if TYPE_CHECKING:
    from pathlib import Path

    from plb_ray.settings import AuthSettings

MINUTE_S = 60.0


class TooManyFailuresError(Exception):
    """One address has shown too many wrong credentials; `retry_s` says when it may try again."""

    def __init__(self, retry_s: float) -> None:
        super().__init__(retry_s)
        self.retry_s = retry_s


@dataclass(frozen=True)
class Shown:
    """What a request shows of its caller: at most one of the two counts, the bearer first.

    Attributes:
        bearer: the credential of an Authorization header.
        session: the value of the login's cookie.
        address: where it comes from.
    """

    bearer: str = ""
    session: str = ""
    address: str = ""


class Gate:
    """Tells who calls.

    Args:
        tokens, sessions: None while authentication is off.
        oidc: None if no issuer is believed.
        failures: how many wrong credentials an address may show.
    """

    def __init__(
        self,
        tokens: TokenStore | None = None,
        sessions: Sessions | None = None,
        oidc: OidcVerifier | None = None,
        failures: Buckets | None = None,
    ) -> None:
        self.tokens = tokens
        self.sessions = sessions
        self._oidc = oidc
        self._failures = failures or Buckets(0, 1)

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything."""
        return self.tokens is None

    async def caller_of(self, shown: Shown) -> Caller:
        """Return who calls.

        Raises:
            CredentialError: nothing is shown, or it is not accepted.
            TooManyFailuresError: it is not accepted, as so many from this address before.
            NotReadyError: an issuer's keys cannot be had.
        """
        if self.tokens is None:
            return ANONYMOUS
        if not shown.bearer and not shown.session:
            raise CredentialError(
                "UNAUTHENTICATED", "say who you are: Authorization: Bearer TOKEN, or log in at /dashboard/#/login"
            )
        try:
            return await self._known(shown)
        except CredentialError:
            retry_s = self._failures.take(shown.address)
            if retry_s:
                raise TooManyFailuresError(retry_s) from None
            raise

    async def _known(self, shown: Shown) -> Caller:
        assert self.tokens is not None
        assert self.sessions is not None
        if not shown.bearer:
            caller = self.sessions.caller_of(shown.session)
            return self.tokens.caller_with_id(caller.token_id) if caller.token_id else caller
        if self._oidc is not None and looks_like_jwt(shown.bearer):
            return await self._oidc.caller_of(shown.bearer)
        return self.tokens.caller_of(shown.bearer)


def gate_of(settings: AuthSettings, state_dir: Path) -> Gate:
    """Return the gate that the settings ask for.

    Raises:
        BadInputError: a file of tokens or keys cannot be used.
    """
    if settings.mode == "off":
        return Gate()
    tokens = TokenStore(state_dir)
    tokens.tokens()  # a damaged file is found now
    sessions = Sessions(session_key(state_dir / FOLDER), settings.session_hours)
    failures = Buckets(settings.failures_per_minute / MINUTE_S, settings.failures_per_minute)
    oidc = None
    if settings.mode == "oidc":
        check_readable(settings.oidc)
        oidc = OidcVerifier(settings.oidc, IssuerKeys(fetcher(settings.oidc), settings.oidc.keys_max_age_s))
    return Gate(tokens, sessions, oidc, failures)
