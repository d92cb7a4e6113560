from __future__ import annotations

import httpx
import pytest
from fake_balancer import NOW_S, FakeBalancer

from service.api.app import create_app


@pytest.fixture
def balancer() -> FakeBalancer:
    return FakeBalancer()


@pytest.fixture
def app(balancer):
    return create_app(balancer, now_s=lambda: NOW_S)


@pytest.fixture
async def http(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://plb") as client:
        yield client
