"""Where settings come from: file, environment, files with secrets; every fault at once, with its place."""

import json
import pickle

import jsonschema
import pytest

from plb_ray.errors import BadInputError
from plb_ray.settings import Settings, load_settings, parse_settings
from plb_ray.settings.keys import keys
from plb_ray.settings.places import lines_of
from plb_ray.settings.schema import described, settings_schema
from plb_ray.settings.sources import every_fault, resolve


@pytest.fixture
def toml(tmp_path):
    def written(text):
        path = tmp_path / "plb.toml"
        path.write_text(text)
        return path

    return written


def another_value(key):
    """Return (text of a variable, value in the tree) that is allowed and is not the default."""
    special = {
        "queue.kind": ("grpc", "grpc"),
        "balancer.mode": ("static", "static"),
        "history.prometheus.kind": ("counter", "counter"),
        "queue.shards": ('[{shard_id = "a", endpoint = "h:1"}]', None),
        "notify.kinds": ('["shard_silent"]', ("shard_silent",)),
        "log.format": ("json", "json"),
        "log.level": ("error", "error"),
        "tracing.exporter": ("console", "console"),
    }
    default = key.of(Settings())
    if key.name in special:
        return special[key.name]
    if isinstance(default, bool):
        return str(not default).lower(), not default
    if isinstance(default, int | float):
        return None, None
    return "http://127.0.0.1:1/x", None


@pytest.mark.parametrize("key", keys(), ids=lambda key: key.name)
def test_every_setting_has_a_variable(key):
    """A variable of the environment reaches its setting, or is refused by that setting's own range, never as unknown."""
    text, value = another_value(key)
    resolved = resolve(None, {key.variable: text or "7"})
    told = [fault for fault in resolved.faults if fault.key == key.name and "unknown" in fault.what]
    assert told == []
    if resolved.settings is not None and not key.secret:
        got = key.of(resolved.settings)
        assert got != key.of(Settings()) or text is None
        assert value is None or got == value
        assert resolved.origins[key.name] == f"environment variable {key.variable}"


def test_the_environment_goes_before_the_file(toml):
    """What a variable says replaces what the file says, and only that."""
    path = toml("[balancer]\nheadroom = 0.8\nlease_ms = 700\n")
    settings = load_settings(path, {"PLB_BALANCER__HEADROOM": "0.7"})
    assert (settings.balancer.headroom, settings.balancer.lease_ms) == (0.7, 700)


@pytest.mark.parametrize(
    ("environ", "what"),
    [
        ({"PLB_BALANCER__HEADROM": "1"}, "did you mean balancer.headroom?"),
        ({"PLB_BALANCER__HEADROOM": "much"}, "is no TOML value"),
        ({"PLB_HTTP__PORT": "1\nx = 2"}, "is no TOML value"),
        ({"PLB_HTTP__PORT": "70000"}, "less than or equal to 65535"),
        ({"PLB_NONSENSE__AT_ALL": "1"}, "unknown key"),
    ],
)
def test_a_wrong_variable_is_named(environ, what):
    """A variable that stands for no setting, or for no value of it, is refused by its name."""
    (variable,) = environ
    with pytest.raises(BadInputError, match=variable) as refusal:
        load_settings(None, environ)
    assert what in str(refusal.value)


def test_variables_of_others_are_left_alone():
    """PLB_URL and PLB_DEBUG are of the command line; an empty variable counts as not set."""
    environ = {"PLB_URL": "http://x", "PLB_DEBUG": "1", "HOME": "/", "PLB_HTTP__PORT": ""}
    assert load_settings(None, environ) == Settings()


def test_text_needs_no_quotes(tmp_path):
    """Text that looks like a number or a boolean is still text, and a path is a path."""
    settings = load_settings(None, {"PLB_RAY__ADDRESS": "10001", "PLB_STATE_DIR": str(tmp_path)})
    assert (settings.ray.address, settings.state_dir) == ("10001", tmp_path)


def test_all_faults_at_once_with_their_lines(toml):
    """Unknown keys, wrong types and wrong ranges are all told, each with the line it stands on."""
    path = toml('# a comment\n\n[http]\nport = "eighty"\n\n[balancer]\nheadrom = 0.9\nmode = """\nbrave"""\nlease_ms = 1\n')
    faults = list(every_fault(resolve(path, {"PLB_QUEUE__COUNT": "0"})))
    assert {tuple(fault.split(": ")[:2]) for fault in faults} == {
        (f"{path}:7", "balancer.headrom"),
        (f"{path}:8", "balancer.mode"),
        (f"{path}:10", "balancer.lease_ms"),
        ("environment variable PLB_QUEUE__COUNT", "queue.count"),
        (f"{path}:4", "http.port"),
    }
    assert len(faults) == 5


def test_rules_between_settings_are_all_told(toml):
    """Two broken rules are two faults, each at the key to be changed, or at the table where it lacks."""
    path = toml('[queue]\nkind = "grpc"\n[elastic]\nenabled = true\n')
    faults = resolve(path, {}).faults
    assert [(fault.place, fault.key) for fault in faults] == [
        (f"{path}:1", "queue.target"),
        (f"{path}:4", "elastic.enabled"),
    ]


