"""The application with authentication on, and callers of each role, for tests."""

from __future__ import annotations

import httpx
from fake_balancer import NOW_S

from service.api.app import create_app
from service.api.guard import Rules
from service.api.platform import Platform
from service.auth.gate import Gate
from service.auth.roles import Role
from service.auth.sessions import Sessions
from service.auth.tokens import TokenStore


class Guarded:
    """An application that asks who calls. `tokens` has one of each role, `store` makes more."""

    def __init__(self, folder, balancer, *, oidc=None, failures=None, retrainings=None, **rules):
        self.store = TokenStore(folder, lambda: NOW_S)
        self.tokens = {role: self.store.create(role.value, role)[0] for role in Role}
        gate = Gate(self.store, Sessions(b"k" * 32, 12.0, lambda: NOW_S), oidc, failures)
        self.app = create_app(
            balancer, now_s=lambda: NOW_S, retrainings=retrainings, platform=Platform(Rules(gate, **rules))
        )

    def client(self, role=None, **headers):
        """Return a client that shows the token of a role, or nothing."""
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://plb", headers=headers)
