"""JSON Web Tokens of an OpenID Connect issuer: is it ours to believe, whose is it, what may they do.

PyJWT checks the signature and the registered claims. What is added: only signatures with a public key count (with "none" or
a shared secret anybody who knows the public key could sign), `exp`, `iss`, `aud` must be there, and roles are read from a
claim of the issuer's choosing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt

from service.auth.roles import Caller, CredentialError, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plb_ray.settings import OidcSettings
    from service.auth.issuer_keys import IssuerKeys

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
REQUIRED = ["exp", "iss", "aud"]

# From special to general: PyJWT's word, ours.
_WHY: tuple[tuple[type[jwt.PyJWTError], str, str], ...] = (
    (jwt.ExpiredSignatureError, "TOKEN_EXPIRED", "the token has expired; fetch a new one from its issuer"),
    (
        jwt.ImmatureSignatureError,
        "TOKEN_NOT_YET_VALID",
        "the token is not valid yet; check the clocks of the issuer and of this machine",
    ),
    (jwt.InvalidIssuerError, "WRONG_ISSUER", "the token is of another issuer than http.auth.oidc.issuer"),
    (jwt.InvalidAudienceError, "WRONG_AUDIENCE", "the token is meant for another audience than http.auth.oidc.audience"),
    (jwt.MissingRequiredClaimError, "CLAIM_MISSING", "the token lacks one of exp, iss, aud"),
    (jwt.InvalidSignatureError, "BAD_SIGNATURE", "the token's signature is not its issuer's"),
    (jwt.PyJWTError, "BAD_TOKEN", "this is no JSON Web Token that can be checked"),
)


class OidcVerifier:
    """Tells who a token of the issuer stands for."""

    def __init__(self, settings: OidcSettings, keys: IssuerKeys) -> None:
        self._settings = settings
        self._keys = keys

    async def caller_of(self, token: str) -> Caller:
        """Return whose token this is.

        Raises:
            CredentialError: it is not believed (see `_WHY`), it is signed with an unknown key, or it holds no role of ours.
            NotReadyError: the issuer's keys cannot be had.
        """
        settings = self._settings
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.key(header.get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": REQUIRED},
            )
        except jwt.PyJWTError as error:
            raise _in_words(error) from error
        return self._caller(claims)

    def _caller(self, claims: dict[str, Any]) -> Caller:
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or not name:
            raise CredentialError(
                "CLAIM_MISSING", f"the token has no claim {self._settings.name_claim!r} that names the caller"
            )
        values = set(_texts(_at(claims, self._settings.role_claim)))
        roles = [role for role in Role if values & set(getattr(self._settings, role.value))]
        if not roles:
            raise CredentialError(
                "NO_ROLE",
                f"{name!r} is known, but no value of the claim {self._settings.role_claim!r} stands for a role here",
            )
        return Caller(name, roles[-1], float(claims["exp"]))  # the highest


def looks_like_jwt(credential: str) -> bool:
    """Return whether a bearer credential is a JSON Web Token rather than an API token."""
    return credential.count(".") == 2


def _in_words(error: jwt.PyJWTError) -> CredentialError:
    return next(CredentialError(reason, text) for kind, reason, text in _WHY if isinstance(error, kind))


def _at(claims: dict[str, Any], path: str) -> Any:
    """Return the claim of that name or, with dots, inside of objects; a whole name that holds dots counts first."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _texts(value: Any) -> Iterator[str]:
    """Yield what a claim of roles holds: a list, or a text with spaces between."""
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, list):
        yield from (each for each in value if isinstance(each, str))
