"""Asking Prometheus: what is asked, how answers are read, and what is said when it goes wrong."""

from urllib.parse import parse_qs

import httpx
import pytest

from plb_ray.domain.samples import PushOutcome, SampleKind
from plb_ray.errors import BadInputError, RetryableError
from plb_ray.history.samples import to_cells
from plb_ray.ingest.prometheus import FIRST_WAIT_S, TRIES, PrometheusQuery, PrometheusSource

STEP_S = 60
QUERY = "sum by (order_param) (rate(messages_total[1m]))"


def success(*series):
    """Return an answer with series of (labels, [(time, value as text), ...])."""
    result = [{"metric": labels, "values": [list(point) for point in points]} for labels, points in series]
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": result}})


def refusal(status, error):
    return httpx.Response(status, json={"status": "error", "errorType": "bad_data", "error": error})


class Script:
    """Answers in this order; an exception is raised. Remembers the questions and the waits."""

    def __init__(self, *answers, kind=SampleKind.RATE, url="http://prometheus.test:9090/sub/"):
        self.answers, self.forms, self.waits, self.paths = list(answers), [], [], []
        asked = PrometheusQuery(url, QUERY, "order_param", kind, STEP_S)
        self.source = PrometheusSource(asked, httpx.MockTransport(self._answer), self._sleep)

    def _answer(self, request):
        self.paths.append(request.url.path)
        self.forms.append({name: value[0] for name, value in parse_qs(request.content.decode()).items()})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _sleep(self, seconds):
        self.waits.append(seconds)

    async def cells(self, first_s=600, end_s=720):
        """Ask for these steps; return {(order param, start): rate}, and the outcome."""
        page = await self.source.read(first_s, end_s)
        await self.source.close()
        cells, outcome = to_cells(page.batch, STEP_S, 1e9)
        keys = zip((cells.names[column] for column in cells.columns), cells.starts_s.tolist(), strict=True)
        return dict(zip(keys, cells.rates.tolist(), strict=True)), page.outcome.plus(outcome)


async def test_a_rate_is_asked_at_the_end_of_each_step():
    """The value at 11:00 of a rate over one minute is the rate of the step from 10:59 to 11:00."""
    script = Script(success(({"order_param": "a"}, [(660, "1.5"), (720, "0")])))
    found, outcome = await script.cells()
    assert script.forms == [{"query": QUERY, "start": "660", "end": "720", "step": "60"}]
    assert script.paths == ["/sub/api/v1/query_range"]
    assert (found, outcome) == ({("a", 600): 1.5, ("a", 660): 0.0}, PushOutcome())


async def test_a_counter_is_asked_at_both_ends_of_each_step():
    """Its series are differenced one by one and then summed, so that a restart of one process is not a flood."""
    one = ({"order_param": "a", "instance": "1"}, [(600, "1000"), (660, "1060"), (720, "30")])
    two = ({"order_param": "a", "instance": "2"}, [(600, "0"), (660, "60"), (720, "60")])
    script = Script(success(one, two), kind=SampleKind.COUNTER)
    found, outcome = await script.cells()
    assert script.forms[0]["start"] == "600"
    assert (found, outcome) == ({("a", 600): 2.0, ("a", 660): 0.5}, PushOutcome(resets=1))


async def test_values_that_are_no_numbers_are_refused_one_by_one():
    """NaN and infinity come as words; they are counted with a reason, and the others are used."""
    script = Script(success(({"order_param": "a"}, [(660, "NaN"), (720, "2")]), ({"order_param": "b"}, [(660, "+Inf")])))
    found, outcome = await script.cells()
    assert found == {("a", 660): 2.0}
    assert outcome.refused == 2
    assert all("not a finite number" in reason for reason in outcome.reasons)


async def test_no_series_is_an_answer():
    """A query that gives nothing now is no error."""
    assert await Script(success()).cells() == ({}, PushOutcome())


async def test_a_label_that_no_series_has_is_an_error_that_lists_those_there_are():
    """A wrong label is told with the labels to choose from."""
    script = Script(success(({"queue": "a", "job": "q"}, [(660, "1")])))
    with pytest.raises(
        BadInputError, match=r"has the label 'order_param'; they have: job, queue; set history.prometheus.label"
    ):
        await script.cells()


async def test_single_series_without_the_label_are_left_out_and_counted():
    """Where only some series name their order param, the others are refused and said."""
    script = Script(success(({"order_param": "a"}, [(660, "1")]), ({"job": "x"}, [(660, "1"), (720, "1")])))
    found, outcome = await script.cells()
    assert found == {("a", 600): 1.0}
    assert outcome.refused == 2
    assert outcome.reasons == ("1 series without the label 'order_param', for example {'job': 'x'}",)


@pytest.mark.parametrize("trouble", [httpx.ConnectError("connection refused"), httpx.ReadTimeout("slow"), 503, 429])
async def test_what_may_pass_is_asked_again_after_longer_and_longer_waits(trouble):
    """No connection, no answer in time and "busy" are tried again; an answer then counts."""
    broken = [trouble if isinstance(trouble, Exception) else httpx.Response(trouble, text="busy") for _ in range(TRIES - 1)]
    script = Script(*broken, success(({"order_param": "a"}, [(660, "1")])))
    assert (await script.cells())[0] == {("a", 600): 1.0}
    assert script.waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]


async def test_what_does_not_pass_is_told_with_the_address_and_without_the_password():
    """After the last try the error says where, and what to check."""
    script = Script(*[httpx.ConnectError("connection refused")] * TRIES, url="http://me:secret@prometheus.test:9090")
    with pytest.raises(RetryableError) as error:
        await script.cells()
    text = "Prometheus at http://prometheus.test:9090 does not answer (connection refused); check that it runs"
    assert str(error.value) == text
    assert script.answers == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(400, 'parse error: unexpected "}"'), 'refuses history.prometheus.query .*: parse error: unexpected "}"'),
        (refusal(422, "query processing would load too many samples"), "would load too many samples"),
        (httpx.Response(401, text="Unauthorized"), "wants a login"),
        (httpx.Response(404, text="not found"), "answers with status 404 as no Prometheus does"),
        (httpx.Response(200, text="<html>"), "answers with status 200 as no Prometheus does"),
        (httpx.Response(200, json={"status": "success"}), "answers with status 200 as no Prometheus does"),
    ],
)
async def test_what_will_never_work_is_said_at_once(answer, words):
    """A bad query, a missing login and a server of another kind are told, and not tried again."""
    script = Script(answer)
    with pytest.raises(BadInputError, match=words):
        await script.cells()
    assert script.waits == []
