"""API tokens in API v1, for admins: list, make, revoke."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Path, Query, Request, Response, status

from service.api import caller_schemas, examples
from service.api.caller_schemas import NewToken, Token, TokenPage, TokenStart
from service.api.deps import NowDep
from service.api.guard import RefusedError

if TYPE_CHECKING:
    from service.api.guard import Rules
    from service.auth.tokens import ApiToken, TokenStore

router = APIRouter(prefix="/v1", tags=["callers"])

PAGE_MAX = 1000


@router.get("/tokens", summary="List API tokens", responses=examples.ok(caller_schemas.TOKENS, "auth_off", "invalid"))
async def get_tokens(
    request: Request,
    now_s: NowDep,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> TokenPage:
    """Every token, revoked and expired ones included, oldest first. The tokens themselves are not kept."""
    known = await asyncio.to_thread(_store(request).tokens)
    items = [token_out(each, now_s) for each in known[offset : offset + limit]]
    return TokenPage(items=items, total=len(known), limit=limit, offset=offset)


@router.post(
    "/tokens",
    summary="Make an API token",
    status_code=status.HTTP_201_CREATED,
    responses=examples.created(caller_schemas.NEW_TOKEN, "malformed", "auth_off", "invalid"),
)
async def post_token(request: Request, response: Response, now_s: NowDep, body: TokenStart) -> NewToken:
    """Makes a token that counts at once. It is shown in this answer only; keep it where only its user can read it."""
    token, made = await asyncio.to_thread(_store(request).create, body.name, body.role, body.expires_days)
    response.headers["Location"] = f"/v1/tokens/{made.token_id}"
    response.headers["Cache-Control"] = "no-store"
    return NewToken(**token_out(made, now_s).model_dump(), token=token)


@router.delete(
    "/tokens/{token_id}",
    summary="Revoke an API token",
    responses=examples.ok(
        {**caller_schemas.TOKEN, "revoked_at": "2013-11-27T15:00:00Z", "valid": False}, "unknown", "auth_off", "invalid"
    ),
)
async def delete_token(
    request: Request, now_s: NowDep, token_id: Annotated[str, Path(examples=["5f0c8a1d"], description="Its id or its name.")]
) -> Token:
    """Lets a token, and every login by it, open nothing from now on. Harmless when it is revoked already."""
    return token_out(await asyncio.to_thread(_store(request).revoke, token_id), now_s)


def _store(request: Request) -> TokenStore:
    store = cast("Rules", request.app.state.rules).gate.tokens
    if store is None:
        text = 'authentication is off, so no token opens anything; set http.auth.mode = "token" and start the service anew'
        raise RefusedError(HTTPStatus.CONFLICT, "AUTHENTICATION_OFF", text)
    return store


def token_out(kept: ApiToken, now_s: float) -> Token:
    """Return a token as the API shows it."""
    return Token(
        token_id=kept.token_id,
        name=kept.name,
        role=kept.role,
        made_at=kept.made_s,
        expires_at=kept.expires_s,
        revoked_at=kept.revoked_s,
        valid=kept.valid(now_s),
    )
