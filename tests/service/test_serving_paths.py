"""Where a service keeps what must outlive it."""

from pathlib import Path

from plb_ray.settings import Settings
from service.serving import rooted


def test_folders_do_not_depend_on_where_a_worker_runs(tmp_path, monkeypatch):
    """Ray's workers run in folders that end with Ray, so relative folders are made absolute where the service is started."""
    monkeypatch.chdir(tmp_path)
    settings = rooted(Settings())
    assert (settings.state_dir, settings.tracing.folder) == (tmp_path / ".plb", tmp_path / ".plb" / "traces")
    elsewhere = Settings(state_dir=Path("/var/lib/plb"))
    assert rooted(elsewhere).state_dir == Path("/var/lib/plb")
