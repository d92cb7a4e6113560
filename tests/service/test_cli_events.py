from __future__ import annotations

import json

import pytest
from test_cli import running

from plb_ray.ingest.calendar_store import CalendarStore
from service import cli
from service.exit_codes import ExitCode

FINAL = (
    "add",
    "--kind",
    "Match",
    "--name",
    "Cup [final]",
    "--start",
    "2026-05-30T20:00+02:00",
    "--end",
    "2026-05-30T23:00+02:00",
)
HOLIDAYS = ("holidays", "--country", "US", "--subdivision", "NY", "--years", "2014-2015", "--zone", "America/New_York")


@pytest.fixture
def url(balancer):
    with running(balancer) as at:
        yield at


@pytest.fixture
def plb(tmp_path, monkeypatch, capsys):
    """Run `plb events ...` in an empty folder; return exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLB_URL", raising=False)

    def run(*arguments):
        code = cli.run(["events", *arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


@pytest.fixture(params=["folder", "service"])
def anywhere(request, plb):
    """The same on a state folder and on a running service that begins with an empty calendar."""
    if request.param == "folder":
        yield lambda *arguments: plb(*arguments, "--state", "state")
        return
    balancer = request.getfixturevalue("balancer")
    balancer.calendar = balancer.calendar.without("cup-final").without("thanksgiving")
    url = request.getfixturevalue("url")
    yield lambda *arguments: plb(*arguments, "--url", url)


def test_add_list_remove(anywhere):
    """An event that is added is listed as it was written, and is gone when it was removed."""
    code, out, _ = anywhere(*FINAL, "--order-param", "tenant-7", "--order-param", "fan-*", "--id", "final")
    assert (code, out.strip()) == (0, "added final: 2026-05-30T18:00:00Z to 2026-05-30T21:00:00Z")
    _, out, _ = anywhere("list")
    row = ["2026-05-30", "18:00:00", "2026-05-30", "21:00:00", "match", "Cup", "[final]", "tenant-7;", "fan-*", "final"]
    assert out.splitlines()[1].split() == row
    assert anywhere("remove", "final")[0] == 0
    code, out, _ = anywhere("list")
    assert (code, out.startswith("no events in ")) == (0, True)


def test_json_is_that_of_the_api(anywhere, tmp_path):
    """--json of each command is JSON; that of `list` is a file that can be imported."""
    added = json.loads(anywhere(*FINAL, "--json")[1])
    assert added["event_id"].startswith("match-2026-05-30-")
    listed = anywhere("list", "--json")[1]
    assert json.loads(listed) == {"items": [added]}
    (tmp_path / "copy.json").write_text(listed, encoding="utf-8")
    counts = json.loads(anywhere("import", "copy.json", "--json")[1])
    assert counts == {"added": 0, "changed": 0, "unchanged": 1}
    assert json.loads(anywhere("remove", added["event_id"], "--json")[1]) == added


def test_repeating_is_harmless(anywhere):
    """The same command again changes nothing and says so; another content under the same id is a change."""
    assert anywhere(*HOLIDAYS)[1].startswith("27 added, 0 changed, 0 there already in ")
    assert anywhere(*HOLIDAYS)[1].startswith("0 added, 0 changed, 27 there already in ")
    assert anywhere(*FINAL, "--id", "final")[1].startswith("added final")
    assert anywhere(*FINAL, "--id", "final")[1].startswith("is there already: final")
    assert anywhere(*FINAL, "--id", "final", "--order-param", "x")[1].startswith("changed final")


def test_import_csv_in_a_zone(anywhere, tmp_path):
    """Dates of a table are days of --zone."""
    (tmp_path / "plan.csv").write_text("kind,start,end\nsale,2014-11-28,\n", encoding="utf-8")
    assert anywhere("import", "plan.csv", "--zone", "America/New_York")[0] == 0
    (item,) = json.loads(anywhere("list", "--json")[1])["items"]
    assert (item["start"], item["end"]) == ("2014-11-28T05:00:00Z", "2014-11-29T05:00:00Z")


def test_import_icalendar_in_a_span(anywhere, tmp_path):
    """A rule is written out from --from to the end of --to."""
    rule = "BEGIN:VEVENT\nUID:u\nDTSTART:20000101T120000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY\nEND:VEVENT"
    (tmp_path / "team.ics").write_text(f"BEGIN:VCALENDAR\n{rule}\nEND:VCALENDAR\n", encoding="utf-8")
    code, out, _ = anywhere("import", "team.ics", "--from", "2014-11-27", "--to", "2014-11-29")
    assert (code, out.split()[0]) == (0, "3")
    assert anywhere("import", "team.ics")[1].split()[0] in {"1097", "1098", "1099"}  # three years of days around now


def test_the_default_folder(plb, tmp_path):
    """Without --state and --url the calendar is that of the default state folder."""
    assert plb(*HOLIDAYS)[1].endswith(" in .plb/events.json\n")
    assert len(CalendarStore(tmp_path / ".plb").read().events) == 27


def test_which_calendar(plb, url, balancer, monkeypatch):
    """PLB_URL names a service; --state goes before it."""
    monkeypatch.setenv("PLB_URL", url)
    assert "cup-final" in plb("list")[1]
    assert plb("list", "--state", "state")[1].startswith("no events in state/events.json; ")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("remove", "never"), ExitCode.UNKNOWN_NAME, "unknown event 'never'; `plb events list`"),
        (("add", "--kind", "x", "--start", "soon"), ExitCode.USAGE, "start: 'soon' is not a time"),
        (("add", "--kind", "x", "--start", "2026-01-02", "--end", "2026-01-01"), ExitCode.USAGE, "is not after the start"),
        (("add", "--kind", "x", "--start", "2026-01-02", "--zone", "Mars"), ExitCode.USAGE, "unknown time zone 'Mars'"),
        (("add", "--start", "2026-01-02"), ExitCode.USAGE, "--kind"),
        (("import", "none.csv"), ExitCode.USAGE, "events none.csv: cannot be read: No such file"),
        (("import", "plan.xlsx"), ExitCode.USAGE, "unknown ending '.xlsx'"),
        (("holidays", "--country", "Narnia", "--years", "2014"), ExitCode.USAGE, "unknown country 'Narnia'"),
        (("holidays", "--country", "US", "--years", "MMXIV"), ExitCode.USAGE, "--years: 'MMXIV' is neither"),
        (("holidays", "--country", "US", "--years", "2015-2014"), ExitCode.USAGE, "0 years"),
    ],
)
def test_what_cannot_be_meant(anywhere, arguments, code, said):
    """A mistake is one sentence on standard error, with the exit code of its kind, and changes nothing."""
    left, out, err = anywhere(*arguments)
    assert (left, out) == (code, "")
    assert said in err
    assert json.loads(anywhere("list", "--json")[1]) == {"items": []}


@pytest.mark.parametrize(
    ("bounds", "said"), [(("--from", "soon"), "--from: start: 'soon'"), (("--from", "2999-01-01"), "--from is not before")]
)
def test_wrong_spans(plb, tmp_path, bounds, said):
    """A span that is none is refused by the name of the option."""
    (tmp_path / "plan.csv").write_text("kind,start,end\n", encoding="utf-8")
    code, _, err = plb("import", "plan.csv", *bounds)
    assert (code, said in err) == (ExitCode.USAGE, True)


def test_nobody_answers(plb):
    """A service that is not there has its own exit code."""
    assert plb("list", "--url", "http://127.0.0.1:1")[0] == ExitCode.UNREACHABLE


def test_a_damaged_calendar(plb, tmp_path):
    """A damaged file leaves with 2 and says what to do."""
    plb(*FINAL)
    (tmp_path / ".plb" / "events.json").write_text("{", encoding="utf-8")
    code, _, err = plb("list")
    assert (code, "correct the file, or" in err) == (ExitCode.USAGE, True)


def test_help_teaches(plb):
    """The help of the group has examples, that of `import` the columns."""
    assert "plb events holidays --country US" in " ".join(plb("--help")[1].split())
    assert "event_id,kind,name,start,end,order_params" in plb("import", "--help")[1]
