"""How the tests share the cores: whatever starts real processes goes to one worker, all else file by file to any."""

import pytest

REAL = ("ray", "shards", "demo")


def pytest_collection_modifyitems(items):
    """Give each test its group: two tests with real processes never run at once, a file's fixtures are built once."""
    for item in items:
        real = any(item.get_closest_marker(name) for name in REAL)
        item.add_marker(pytest.mark.xdist_group("real" if real else item.path.as_posix()))


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    """Let the commands write as into a file, whatever width pytest tells its workers."""
    monkeypatch.delenv("COLUMNS", raising=False)
