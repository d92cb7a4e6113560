"""deploy/: what is told there exists, and Prometheus' own tool finds nothing wrong."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from test_metrics import scrape

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "plb.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "plb-ray.json"


@pytest.fixture(scope="module")
def promtool():
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool is installed (Debian: apt-get install prometheus)")
    return found


def check(promtool, *arguments, folder=DEPLOY / "prometheus"):
    done = subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    document = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked += [variable["query"]["query"] for variable in document["templating"]["list"] if variable["type"] == "query"]
    return asked + [each["expr"] for each in document["annotations"]["list"]]


def known_names():
    return {sample.name for family in text_string_to_metric_families(scrape()) for sample in family.samples}


@pytest.mark.parametrize("expressions", [lambda: [rule["expr"] for rule in rules()], dashboard_expressions])
def test_every_metric_named_there_exists(expressions):
    """A rule or a panel over a metric that nobody tells would be silent for ever."""
    named = {name for each in expressions() for name in re.findall(r"plb_[a-z0-9_]+", each)}
    assert named
    assert named - known_names() == set()


def test_every_alert_says_what_and_what_to_do():
    """Each alert has a severity, a summary and a description, and stands in the manual."""
    manual = (ROOT / "docs" / "observability.md").read_text()
    assert len(rules()) >= 20
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert f"`{rule['alert']}`" in manual


def test_the_dashboard_is_laid_out():
    """Ids are unique, panels lie side by side within 24 columns, each has a title, a description and a unit."""
    found = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    taken = set()
    for panel in found:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_compose_mounts_what_is_there():
    """Every file that the compose example mounts exists, but for the token, which its user makes."""
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yml").read_text())
    mounts = [mount.split(":")[0] for service in compose["services"].values() for mount in service["volumes"]]
    for mount in (mount for mount in mounts if mount.startswith(".") and not mount.endswith("plb.token")):
        assert (DEPLOY / "compose" / mount).is_file(), mount
    assert (DEPLOY / "compose" / compose["services"]["plb"]["build"] / "Dockerfile").is_file()


def test_promtool_accepts_the_configurations(promtool):
    """Both scrape configurations and the rules are valid."""
    check(promtool, "check", "config", "--syntax-only", "prometheus.yml")
    check(promtool, "check", "config", "--syntax-only", "prometheus.yml", folder=DEPLOY / "compose")
    check(promtool, "check", "rules", "plb.rules.yml")


def test_promtool_runs_the_tests_of_the_rules(promtool):
    """Alerts fire when they should and not before."""
    assert "SUCCESS" in check(promtool, "test", "rules", "plb.rules.test.yml")


def test_promtool_parses_every_panel(promtool, tmp_path):
    """Each expression of the dashboard is PromQL."""
    asked = [re.sub(r"\$\w+", ".*", each) for each in dashboard_expressions() if not each.startswith("label_values")]
    recorded = [{"record": f"panel:{row}", "expr": each} for row, each in enumerate(asked)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    assert f"{len(asked)} rules found" in check(promtool, "check", "rules", "panels.yml", folder=tmp_path)


def test_promtool_finds_no_fault_in_what_is_scraped(promtool):
    """Prometheus' linter has nothing to say about /metrics."""
    done = subprocess.run(
        [promtool, "check", "metrics"], input=scrape(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.strip() == "", done.stderr
