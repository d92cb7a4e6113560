from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from postgres_server import postgres_server
from sqlalchemy import create_engine, text

from plb_ray.journal.journal import Journal, open_journal
from plb_ray.journal.upgrade import upgrade_schema
from plb_ray.journal.worker import SqlWorker

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres():
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def journal(request, tmp_path):
    """A new journal on each kind of database; on PostgreSQL without the owner's lock, which is a matter of files."""
    opened = await _opened(request, tmp_path)
    yield opened
    await opened.close()


async def _opened(request, tmp_path):
    if request.param == "sqlite":
        return await open_journal(tmp_path / "state" / "journal.sqlite")
    url, name = request.getfixturevalue("postgres"), f"journal_{next(_NUMBERS)}"
    maintenance = create_engine(f"{url}/postgres", isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    maintenance.dispose()
    engine = create_engine(f"{url}/{name}")
    with engine.begin() as connection:
        upgrade_schema(connection)
    engine.dispose()
    unlocked = SimpleNamespace(release=lambda: None)
    return Journal(SqlWorker(engine), unlocked, 0, lambda _record: None)
