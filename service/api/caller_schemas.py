"""The JSON of callers: logins and API tokens."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictFloat

from service.api.schemas import Out, UtcTime
from service.auth.roles import Role
from service.auth.tokens import NAME_MAX

SESSION = {"authentication": True, "name": "anna", "role": "operator", "until": "2013-11-28T02:00:00Z"}
NO_SESSION = {"authentication": True, "name": None, "role": None, "until": None}
TOKEN = {
    "token_id": "5f0c8a1d",
    "name": "ci",
    "role": "operator",
    "made_at": "2013-11-27T14:00:00Z",
    "expires_at": "2014-02-25T14:00:00Z",
    "revoked_at": None,
    "valid": True,
}
TOKENS = {"items": [TOKEN], "total": 1, "limit": 100, "offset": 0}
NEW_TOKEN = {**TOKEN, "token": "plb_5f0c8a1d_6cU0Jm1Zq0m9b3l2o7Yw1r8s5t4u3v2x1y0z9A8B7C6"}


class SessionStart(BaseModel):
    """A login."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"token": NEW_TOKEN["token"]}]})

    token: SecretStr = Field(min_length=1, max_length=16_384, description="an API token, or a JSON Web Token of the issuer")


class Session(Out):
    """Who calls."""

    authentication: bool = Field(description="false: everybody may do everything")
    name: str | None = Field(description="null: nobody has logged in")
    role: Role | None
    until: UtcTime | None = Field(description="null: no end")


class TokenStart(BaseModel):
    """A token to make."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "ci", "role": "operator", "expires_days": 90}]}
    )

    name: str = Field(min_length=1, max_length=NAME_MAX, pattern=r"^[!-~]+( [!-~]+)*$", description="the audit log shows it")
    role: Role
    expires_days: StrictFloat | None = Field(None, gt=0, le=36_500, description="null: never")


class Token(Out):
    """What is known of a token."""

    token_id: str
    name: str
    role: Role
    made_at: UtcTime
    expires_at: UtcTime | None
    revoked_at: UtcTime | None
    valid: bool


class NewToken(Token):
    """A token that was just made."""

    token: str = Field(description="shown this once; what is kept is its hash")


class TokenPage(Out):
    """Tokens, oldest first."""

    items: list[Token]
    total: int
    limit: int
    offset: int