def test_a_secret_in_the_file_is_refused(toml):
    """It is not repeated, and the refusal says where it belongs."""
    path = toml('[notify]\nslack_url = "https://hooks.example/T0P"\n')
    with pytest.raises(BadInputError, match=r":2: notify\.slack_url: a secret may not stand here") as refusal:
        load_settings(path, {})
    assert "PLB_NOTIFY__SLACK_URL" in str(refusal.value)
    assert "T0P" not in str(refusal.value)


def test_secrets_come_by_environment_or_file(toml, tmp_path):
    """A file's first line is the secret; it is never in the settings' repr."""
    (tmp_path / "hook").write_text("https://hooks.example/T0P\n")
    path = toml(f"[notify]\nslack_url_file = {json.dumps(str(tmp_path / 'hook'))}\n")
    resolved = resolve(path, {"PLB_NOTIFY__WEBHOOK_URL": "https://b.example/S3"})
    assert resolved.settings is not None
    notify = resolved.settings.notify
    assert (notify.slack_url, notify.webhook_url) == ("https://hooks.example/T0P", "https://b.example/S3")
    assert resolved.origins["notify.slack_url"] == f"file {tmp_path / 'hook'}"
    assert "T0P" not in repr(resolved.settings)
    assert "S3" not in repr(resolved.settings)
    assert pickle.loads(pickle.dumps(resolved.settings)) == resolved.settings


def test_a_secret_twice_or_not_readable(toml):
    """A variable and a file for one secret contradict each other; a file that is not there is named."""
    path = toml('[notify]\nslack_url_file = "/no/such/file"\n')
    assert "cannot be read" in next(every_fault(resolve(path, {})))
    both = next(every_fault(resolve(path, {"PLB_NOTIFY__SLACK_URL": "https://x"})))
    assert "PLB_NOTIFY__SLACK_URL is set too" in both


def test_a_secret_that_is_no_url_is_not_repeated():
    """A refusal goes to logs, so it must not hold what was meant to be secret."""
    with pytest.raises(BadInputError, match="is no URL") as refusal:
        load_settings(None, {"PLB_NOTIFY__SLACK_URL": "T0P-S3CRET"})
    assert "S3CRET" not in str(refusal.value)


def test_origins_name_lines(toml):
    """Each value says where it came from: a line, a variable, or the default."""
    path = toml("state_dir = 'x'\n[balancer]\nmargin.cpu_idle = 2\n")
    origins = resolve(path, {"PLB_HTTP__PORT": "1"}).origins
    assert origins["state_dir"] == f"{path}:1"
    assert origins["balancer.margin.cpu_idle"] == f"{path}:3"
    assert origins["http.port"] == "environment variable PLB_HTTP__PORT"
    assert origins["http.host"] == "default"
    assert set(origins) == {key.name for key in keys()}


def test_lines_of_every_kind_of_statement():
    """Multi-line values, inline tables, dotted keys and lists of tables stand where they begin."""
    text = (
        'a = [\n  1,\n  # no key = 1\n  2]\n\n[t]\nb.c = 1\nd = { e = 1 }\ns = """\nf = 1\n"""\n[[l]]\nx = 1\n[[l]]\nx = 2\n'
    )
    lines = lines_of(text)
    named = {".".join(path): line for path, line in lines.items()}
    assert named == {
        "a": 1,
        "a.0": 1,
        "a.1": 1,
        "t": 6,
        "t.b": 7,
        "t.b.c": 7,
        "t.d": 8,
        "t.d.e": 8,
        "t.s": 9,
        "l": 12,
        "l.0": 12,
        "l.0.x": 13,
        "l.1": 14,
        "l.1.x": 15,
    }


def test_a_table_that_is_no_table_is_a_fault(toml):
    """A value where a table should be is refused, also when a variable wants to set a key of that table."""
    with pytest.raises(BadInputError, match=r"plb\.toml:1: balancer"):
        load_settings(toml("balancer = 3\n"), {"PLB_BALANCER__MODE": "static"})


def test_the_schema_accepts_what_is_accepted_and_refuses_what_is_refused():
    """An editor that checks against the schema agrees with the settings, but for rules between several of them."""
    check = jsonschema.Draft202012Validator(settings_schema())
    for document in ({}, {"balancer": {"mode": "static", "margin": {"cpu_idle": 2}}}, {"queue": {"shards": []}}):
        assert not list(check.iter_errors(document))
        parse_settings(document, "x")
    for document in ({"balancr": {}}, {"balancer": {"headroom": 1.5}}, {"notify": {"slack_url": "https://x"}}):
        assert list(check.iter_errors(document))
        with pytest.raises(BadInputError):
            parse_settings(document, "x")


def test_the_schema_describes_every_setting():
    """Each key in the schema has a sentence, taken from its section's docstring."""
    schema = settings_schema()
    for key in (key for key in keys() if not key.secret):
        table = schema
        for part in key.path[:-1]:
            table = schema["$defs"][table["properties"][part]["$ref"].rsplit("/", 1)[1]]
        assert table["properties"][key.path[-1]].get("description"), key.name


def test_docstrings_are_read_as_written():
    """Entries of several names and of several lines are understood."""

    class Section:
        """Something.

        Attributes:
            a, b: one
                and two.
            c: three.
        """

    assert described(Section) == {"a": "one and two.", "b": "one and two.", "c": "three."}
