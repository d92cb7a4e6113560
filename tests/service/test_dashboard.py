from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import quote

import chromium
import pytest
from fake_balancer import NAMES, SHARDS, FakeBalancer

from plb_ray.control.views import Mode
from plb_ray.domain.mapping import Mapping
from plb_ray.domain.migration import MigrationMode, MigrationStep
from plb_ray.errors import ControlUnavailableError
from service.api.app import create_app
from service.api.static import DASHBOARD
from service.local_http import serving

in_browser = pytest.mark.skipif(chromium.BINARY is None, reason="no Chromium is installed")


async def _open(balancer, profile, fragment=""):
    async with serving(create_app(balancer)) as url:
        return await chromium.render(f"{url}/dashboard/{fragment}", profile)


def _words(dom, tag_id):
    """Return the text inside the element with this id, tags dropped (the element must hold no other of its own tag)."""
    tag, inside = re.search(rf'<(\w+)[^>]*\bid="{tag_id}"[^>]*>(.*)', dom, re.DOTALL).groups()
    return re.sub(r"<[^>]+>", " ", inside.split(f"</{tag}>")[0])


# ---- the files


async def test_root_leads_to_the_dashboard(http):
    """/ sends a browser to the dashboard."""
    response = await http.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/dashboard/")


async def test_every_file_that_the_page_names_is_served(http):
    """Each script, style and image of the page and of its modules is served by us; nothing comes from elsewhere."""
    page = (await http.get("/dashboard/")).text
    modules = "".join(path.read_text() for path in DASHBOARD.glob("*.js"))
    named = set(re.findall(r'(?:src|href)="([^"#.][^"]*\.(?:js|css|svg))"', page)) | set(
        re.findall(r'(?:from |import\()"\./([^"]+)"', modules)
    )
    named |= set(re.findall(r'script\.src = "([^"]+)"', modules))
    assert {"app.js", "style.css", "plotly.min.js", "charts.js", "page_orders.js"} <= named
    for name in named:
        assert (await http.get(f"/dashboard/{name}")).status_code == 200, name
    everything = page + modules + (DASHBOARD / "style.css").read_text()
    assert not re.findall(r"https?://(?!www\.w3\.org)", everything)


