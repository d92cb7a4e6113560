"""`plb capacity`: the command, its little languages, its JSON and its page."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pandas as pd
import pytest

from plb_ray.errors import BadInputError
from plb_ray.settings import Settings
from service import cli
from service.api.capacity_schemas import ANSWER, CapacityAnswer, CapacityQuestion
from service.capacity_ask import Campaign, CapacityAsk, Growth, HorizonName, NewTenant, TypeAsked
from service.capacity_page import page
from service.cli_capacity import parse_campaign, parse_growth, parse_tenant, parse_type, request
from service.exit_codes import ExitCode
from service.history_files import import_file


@pytest.fixture
def trace(tmp_path):
    """Three weeks of 4 order params of 6 messages/s by day and 0.6 by night."""
    hour = np.arange(21 * 24)
    rate = np.where((hour % 24 >= 9) & (hour % 24 < 17), 6.0, 0.6)
    rows = [(f"shop-{n}", ts, r * 3600) for n in range(4) for ts, r in zip(hour * 3600 + 345_600, rate, strict=True)]
    table = pd.DataFrame(rows, columns=["order_param", "ts", "messages"])
    table["ts"] = pd.to_datetime(table["ts"], unit="s", utc=True)
    path = tmp_path / "trace.parquet"
    table.to_parquet(path)
    return path


def run(capsys, *arguments):
    code = cli.run(["capacity", *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_json_is_what_the_api_answers(capsys, trace):
    """The command's JSON fits the API's schema; 24 messages/s on shards of 13 usable, two to a shard, need 2."""
    box = "box:messages_per_s=14.5,price=2"
    code, out, _ = run(capsys, "--trace", trace, "--type", box, "--horizon", "week", "--json")
    found = json.loads(out)
    assert code == 0
    jsonschema.Draft202012Validator(CapacityAnswer.model_json_schema()).validate(found)
    assert (found["shards"], found["price"], found["shards_lower_bound"]) == (2, 4.0, 2)
    assert found["plan"] is None


def test_words_name_the_answer_the_bound_and_the_basis(capsys, trace):
    """A person reads shards, what is proven, what binds, and from what the demand was foreseen."""
    code, out, _ = run(capsys, "--trace", trace, "--type", "box:messages_per_s=14.5", "--grow", "shop-*=100")
    assert code == 0
    assert "4 shards (4 box)" in out
    assert "no fewer can do; messages_per_s binds" in out
    assert "what if: all order params +100 %" in out
    assert "last 3 weeks" in out


def test_a_state_folder_answers_too(capsys, trace, tmp_path):
    """The history of a balancer's state folder gives the same answer as the trace that it was imported from."""
    settings = replace(Settings(), state_dir=tmp_path / "state")
    settings = replace(settings, balancer=replace(settings.balancer, step_s=3600))
    import_file(trace, settings)
    box = ("--type", "box:messages_per_s=14.5", "--horizon", "week", "--json")
    _, by_trace, _ = run(capsys, "--trace", trace, *box)
    _, by_state, _ = run(capsys, "--state", tmp_path / "state", *box)
    assert json.loads(by_trace)["hours"] == json.loads(by_state)["hours"]


def test_too_few_shards_to_be_had_is_a_failed_check(capsys, trace):
    """No fleet within `most`: the reason is said, and the exit code is that of a failed check."""
    code, out, _ = run(capsys, "--trace", trace, "--type", "box:messages_per_s=14.5,most=1")
    assert code == ExitCode.CHECKS_FAILED
    assert "fall short" in out


def test_the_page_holds_the_answer_and_asks_no_network(capsys, trace, tmp_path):
    """The report has the verdict, a chart and no reference to anything elsewhere, and escapes names."""
    report = tmp_path / "capacity.html"
    assert run(capsys, "--trace", trace, "--report", report)[0] == 0
    text = report.read_text()
    assert "proven lower bound" in text
    assert 'id="hours"' in text
    assert "<script src" not in text
    assert "color-scheme:light dark" in text
    nasty = {**ANSWER, "plan": {**ANSWER["plan"], "drain": ["<b>x</b>"]}}
    assert "<b>x</b>" not in page(nasty)


def test_a_report_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path):
    """A folder that does not exist is an error of usage."""
    code, _, err = run(capsys, "--report", tmp_path / "absent" / "x.html")
    assert code == ExitCode.USAGE
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("parse", "text", "meant"),
    [
        (
            parse_type,
            "s:cpu_cores=4,memory_bytes=8e9,price=0.2,most=7",
            TypeAsked("s", {"cpu_cores": 4.0, "memory_bytes": 8e9}, 0.2, 7),
        ),
        (parse_growth, "shop-*=40%", Growth(("shop-*",), 40.0)),
        (parse_growth, "a=b=-5", Growth(("a=b",), -5.0)),
        (parse_campaign, "500", Campaign(500.0)),
        (parse_campaign, "500:shop:1", Campaign(500.0, ("shop:1",))),
        (parse_campaign, "5@1970-01-01T01:00/1970-01-01T02:00:00:a*", Campaign(5.0, ("a*",), 3600.0, 7200.0)),
        (parse_campaign, "5@1970-01-01T01:00", Campaign(5.0, (), 3600.0, None)),
        (parse_tenant, "acme=shop-*", NewTenant("acme", ("shop-*",))),
        (parse_tenant, "acme=shop-1*2.5", NewTenant("acme", ("shop-1",), 2.5)),
    ],
)
def test_the_little_languages(parse, text, meant):
    """Each option's text means what its help says."""
    assert parse(text) == meant


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_type, "s"),
        (parse_type, "s:price=1"),
        (parse_type, "s:cpu=x"),
        (parse_growth, "40"),
        (parse_campaign, "x"),
        (parse_campaign, "5@noon"),
        (parse_tenant, "acme"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_text(parse, text):
    """The refusal quotes what was written."""
    with pytest.raises(BadInputError, match="--"):
        parse(text)


def test_the_request_to_a_service_asks_the_same():
    """What the command sends to a service is understood there as the same question."""
    asked = CapacityAsk(
        horizon=HorizonName.WEEK,
        types=(TypeAsked("s", {"cpu_cores": 1.0}, 2.0, 5),),
        growths=(Growth(("a",), 5.0),),
        campaigns=(Campaign(3.0, ("a",), 10.0, 20.0),),
        tenants=(NewTenant("t", ("a",), 2.0),),
        zones=3,
    )
    assert CapacityQuestion.model_validate(request(asked)).asked() == asked
