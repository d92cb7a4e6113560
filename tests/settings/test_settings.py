"""Reading plb.toml: defaults, refusals that name the key, and complete documentation."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from plb_ray.errors import BadInputError
from plb_ray.settings import Settings, load_settings, parse_settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def keys(settings=Settings(), prefix: str = "") -> list[str]:  # noqa: B008  frozen
    found: list[str] = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        found += keys(value, f"{prefix}{field.name}.") if is_dataclass(value) else [prefix + field.name]
    return found


def test_every_setting_is_documented_and_nothing_else():
    """The table of docs/settings.md lists exactly the settings that exist."""
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(keys())


def test_documented_defaults_are_the_defaults():
    """A default in the document that is not the code's would mislead."""
    for row in (line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")):
        cells = [cell.strip() for cell in row.split("|")[1:4]]
        value = Settings()
        for part in cells[0].strip("`").split("."):
            value = getattr(value, part)
        if cells[1].startswith("`"):
            told = cells[1].strip("`")
            assert told in (str(value), f"{value:g}" if isinstance(value, float) else str(value)), cells[0]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"balancr": {}}, "balancr: unknown key"),
        ({"balancer": {"headrom": 0.5}}, "balancer.headrom: unknown key"),
        ({"balancer": {"headroom": 1.5}}, "balancer.headroom"),
        ({"balancer": {"mode": "brave"}}, "balancer.mode"),
        ({"http": {"port": "eighty"}}, "http.port"),
        ({"queue": {"kind": "grpc"}}, "queue.target"),
        ({"history": {"prometheus": {"url": "http://127.0.0.1:9090"}}}, "history.prometheus.query"),
        ({"history": {"prometheus": {"url": "localhost:9090", "query": "x"}}}, "history.prometheus.url"),
        ({"queue": {"shards": [{"shard_id": "a"}]}}, "queue.shards.0.endpoint"),
        ({"queue": {"tls": {"enabled": True}}}, "queue.tls.enabled"),
        ({"queue": {"kind": "grpc", "target": "h:1", "tls": {"ca": "ca.pem"}}}, "queue.tls.enabled"),
        ({"queue": {"kind": "grpc", "target": "h:1", "tls": {"enabled": True, "cert": "c.pem"}}}, "queue.tls.key"),
    ],
)
def test_a_bad_key_is_named(document, key):
    """The refusal names the file and the key."""
    with pytest.raises(BadInputError) as refusal:
        parse_settings(document, "plb.toml")
    assert "plb.toml" in str(refusal.value)
    assert key in str(refusal.value)


def test_a_file_that_is_not_toml_is_refused_in_one_sentence(tmp_path):
    """A syntax error names the file and the place."""
    path = tmp_path / "plb.toml"
    path.write_text("[balancer\n")
    with pytest.raises(BadInputError, match=r"plb\.toml: cannot be read as TOML.*line 1"):
        load_settings(path)


def test_a_missing_file_is_refused_and_none_means_defaults(tmp_path):
    """A path that does not exist is an error; no path is not."""
    with pytest.raises(BadInputError, match="no such file"):
        load_settings(tmp_path / "absent.toml")
    assert load_settings(None) == Settings()


def test_values_of_the_file_are_used(tmp_path):
    """What stands in the file replaces the default, and only that."""
    path = tmp_path / "plb.toml"
    path.write_text("[balancer]\nheadroom = 0.8\n")
    settings = load_settings(path)
    assert settings.balancer.headroom == 0.8
    assert settings.balancer.level == Settings().balancer.level