async def test_files_are_cached_and_guarded(http):
    """Plotly's script may be kept, our own files are asked for anew; both answer 304; other origins are forbidden."""
    plotly = await http.get("/dashboard/plotly.min.js")
    assert len(plotly.content) > 1_000_000
    assert "max-age" in plotly.headers["cache-control"]
    own = await http.get("/dashboard/app.js")
    assert own.headers["cache-control"] == "no-cache"
    assert "default-src 'self'" in own.headers["content-security-policy"]
    for path, first in (("plotly.min.js", plotly), ("app.js", own)):
        again = await http.get(f"/dashboard/{path}", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("path", ["../cli.py", "..%2fcli.py", "%2e%2e/cli.py", "../../pyproject.toml"])
async def test_nothing_outside_the_folder_is_served(http, path):
    """No path leads out of the dashboard's folder."""
    response = await http.get(f"/dashboard/{path}")
    assert response.status_code == 404


def test_the_package_holds_the_dashboard():
    """Every kind of file of the dashboard is a kind that the wheel takes along (all files of that folder, no subfolders)."""
    assert {path.suffix for path in DASHBOARD.iterdir() if path.is_file()} == {".html", ".js", ".css", ".svg"}
    assert not [path for path in DASHBOARD.iterdir() if path.is_dir()]


# ---- the page, in a browser


@in_browser
async def test_page_shows_the_whole(tmp_path):
    """Cards with charts, plan with reasons and migrations are drawn, and the console stays silent."""
    page = await _open(FakeBalancer(), tmp_path)
    assert page.console == ()
    assert page.dom.count('<article class="shard"') == len(SHARDS)
    assert page.dom.count('<svg class="load-chart"') == len(SHARDS)
    assert page.dom.count('class="load" d="M') == len(SHARDS)
    assert page.dom.count("data-migration=") == 10
    assert "2013-11-27 14:00 UTC" in page.dom
    assert "p90 at 14:10 would put shard-3 at 112 % of CPU" in page.dom
    assert "rolled back" in page.dom
    assert "networks" in _words(page.dom, "training")
    assert "shard-3 congestion foreseen" in _words(page.dom, "announcer")


@in_browser
async def test_list_shows_the_mapping(tmp_path):
    """Each order param has a row with its shards, in the order in which they are consumed."""
    page = await _open(FakeBalancer(), tmp_path, "#/order-params")
    assert page.console == ()
    assert page.dom.count("data-order-param=") == len(NAMES)
    chained = re.search(r'data-order-param="JFK-LAX".*?</tr>', page.dom, re.DOTALL)[0]
    assert "shard-3 then shard-1" in re.sub(r"<[^>]+>", "", chained)


@in_browser
async def test_migrations_show_mode_progress_and_pause(tmp_path):
    """A copy shows its share and how long it takes, a chained migration that its backlog stays; a lasting pause is said."""
    balancer = FakeBalancer()
    balancer.advance("85-JFK-ATL", messages_copied=150_000, lag_messages=50_000, eta_s=3.4)
    chained = replace(balancer.records[0], migration_id="86", mode=MigrationMode.CHAIN, step=MigrationStep.SEALING)
    balancer.records.insert(0, chained)
    page = await _open(balancer, tmp_path)
    assert page.console == ()
    rows = {row[0]: re.sub(r"<[^>]+>", " ", row[1]) for row in re.findall(r'data-migration="([^"]+)">(.*?)</li>', page.dom)}
    assert "150K copied, 75 %, 3.4 s left" in rows["85-JFK-ATL"]
    assert "not paused" in rows["85-JFK-ATL"]
    assert "chained" not in rows["85-JFK-ATL"]
    for words in ("chained", "backlog stays", "paused now"):
        assert words in rows["86"]
    assert "paused 8 ms" in rows["84-JFK-ATL"]


@in_browser
async def test_names_stay_text(tmp_path):
    """An order param whose name is markup is shown as it is, never run."""
    page = await _open(FakeBalancer(), tmp_path, "#/order-params")
    assert "&lt;b&gt;bold&lt;/b&gt;" in page.dom
    assert "<b>bold</b>" not in page.dom


@in_browser
async def test_page_without_anything_yet(tmp_path):
    """Before the first tick each part says what it is waiting for."""
    status = replace(FakeBalancer().status_now, ready=False, at_s=None, ticks=0, shards=(), order_params=0, training=())
    empty = FakeBalancer(status_now=status, decision=None, records=[], placements=Mapping(0, {}))
    page = await _open(empty, tmp_path)
    assert page.console == ()
    assert "starting" in _words(page.dom, "facts")
    for text in ("No shards yet", "No plan yet", "None yet"):
        assert text in page.dom


@in_browser
async def test_page_in_mode_static(tmp_path):
    """In mode static the page says that there are no plans instead of asking for one in vain."""
    status = replace(FakeBalancer().status_now, mode=Mode.STATIC)
    page = await _open(FakeBalancer(status_now=status, decision=None), tmp_path)
    assert page.console == ()
    assert "the balancer only observes" in _words(page.dom, "plan")


@in_browser
async def test_page_with_a_silent_shard(tmp_path):
    """A shard that does not answer is shown so, with the reason, and the last tick's error stands on top."""
    status = FakeBalancer().status_now
    silent = replace(status.shards[1], error="shard 'shard-2' does not answer; check that it runs")
    status = replace(status, shards=(status.shards[0], silent, *status.shards[2:]), last_error="shard-2 is away")
    page = await _open(FakeBalancer(status_now=status), tmp_path)
    assert "not answering" in page.dom
    assert "shard 'shard-2' does not answer; check that it runs" in page.dom
    assert "The last tick reported: shard-2 is away" in _words(page.dom, "banner")


@in_browser
async def test_page_without_the_control_loop(tmp_path):
    """When the control loop does not answer, the page says so in its sentence and when it tries again."""
    failing = FakeBalancer(failing={"status": ControlUnavailableError("the control loop is restarting")})
    page = await _open(failing, tmp_path)
    banner = _words(page.dom, "banner")
    assert "the control loop is restarting" in banner
    assert "Trying again" in banner
    assert "no answer" in _words(page.dom, "connection")


@in_browser
async def test_detail_of_an_order_param(tmp_path):
    """The address of an order param opens its page, whatever its name, and so do addresses of the first dashboard."""
    for fragment in ("#/order-params/", "#order-param="):
        page = await _open(FakeBalancer(), tmp_path, fragment + quote("tenant/7/orders", safe=""))
        assert page.console == ()
        assert "tenant/7/orders" in _words(page.dom, "page-title")
        assert "Forecast by ensemble" in _words(page.dom, "detail-note")
        assert "90.0 %" in re.search(r"80 % band held.*?</dd>", page.dom, re.DOTALL)[0]
        assert page.dom.count('class="main-svg"') >= 2


@in_browser
async def test_console_errors_would_be_seen(tmp_path):
    """Negative control: a page that fails says so on the console that the other tests watch."""
    page = tmp_path / "page.html"
    page.write_text("<script>no_such_thing()</script>")
    found = await chromium.render(page.as_uri(), tmp_path / "profile")
    assert "no_such_thing" in found.console[0]
